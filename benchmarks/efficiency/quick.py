"""Jobs under the policy alone, on the plant without agent and warden: fast enough for many hours and many chances."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.calibrate.rig import create
from benchmarks.efficiency.beats import JITTER, Beats
from benchmarks.efficiency.loads import Job
from eagent.model import Device, DeviceState, HostState, Knob, Proposal, Reading, Status
from eagent.policy import efficiency
from eagent.policy.goals import Efficiency, Goals
from eagent.sim import _plant, model

TURN_S = 1.0  # as often as the agent asks this policy
READ_S = 0.02  # what a reading of the energy counter is old


@dataclass(frozen=True, slots=True)
class Trouble:
    """How bad sensors and setters are, as multiples of the plant's."""

    noise: float = 1.0
    latency: float = 1.0

    def board(self, gpu_model: str) -> dict[str, Any]:
        """The model with it."""
        numbers = dict(model.load(gpu_model))
        sensor, clocks, cap, calls = (dict(numbers[key]) for key in ("sensor", "clocks", "cap", "calls"))
        middle = sum(sensor["energy_gain"]) / 2
        sensor["noise_w"] *= self.noise
        sensor["energy_gain"] = [middle + (each - middle) * self.noise for each in sensor["energy_gain"]]
        for part, key in ((clocks, "delay_s"), (cap, "delay_s"), (calls, "set_s")):
            part[key] = [each * self.latency for each in part[key]]
        return {**numbers, "sensor": sensor, "clocks": clocks, "cap": cap, "calls": calls}


USUAL, BAD = Trouble(), Trouble(noise=3.0, latency=10.0)


@dataclass(frozen=True, slots=True)
class Second:
    """How a job stood at the end of one turn, by the plant's truth, and what it was held at."""

    at_s: float
    joules: float
    work_s: float
    setting: float | None  # None: no ceiling


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one job."""

    course: tuple[Second, ...]
    memory: efficiency.Memory

    @property
    def last(self) -> Second:
        """The whole of it."""
        return self.course[-1]


def play(
    jobs: Sequence[Job],
    bound: float,
    seed: int,
    seconds: float,
    trouble: Trouble = USUAL,
    curves: efficiency.Curves | None = None,
    then: Sequence[tuple[float, Sequence[Job]]] = (),
) -> list[Run]:
    """One job on each GPU of one host; from the times in `then` on each does something else."""
    memory = efficiency.Memory(curves=curves or {})
    goals = Goals(efficiency=Efficiency(slowdown=bound))
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        path = Path(directory) / "plant"
        create(path, trouble.board(jobs[0].gpu_model), gpus=len(jobs), seed=seed)
        with _plant.Host(path) as plant:
            bench = _Bench(plant, jobs, seed, trouble)
            pending = list(then)
            while bench.now_s < seconds:
                if pending and bench.now_s >= pending[0][0]:
                    bench.change(pending.pop(0)[1])
                state = bench.advance()
                proposals, memory = efficiency.decide(state, goals, round(bench.now_s * 1e9), memory)
                bench.apply(proposals)
            return [Run(tuple(course), memory) for course in bench.courses]


class _Bench:
    """A host of the plant with a job on each GPU, as the policy sees it."""

    def __init__(self, plant: _plant.Host, jobs: Sequence[Job], seed: int, trouble: Trouble) -> None:
        rng = random.Random(seed)
        self.now_s = 0.0
        self._plant, self._jobs, self._readings = plant, list(jobs), plant.readings()
        self._devices = [_device(plant.view(gpu)) for gpu in range(len(jobs))]
        self._held: list[float | None] = [None] * len(jobs)
        self._before = [0.0] * len(jobs)  # work of what ran before a change, in steps of the present job
        self._done = [0.0] * len(jobs)
        self.courses: list[list[Second]] = [[] for _ in jobs]
        self._beats = [
            Beats(job.name, frozenset([device.uuid]), rng.randrange(1 << 30), JITTER * trouble.noise, job.step_s)
            for job, device in zip(jobs, self._devices, strict=True)
        ]
        self._start()

    def _start(self) -> None:
        for gpu, job in enumerate(self._jobs):
            job.load.square().start(self._plant, [gpu])

    def change(self, jobs: Sequence[Job]) -> None:
        """What runs on each GPU does another thing from now on."""
        self._before = self._work()
        self._plant.stop_load()
        self._jobs = list(jobs)
        self._start()
        self._done = [0.0] * len(jobs)

    def _work(self) -> list[float]:
        """Seconds of work at full clock of each, whatever it was."""
        return [before + done for before, done in zip(self._before, self._done, strict=True)]

    def advance(self) -> HostState:
        """One turn later."""
        self.now_s += TURN_S
        self._plant.advance(self.now_s, self._readings)
        for one in self._plant.progress():
            if one["running"]:
                self._done[one["gpus"][0]] = one["units"][0]
        work, states = self._work(), []
        for gpu, device in enumerate(self._devices):
            self._beats[gpu].advance(self.now_s, work[gpu], self._jobs[gpu].step_s)
            self.courses[gpu].append(Second(self.now_s, self._plant.energy_true_j(gpu), work[gpu], self._held[gpu]))
            energy = Reading(self._readings.energy_mj[gpu] / 1000, Status.OK, age_s=READ_S)
            one_process = Reading(1.0, Status.OK)
            held = self._held[gpu] is not None
            states.append(DeviceState(device, energy_j=energy, compute_processes=one_process, clock_held=held))
        return HostState(tuple(states), progress=tuple(each.progress() for each in self._beats if each.done))

    def apply(self, proposals: Sequence[Proposal]) -> None:
        """Set what is asked for, at once."""
        asked = {each.uuid: each.high for each in proposals}
        for gpu, device in enumerate(self._devices):
            ceiling = asked.get(device.uuid)
            if ceiling == self._held[gpu]:
                continue
            if ceiling is None:
                self._plant.reset_clocks(gpu)
            else:
                self._plant.lock_clocks(gpu, device.clocks_mhz[0], int(ceiling))
            self._held[gpu] = ceiling


def _device(view: Any) -> Device:
    low, high, step = view["sm_clock_min_mhz"], view["sm_clock_max_mhz"], view["sm_clock_step_mhz"]
    clocks = tuple(sorted({int(high - number * step) for number in range(int((high - low) / step) + 1)}))
    watts = (view["limit_min_mw"] / 1e3, view["limit_max_mw"] / 1e3, view["limit_default_mw"] / 1e3)
    writable = Knob(True)
    made = Device(view["uuid"], 0, view["name"], "", *watts, 0.1, 0.1, writable)
    return replace(made, clock=writable, clocks_mhz=clocks)
