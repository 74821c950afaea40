"""Five minutes of real time: two servers that show their metrics over HTTP, and `eagent up` that governs their GPUs.

What full clocks and a static lock come to with the same requests is had in virtual time. All joules are simulated.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.serving.oracle import LEAST_MHZ, STEP_MHZ, TOP_MHZ
from benchmarks.serving.scene import GOALS_S, GPUS, LEAD_S, MINUTE_S, SERVERS, Outcome, watch
from benchmarks.virtual import GPU_MODEL, Ungoverned
from eagent.sim import host as simulated
from eagent.sim._plant import Host
from eagent.sim.description.load import Load, Requests
from eagent.sim.gpus import format_gpus
from eagent.sim.host import SimulatedHost
from eagent.sim.workload import Serving

MINUTES = 5
RATE_PER_S = 2.77  # of each server: half of the public trace's
REQUESTS_S = MINUTES * MINUTE_S + 30.0  # they come for longer than they are looked at
ENDS_S = 20.0
# What one program has begun is one job to eagent, but for a shell: so each server has one, which ends with it.
SHELL = ("bash", "-c", '"$@" & child=$!; trap "kill $child" TERM; wait $child; wait $child', "shell")
EAGENT = (sys.executable, "-m", "eagent")
CONFIG = """
[policy]
mode_latency = "act"
first_token_p99_s = {first}
between_tokens_p99_s = {between}
"""
ENDPOINT = """
[[progress.metrics]]
url = "{url}"
recipe = "vllm"
"""


class Real:
    """A simulated host in real time."""

    def __init__(self, plant: Host) -> None:
        """Its plant is open."""
        self.plant = plant

    def advance(self, to_s: float) -> None:
        """Wait until its clock shows that."""
        while (left_s := to_s - self.plant.time_s) > 0:
            time.sleep(min(left_s, 1.0))


def figures(seed: int) -> list[Figure]:
    """Run it, and set it beside full clocks and the lowest static lock that keeps all their minutes."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        eagent = _governed(Path(directory), seed)
        free = _locked(Path(directory), seed, TOP_MHZ)
        lock_mhz, locked = TOP_MHZ, free
        for mhz in range(TOP_MHZ - STEP_MHZ, LEAST_MHZ - 1, -STEP_MHZ):
            tried = _locked(Path(directory), seed, mhz)
            if not free.kept <= tried.kept:
                break
            lock_mhz, locked = mhz, tried
    kept = len(eagent.kept & free.kept) / len(free.kept)
    saved = 1 - eagent.energy_j / free.energy_j
    peers = {"static lock": 1 - locked.energy_j / free.energy_j, "its MHz": float(lock_mhz), "full clocks": 0.0}
    return [
        Figure("goals kept where full clocks keep them", kept, "share", "= 1", kept == 1, {"of": len(free.kept)}),
        Figure("energy saved / GPUs at full clocks", saved, "share", "> 0.05", saved > 0.05, peers),
        Figure("clock writes per server and minute", eagent.changes / GPUS / MINUTES, "1"),
    ]


def _requests(seed: int) -> Requests:
    return Requests(for_s=REQUESTS_S, rate_per_s=RATE_PER_S, seed=seed)


def _locked(directory: Path, seed: int, mhz: int) -> Outcome:
    """The same requests in virtual time, with all clocks locked."""
    host = Ungoverned(directory, f"locked{mhz}", 1)
    for gpu in range(GPUS):
        host.plant.lock_clocks(gpu, host.plant.view(gpu)["sm_clock_min_mhz"], mhz)
    for place, gpus in enumerate(SERVERS.values()):
        load = Load(Serving(), gpus, LEAD_S, _requests(seed + place))
        load.ready(GPUS).start(host.plant)
    outcome = watch(host, MINUTES, LEAD_S, LEAD_S + MINUTES * MINUTE_S)
    host.close()
    return outcome


def _governed(directory: Path, seed: int) -> Outcome:
    made = simulated.create(directory, "wall", gpus=GPUS, gpu_model=GPU_MODEL)
    with ExitStack() as stack:
        urls = [stack.enter_context(_server(made, gpus, seed + place)) for place, gpus in enumerate(SERVERS.values())]
        text = CONFIG.format(first=GOALS_S["first token"], between=GOALS_S["between tokens"])
        config = directory / "eagent.toml"
        config.write_text(text + "".join(ENDPOINT.format(url=url) for url in urls), encoding="ascii")
        stack.enter_context(_running(made, [*EAGENT, "up", "--config", str(config)], made.path / "up.log"))
        plant = stack.enter_context(Host(made.plant))
        start_s = max(load["start_s"] for load in plant.progress())
        outcome = watch(Real(plant), MINUTES, start_s, start_s + MINUTES * MINUTE_S)
        said = subprocess.run(
            [*EAGENT, "explain", "gpu0"], env=_environment(made), capture_output=True, text=True, check=True
        )
        print(said.stdout)
        return outcome


@contextmanager
def _server(made: SimulatedHost, gpus: Sequence[int], seed: int) -> Iterator[str]:
    """A server's process; yields where its metrics are."""
    what = ["--gpus", format_gpus(gpus), "--for", f"{REQUESTS_S}s", "--rate", str(RATE_PER_S), "--seed", str(seed)]
    command = [*SHELL, *EAGENT, "sim", "load", made.name, "serving", *what, "--metrics", "127.0.0.1:0"]
    log = made.path / f"server{gpus[0]}.log"
    with _running(made, command, log) as process:
        while "/metrics" not in (said := log.read_text(encoding="utf-8")):
            if process.poll() is not None:
                raise SystemExit(f"the server has ended: {said}")
            time.sleep(0.05)
        yield said.split()[-1]


@contextmanager
def _running(made: SimulatedHost, command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process on the host, which is ended in the end."""
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=_environment(made), stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                print(log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)


def _environment(made: SimulatedHost) -> dict[str, str]:
    return made.environment(os.environ) | {"EAGENT_SIM_DIR": str(made.path.parent)}
