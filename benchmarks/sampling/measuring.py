"""What a window costs its caller: `eagent.measure()` beside Zeus's windows, in one process on one host of 8 GPUs.

    python -m benchmarks.sampling.measuring

The GPUs and their driver are simulated, with the published latencies of its calls, which are what Zeus's windows cost:
two calls for each GPU. eagent's ask nobody; its joules come from the agent, which runs meanwhile, when somebody wants
them. Both are timed in turns, in wall time. The cost is the median of twenty blocks' means: what windows cost now and
then, such as collecting garbage, is in it, and the few milliseconds for which other processes have the CPU are not.
Without `make clients` there is no peer beside it. All joules are simulated.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, publish
from eagent.sim import host as simulated
from eagent.sim._plant import Host
from eagent.sim.workload import Gang

GPUS = 8
SEED = 1
GOAL_US = 5.0
BLOCKS = 20  # as in the script
TIMEOUT_S = 120.0
ROOT = Path(__file__).parents[2]
CLIENTS = Path(sys.prefix) / "clients/bin/python"

# Run by the clients' interpreter, where eagent is not installed: what jobs use of it needs nothing but Python.
SCRIPT = """
import json, os, sys, time
import eagent
try:
    from zeus.monitor import ZeusMonitor
    monitor = ZeusMonitor(cpu_indices=[])
except ImportError:
    monitor = None
print(os.getpid(), flush=True)
sys.stdin.readline()
clock = time.perf_counter_ns
def single(times, count):
    measure = eagent.measure
    for _ in range(count):
        begun = clock()
        with measure("step"):
            pass
        times.append(clock() - begun)
def nested(times, count):
    measure = eagent.measure
    for _ in range(count):
        begun = clock()
        with measure("epoch"):
            with measure("step"):
                pass
        times.append((clock() - begun) // 2)
def zeus(times, count):
    for _ in range(count):
        begun = clock()
        monitor.begin_window("step", sync_execution=False)
        monitor.end_window("step", sync_execution=False)
        times.append(clock() - begun)
def zeus_nested(times, count):
    for _ in range(count):
        begun = clock()
        monitor.begin_window("epoch", sync_execution=False)
        monitor.begin_window("step", sync_execution=False)
        monitor.end_window("step", sync_execution=False)
        monitor.end_window("epoch", sync_execution=False)
        times.append((clock() - begun) // 2)
ways = {"single": (single, 500), "nested": (nested, 500)}
if monitor is not None:
    ways |= {"zeus": (zeus, 20), "zeus nested": (zeus_nested, 20)}
times = {name: [] for name in ways}
for _ in range(20):
    for name, (way, count) in ways.items():
        way(times[name], count)
waits, gpus = [], []
for _ in range(10):
    with eagent.measure("asked") as window:
        time.sleep(0.2)
    begun = clock()
    told = window.energy()
    waits.append(clock() - begun)
    gpus.append(0 if told.energy_j is None else len(told.devices))
print(json.dumps({"times": times, "waits": waits, "gpus": gpus}))
"""


def figures() -> list[Figure]:
    """The costs, and how long an answer is waited for."""
    told = _measure()
    us = {name: [each / 1000 for each in times] for name, times in told["times"].items()}
    waits_s = [each / 1e9 for each in told["waits"]]
    answered = sum(count == GPUS for count in told["gpus"]) / len(told["gpus"])
    return [
        _cost("measure(): caller's time for a window", us, "single", "zeus"),
        _cost("measure(): the same, one in the other", us, "nested", "zeus nested"),
        Figure(
            "measure(): wait for the joules of a window that has just ended",
            statistics.median(waits_s),
            "s",
            peers={"longest": max(waits_s)},
        ),
        Figure("measure(): of these windows told for all 8 GPUs", answered, "share", "= 1", answered == 1.0),
    ]


def _cost(figure: str, us: dict[str, list[float]], own: str, peer: str) -> Figure:
    cost_us = _typical(us[own])
    peers = {"p99": _p99(us[own]), "mean with all pauses": statistics.fmean(us[own])}
    if peer in us:
        peers |= {"zeus": _typical(us[peer]), "zeus p99": _p99(us[peer])}
    return Figure(figure, cost_us, "us", f"<= {GOAL_US:g}", cost_us <= GOAL_US, peers)


def _typical(values: Sequence[float]) -> float:
    """The median of the blocks' means."""
    size = len(values) // BLOCKS
    return statistics.median(statistics.fmean(values[place : place + size]) for place in range(0, len(values), size))


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _measure() -> dict[str, Any]:
    """Run the script while an agent governs the host and the script's process holds all GPUs."""
    interpreter = str(CLIENTS) if CLIENTS.exists() else sys.executable
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory, _host(Path(directory)) as environ:
        process = subprocess.Popen(
            [interpreter, "-c", SCRIPT],
            env={**environ, "PYTHONPATH": str(ROOT), "HOME": directory},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process, Host(environ["EAGENT_SIM_HOST"]) as plant:
            pid = int(process.stdout.readline())
            Gang().start(plant, range(GPUS), pid=pid)
            time.sleep(2.0)  # until the agent has seen who holds the GPUs
            out, _ = process.communicate("go\n", timeout=TIMEOUT_S)
        if process.returncode:
            raise SystemExit("measuring: the process that measures failed; its own lines stand above")
        told: dict[str, Any] = json.loads(out)
        return told


@contextmanager
def _host(directory: Path) -> Iterator[dict[str, str]]:
    """A simulated host of 8 GPUs that eagent governs: its environment."""
    made = simulated.create(directory, "measured", gpus=GPUS, seed=SEED)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EAGENT_")}
    environ = made.environment(clean)
    up = subprocess.Popen(
        [sys.executable, "-m", "eagent", "up"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert up.stdout is not None
        if not up.stdout.readline():
            raise SystemExit("measuring: eagent did not start on the simulated host")
        yield environ
    finally:
        up.terminate()
        up.communicate(timeout=TIMEOUT_S)


if __name__ == "__main__":
    publish("measuring", figures())
