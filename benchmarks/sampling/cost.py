"""What warden and agent cost a host of 8 busy GPUs: CPU without the time inside the simulator, and memory.

On a real host a call of the driver costs what the driver costs; here it costs the simulator's physics instead, and
spins for as long as the call is to take. That is taken off: the driver's account says how much CPU time its clients
spent within calls (`Faults.worked_s`, from one call in 17), and the warden is its only client, in the same window in
which the kernel's CPU clock of the warden's process is read at both ends. Beside it a loop that does nothing but wake
up as often: what that costs is the machine's, and several times as much on a virtual one that has nothing else to do.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from benchmarks.sampling.eagents import Eagent, eagent
from benchmarks.sampling.rig import MODELS, Rig, precise_cpu_s, rig

LEARN_S, WINDOW_S, BARE_S = 5.0, 20.0, 5.0
WINDOWS = 3  # of which the median by the warden's own cost is told
GOAL = 0.007  # of a core
SCRIPTS = Path(__file__).with_name("scripts")
COLUMNS = ("warden", "inside", "without", "Python", "bare", "agent", "MiB", "agent MiB")


@dataclass(frozen=True, slots=True)
class Cost:
    """Shares of a core, and MiB that nobody else has (USS)."""

    warden: float
    inside: float  # of it, inside the simulator
    python: float  # of it, the main thread: all of the warden that is not the loop
    bare: float  # a loop that only wakes up as often
    agent: float
    warden_mib: float
    agent_mib: float

    @property
    def own(self) -> float:
        """The warden's without the simulator."""
        return self.warden - self.inside


def figures() -> list[Figure]:
    """Of each model, with the agent, as a host runs it; beside it the warden alone."""
    print(f"{'':<16}", *(f"{column:>9}" for column in COLUMNS), flush=True)
    with sleeper() as bare:
        return [
            figure for name in MODELS for figure in judge(name, measure(name, bare, True), measure(name, bare, False))
        ]


@contextmanager
def sleeper() -> Iterator[Path]:
    """The program that only wakes up."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        program = Path(directory) / "sleeper"
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["gcc", *flags, str(SCRIPTS / "sleeper.c"), "-o", str(program)], check=True)
        yield program


def measure(gpu_model: str, bare: Path, with_agent: bool) -> Cost:
    """At defaults, from when the loop has had time to learn: the median of some windows."""
    with rig(gpu_model) as rigged, eagent(rigged, with_agent=with_agent) as running:
        time.sleep(LEARN_S)
        costs = [weigh(rigged, running, bare) for _ in range(WINDOWS)]
    cost = sorted(costs, key=lambda each: each.own)[WINDOWS // 2]
    name = gpu_model.split("-")[0] + ("" if with_agent else ", no agent")
    shares = (cost.warden, cost.inside, cost.own, cost.python, cost.bare, cost.agent)
    sizes = (cost.warden_mib, cost.agent_mib)
    print(f"{name:<16}", *(f"{each:>9.3%}" for each in shares), *(f"{each:>9.1f}" for each in sizes), flush=True)
    return cost


def weigh(rigged: Rig, running: Eagent, bare: Path) -> Cost:
    """Over one window, and the bare loop right after it."""

    def spent() -> tuple[float, ...]:
        agent_s = 0.0 if running.agent is None else precise_cpu_s(running.agent)
        inside_s = sum(rigged.faults.worked_s().values())
        return time.monotonic(), precise_cpu_s(running.warden), inside_s, main_thread_s(running.warden), agent_s

    before, steps = spent(), running.stats["steps"]
    time.sleep(WINDOW_S)
    hertz = (running.stats["steps"] - steps) / WINDOW_S
    window_s, *parts = (late - early for early, late in zip(before, spent(), strict=True))
    warden, inside, python, agent = (part / window_s for part in parts)
    told = subprocess.run([bare, str(hertz), str(BARE_S)], stdout=subprocess.PIPE, text=True, check=True).stdout
    return Cost(warden, inside, python, float(told), agent, mib(running.warden), mib(running.agent))


def main_thread_s(pid: int) -> float:
    """CPU seconds so far of a process's first thread."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def mib(pid: int | None) -> float:
    """Memory of its own."""
    return 0.0 if pid is None else psutil.Process(pid).memory_full_info().uss / 2**20


def judge(gpu_model: str, cost: Cost, alone: Cost) -> list[Figure]:
    """One model's figures."""
    label = gpu_model.split("-")[0].upper()
    return [
        Figure(
            f"{label}: warden's CPU without the simulator",
            cost.own,
            "cores",
            "<= 0.007",
            cost.own <= GOAL,
            {"bare wake-ups": cost.bare, "with it": cost.warden, "Python": cost.python, "no agent": alone.own},
        ),
        Figure(f"{label}: agent's CPU", cost.agent, "cores"),
        Figure(
            f"{label}: memory of warden and agent",
            cost.warden_mib + cost.agent_mib,
            "MiB",
            peers={
                "warden": cost.warden_mib,
                "agent": cost.agent_mib,
            },
        ),
    ]
