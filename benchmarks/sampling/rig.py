"""A simulated 8-GPU host at work in wall time, programs on it, and the accounts of what each of them saw and cost."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from eagent.sim import host as simulated
from eagent.sim import model
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.description.description import Description
from eagent.sim.description.parts import Gpus
from eagent.sim.workload import Gang, Square

GPUS = 8
MODELS = ("v100-pcie-16gb", "a100-sxm4-80gb", "h100-sxm5-80gb")
SQUARES = ((0.7, 0.5), (1.1, 0.6), (1.7, 0.8), (2.3, 0.9))  # period in seconds and duty, on a GPU each
SPREAD = math.exp(0.25**2 / 2)  # mean of a call's time over its median: native/plant/calls.c
CPUCLOCK_SCHED = 2  # the kernel's number
END_S = 10.0  # for a program to end when it is told to
NOWHERE = "http://127.0.0.1:9"  # what has it for a proxy reaches nobody, at once


@dataclass(frozen=True, slots=True)
class Account:
    """What has been seen and spent on a host up to a time; differences of two are of the window between."""

    time_s: float
    shown: tuple[Mapping[str, Any], ...]
    calls: Mapping[str, tuple[int, float, float]]
    cpu_s: Mapping[int, float]  # of each process that was asked for


@dataclass(frozen=True, slots=True)
class Seen:
    """What a program saw and cost in a window. Shares are of the window's wall time."""

    refreshes: int  # publications of all GPUs, from the last one that it saw before the window to the last in it
    caught: float  # the share of them that it saw
    age_p95_ms: float  # how old they were when it first saw them
    nvml: float  # in calls of the driver, each as long as published, and waiting for its lock
    power: float  # the same, only in calls that read power or energy
    held: float  # with the driver's lock, by the clock: with the simulator's own work, and what interrupted it
    cpu: float  # its processes, of one core; what their calls spend inside the simulator included
    cpu_s: float
    inside_s: float  # the driver's lock held by reads: spent inside the simulator, which spins
    window_s: float
    calls: int


class Rig:
    """One host, whose GPUs are all busy: four with a synchronous job, four with square waves of different periods."""

    def __init__(self, directory: Path, gpu_model: str, slowness: float = 1.0) -> None:
        """Make it. `slowness` multiplies the time that each call of the driver takes."""
        self.home = directory / "home"
        self.home.mkdir()
        self.made = simulated.make(directory / "sim", described(gpu_model, slowness))
        self.published_s = mean_call_s(described(gpu_model, slowness).gpu.numbers()["calls"])
        self.plant, self.faults = Host(self.made.plant), Faults(self.made.plant)
        Gang(step_s=0.4).start(self.plant, [0, 1, 2, 3], pid=os.getpid())
        for gpu, (period_s, duty) in enumerate(SQUARES, 4):
            Square(period_s, duty).start(self.plant, [gpu], at_s=0.13 * gpu, pid=os.getpid())

    @property
    def environ(self) -> dict[str, str]:
        """For a program on this host, without a network; what it leaves is in a home of its own."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("EAGENT_")}
        home = {"HOME": str(self.home), "TMPDIR": str(self.home), "TERM": "dumb"}
        return {**self.made.environment(own), **home, "http_proxy": NOWHERE, "https_proxy": NOWHERE}

    def account(self, *processes: int) -> Account:
        """As of now, with the CPU time of these processes and of their children."""
        cpu_s = {pid: spent_s for process in processes for pid, spent_s in tree_cpu_s(process).items()}
        return Account(time.monotonic(), self.faults.shown(), self.faults.calls(), cpu_s)

    def watch(self, window_s: float, *processes: int) -> Seen:
        """What a program sees and costs from now on."""
        before = self.account(*processes)
        time.sleep(window_s)
        return between(before, self.account(*processes), self.published_s)

    def close(self) -> None:
        """Let go of its file."""
        self.faults.close()
        self.plant.close()


@contextlib.contextmanager
def rig(gpu_model: str, slowness: float = 1.0) -> Iterator[Rig]:
    """A host that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-", dir="/tmp") as directory:  # short: it holds sockets
        made = Rig(Path(directory), gpu_model, slowness)
        try:
            yield made
        finally:
            made.close()


def described(gpu_model: str, slowness: float) -> Description:
    """The host, as `eagent sim create --from` would read it."""
    calls = model.load(gpu_model)["calls"]
    slower = {
        key: [slowness * each for each in value] if isinstance(value, list | tuple) else slowness * value
        for key, value in calls.items()
    }
    override = {} if slowness == 1 else {"calls": slower}
    return Description(name="h", gpu=Gpus(GPUS, gpu_model, override))


def mean_call_s(calls: Mapping[str, Any]) -> dict[str, float]:
    """How long a call takes in the mean, by the kinds of `Faults.calls`; one without a time of its own is as others."""
    read_s = {
        kind: SPREAD * calls.get(f"{kind}_s", calls["other_s"])
        for kind in ("power", "clock", "utilisation", "memory", "temperature", "other")
    }
    return {**read_s, "set": sum(calls["set_s"]) / 2}


@contextlib.contextmanager
def program(command: Sequence[str], rigged: Rig, log: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program on the host for as long as the block runs; what it complains of is in its log, in the host's home."""
    with (rigged.home / log).open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            env=rigged.environ,
            cwd=rigged.home,
            stderr=errors,
            text=True,
            start_new_session=True,
            **options,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(ProcessLookupError):  # what it spawned, if it left any
                os.killpg(process.pid, signal.SIGKILL)


def tree_cpu_s(pid: int) -> dict[int, float]:
    """CPU seconds so far of a process and of each that descends from it."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    spent = {}
    for each in family:
        with contextlib.suppress(OSError):  # it has ended
            spent[each.pid] = precise_cpu_s(each.pid)
    return spent


def precise_cpu_s(pid: int) -> float:
    """By the kernel's CPU clock of that process (clock_getcpuclockid), which has nanoseconds and ended threads."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def between(before: Account, after: Account, published_s: Mapping[str, float]) -> Seen:
    """What happened from one account to the next, on a driver whose calls take so long, by kind."""
    window_s = after.time_s - before.time_s
    ages = [0] * len(before.shown[0]["ages"])
    refreshes = 0
    for early, late in zip(before.shown, after.shown, strict=True):
        ages = [count + new - old for count, old, new in zip(ages, early["ages"], late["ages"], strict=True)]
        refreshes += late["last"] - early["last"]  # what it saw nothing after may still be on its way
    spent = {kind: tuple(map(float.__sub__, *pairs(after, before, kind))) for kind in after.calls}
    counts = {kind: after.calls[kind][0] - before.calls[kind][0] for kind in after.calls}
    seconds = {kind: counts[kind] * published_s[kind] + waited_s for kind, (_, waited_s) in spent.items()}
    cpu_s = sum(late_s - before.cpu_s.get(pid, 0.0) for pid, late_s in after.cpu_s.items())
    return Seen(
        refreshes=refreshes,
        caught=sum(ages) / refreshes if refreshes else 0.0,
        age_p95_ms=quantile(ages, 0.95),
        nvml=sum(seconds.values()) / window_s,
        power=seconds["power"] / window_s,
        held=sum(held_s for held_s, _ in spent.values()) / window_s,
        cpu=cpu_s / window_s,
        cpu_s=cpu_s,
        inside_s=sum(held_s for kind, (held_s, _) in spent.items() if kind != "set"),
        window_s=window_s,
        calls=sum(counts.values()),
    )


def pairs(after: Account, before: Account, kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds held and waited, at both ends."""
    return after.calls[kind][1:], before.calls[kind][1:]


def quantile(counts: Sequence[int], share: float) -> float:
    """Of values in buckets one wide from 0 on, taken to lie evenly within their bucket; 0 of none at all."""
    wanted, passed = share * sum(counts), 0
    for place, count in enumerate(counts):
        if count and passed + count >= wanted:
            return place + (wanted - passed) / count
        passed += count
    return 0.0
