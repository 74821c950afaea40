"""Many jobs with the policy alone, on the plant without agent and warden: fast, to choose its numbers by."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.calibrate.rig import Load, create
from benchmarks.efficiency.beats import JITTER, Beats
from benchmarks.efficiency.loads import Job
from eagent.model import Device, DeviceState, HostState, Knob, Reading, Status
from eagent.policy import efficiency
from eagent.policy.goals import Efficiency, Goals
from eagent.sim import _plant, model


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
        clocks["delay_s"] = [each * self.latency for each in clocks["delay_s"]]
        cap["delay_s"] = [each * self.latency for each in cap["delay_s"]]
        calls["set_s"] = [each * self.latency for each in calls["set_s"]]
        return {**numbers, "sensor": sensor, "clocks": clocks, "cap": cap, "calls": calls}


USUAL = Trouble()


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one job."""

    joules: float
    work: float
    memory: efficiency.Memory
    log: list[tuple[float, float, str, float]] = field(default_factory=list)


def play(
    jobs: Sequence[Job], bound: float, seed: int, seconds: float, trouble: Trouble = USUAL, curves: Any = None,
    trace: bool = False,
) -> list[Run]:
    """One job on each GPU of one host."""
    gpu_model = jobs[0].gpu_model
    board = trouble.board(gpu_model)
    goals = Goals(efficiency=Efficiency(slowdown=bound))
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        path = Path(directory) / "plant"
        create(path, board, gpus=len(jobs), seed=seed)
        with _plant.Host(path) as host:
            views = [host.view(gpu) for gpu in range(len(jobs))]
            for gpu, job in enumerate(jobs):
                job.load.square().start(host, [gpu])
            beats = [
                Beats(job.name, frozenset([view["uuid"]]), job.step_s, rng.randrange(1 << 30), JITTER * trouble.noise)
                for job, view in zip(jobs, views, strict=True)
            ]
            devices = [_device(view) for view in views]
            memory = efficiency.Memory(curves=curves or {})
            held: list[float | None] = [None] * len(jobs)
            logs: list[list[tuple[float, float, str, float]]] = [[] for _ in jobs]
            sample = host.readings()
            now_s = 0.0
            while now_s < seconds:
                now_s += 1.0
                host.advance(now_s, sample)
                work = {one["gpus"][0]: one["units"][0] for one in host.progress()}
                states = []
                for gpu, device in enumerate(devices):
                    beats[gpu].advance(now_s, work[gpu])
                    age_s = now_s - sample.sensor_time_us[gpu] * 1e-6
                    states.append(
                        DeviceState(
                            device,
                            energy_j=Reading(sample.energy_mj[gpu] / 1000, Status.OK, age_s=0.01),
                            compute_processes=Reading(1.0, Status.OK),
                            clock_held=held[gpu] is not None,
                        )
                    )
                told = tuple(each.progress() for each in beats if each.done)
                proposals, memory = efficiency.decide(
                    HostState(tuple(states), progress=told), goals, round(now_s * 1e9), memory
                )
                asked = {each.uuid: each.high for each in proposals}
                for gpu, device in enumerate(devices):
                    want = asked.get(device.uuid)
                    if want != held[gpu]:
                        if want is None:
                            host.reset_clocks(gpu)
                        else:
                            host.lock_clocks(gpu, device.clocks_mhz[0], int(want))
                        held[gpu] = want
                    if trace and jobs[gpu].name in memory.jobs:
                        j = memory.jobs[jobs[gpu].name]
                        entry = (now_s, j.choice.setting, f"{j.choice.stage} {j.choice.why} | {j.said}", j.slack_s(round(now_s * 1e9)))
                        if not logs[gpu] or logs[gpu][-1][1:3] != entry[1:3]:
                            logs[gpu].append(entry)
            work = {one["gpus"][0]: one["units"][0] for one in host.progress()}
            return [Run(host.energy_true_j(gpu), work[gpu], memory, logs[gpu]) for gpu in range(len(jobs))]


def _device(view: Any) -> Device:
    low, high, step = view["sm_clock_min_mhz"], view["sm_clock_max_mhz"], view["sm_clock_step_mhz"]
    clocks = tuple(sorted({int(high - number * step) for number in range(int((high - low) / step) + 1)}))
    watts = (view["limit_min_mw"] / 1e3, view["limit_max_mw"] / 1e3, view["limit_default_mw"] / 1e3)
    return Device(
        view["uuid"], 0, view["name"], "", *watts, 0.1, 0.1, Knob(True), Knob(True), clocks
    )
