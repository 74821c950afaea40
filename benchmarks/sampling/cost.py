"""What warden and agent cost a host of 8 busy GPUs: CPU without the time inside the simulator, and memory.

On a real host a call of the driver costs what the driver costs; here it costs the simulator's physics instead, and
spins for as long as the call is to take. That is taken off: the driver's account says how much CPU time its clients
spent within calls (`Faults.worked_s`, from one call in 17), and the warden is its only client, in the same window in
which the kernel's CPU clock of the warden's process is read at both ends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from benchmarks.sampling.eagents import Eagent, eagent
from benchmarks.sampling.rig import MODELS, Rig, precise_cpu_s, rig

LEARN_S, WINDOW_S = 5.0, 20.0
GOAL = 0.007  # of a core
COLUMNS = ("warden", "inside", "without", "Python", "agent", "MiB", "agent MiB")


@dataclass(frozen=True, slots=True)
class Cost:
    """Shares of a core, and MiB that nobody else has (USS)."""

    warden: float
    inside: float  # of it, inside the simulator
    python: float  # of it, the main thread: all of the warden that is not the loop
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
    return [figure for name in MODELS for figure in judge(name, measure(name, True), measure(name, False))]


def measure(gpu_model: str, with_agent: bool) -> Cost:
    """At defaults, from when the loop has had time to learn."""
    with rig(gpu_model) as rigged, eagent(rigged, with_agent=with_agent) as running:
        time.sleep(LEARN_S)
        cost = weigh(rigged, running)
    name = gpu_model.split("-")[0] + ("" if with_agent else ", no agent")
    shares = (cost.warden, cost.inside, cost.own, cost.python, cost.agent)
    sizes = (cost.warden_mib, cost.agent_mib)
    print(f"{name:<16}", *(f"{each:>9.3%}" for each in shares), *(f"{each:>9.1f}" for each in sizes), flush=True)
    return cost


def weigh(rigged: Rig, running: Eagent) -> Cost:
    """Over the window."""

    def spent() -> tuple[float, ...]:
        agent_s = 0.0 if running.agent is None else precise_cpu_s(running.agent)
        inside_s = sum(rigged.faults.worked_s().values())
        return time.monotonic(), precise_cpu_s(running.warden), inside_s, main_thread_s(running.warden), agent_s

    before = spent()
    time.sleep(WINDOW_S)
    window_s, *parts = (late - early for early, late in zip(before, spent(), strict=True))
    warden, inside, python, agent = (part / window_s for part in parts)
    return Cost(warden, inside, python, agent, mib(running.warden), mib(running.agent))


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
            {"with it": cost.warden, "of it Python": cost.python, "without agent": alone.own},
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
