"""CPUs are slowed for a job on governed GPUs only while its account sees what that costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.model import (
    Device,
    DeviceKind,
    DeviceState,
    HostState,
    Knob,
    KnobName,
    Progress,
    ProgressSource,
    Reading,
    Status,
)
from eagent.policy import cpu, efficiency
from eagent.policy import feeding as feeding_room
from eagent.policy.efficiency import Memory
from eagent.policy.goals import Efficiency, Feeding, Goals
from eagent.policy.search.job import Job, Subject, begin
from eagent.policy.search.searcher import Choice, Stage
from eagent.policy.together import PART, feeding

HOST = Feeding(slowdown=0.03)
SECOND_NS = 1_000_000_000
CPU_PART_S, GPU_PART_S, BETA = 0.03, 0.27, 0.8  # of a step, in turns; how much of the GPU's follows its clock
GPU_CLOCKS, CPU_CLOCKS = tuple(range(210, 1411, 15)), tuple(range(800, 3401, 100))


def job(name: str, stage: Stage, setting: float, bound: float) -> Job:
    made = begin(Subject(name, name, frozenset({name}), KnobName.GPU_CLOCK, "step"), 1410.0, bound, (), 0)
    return replace(made, choice=Choice(setting, stage, 0.0, ""), in_force=setting)


def memory(*jobs: Job) -> Memory:
    return Memory({each.subject.name: each for each in jobs})


def test_where_no_job_is_governed_all_is_as_the_operator_set_it() -> None:
    assert feeding(HOST, Memory()) == HOST


def test_jobs_that_are_held_share_a_part_of_their_least_bound_with_their_cpus() -> None:
    held = memory(job("a", Stage.HOLD, 1200.0, 0.10), job("b", Stage.HOLD, 900.0, 0.04))
    assert feeding(HOST, held) == Feeding(slowdown=PART * 0.04)
    assert feeding(Feeding(slowdown=0.001), held).slowdown == 0.001


@pytest.mark.parametrize(
    ("stage", "setting"),
    [(Stage.BASE, 1410.0), (Stage.SAFE, 1410.0), (Stage.TRIAL, 1200.0), (Stage.HOLD, 1410.0)],
)
def test_cpus_are_free_while_any_job_is_measured_or_at_the_top(stage: Stage, setting: float) -> None:
    made = feeding(HOST, memory(job("a", Stage.HOLD, 1200.0, 0.10), job("b", stage, setting, 0.10)))
    assert made.free is not None
    assert "b " in made.free


def ok(value: float) -> Reading:
    return Reading(value, Status.OK, "test")


class Turns:
    """A job whose steps go in turns, the CPU's part and the GPU's, under both policies; a turn a second."""

    def __init__(self, device: Device, bound: float) -> None:
        self.gpu = replace(device, clock=Knob(True), clocks_mhz=GPU_CLOCKS)
        package = (*("CPU-0", 0, "Xeon", "", 125, 250, 250, 0.1, 0.1, Knob(True)),)
        self.cpu = replace(
            Device(*package),
            clock=Knob(True),
            clocks_mhz=CPU_CLOCKS,
            kind=DeviceKind.CPU,
            cpus=32,
        )
        self.goals = Goals(efficiency=Efficiency(slowdown=bound))
        self.gpu_mhz, self.cpu_mhz = float(GPU_CLOCKS[-1]), float(CPU_CLOCKS[-1])
        self.steps, self.joules, self.second = 0.0, 1000.0, 0
        self.of_gpus = Memory()
        self.of_cpus: feeding_room.Memory | None = None
        self.slowed = 0  # seconds with a ceiling on the CPUs

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second += 1
            waits_s = CPU_PART_S * CPU_CLOCKS[-1] / self.cpu_mhz
            works_s = GPU_PART_S * (1 + BETA * (GPU_CLOCKS[-1] / self.gpu_mhz - 1))
            self.steps += 1 / (waits_s + works_s)
            self.joules += 100 + 200 * (self.gpu_mhz / GPU_CLOCKS[-1]) ** 3
            self.slowed += self.cpu_mhz < CPU_CLOCKS[-1]
            self.decide(self.state(round(works_s / (waits_s + works_s), 2)), self.second * SECOND_NS)

    def state(self, busy: float) -> HostState:
        gpu = DeviceState(
            self.gpu,
            gpu_utilisation=ok(busy),
            busy_peak=ok(busy),
            busy_share=ok(busy),
            compute_processes=ok(1),
            energy_j=ok(self.joules),
            clock_held=self.gpu_mhz < GPU_CLOCKS[-1],
        )
        held = self.cpu_mhz < CPU_CLOCKS[-1]
        package = DeviceState(
            self.cpu, ceiling_mhz=self.cpu_mhz, clock_held=held, prior_ceiling_mhz=CPU_CLOCKS[-1] if held else None
        )
        now_ns, uuids = self.second * SECOND_NS, frozenset({self.gpu.uuid})
        progress = Progress("train", uuids, ProgressSource.BEATS, self.steps, now_ns)
        return HostState((gpu, package), busy_cpus=ok(2.0), progress=(progress,))

    def decide(self, state: HostState, now_ns: int) -> None:
        goals = replace(self.goals, feeding=feeding(HOST, self.of_gpus))
        (asked,), self.of_cpus = cpu.decide(state, goals, now_ns, self.of_cpus)
        self.cpu_mhz = asked.high
        proposals, self.of_gpus = efficiency.decide(state, goals, now_ns, self.of_gpus)
        self.gpu_mhz = proposals[0].high if proposals else float(GPU_CLOCKS[-1])


@pytest.mark.parametrize(("bound", "slowed"), [(0.02, 0), (0.05, 300)])  # of 2 % the CPUs' part is not worth a write
def test_what_both_cost_a_job_is_within_its_bound(gpus: Any, bound: float, slowed: int) -> None:
    turns = Turns(gpus.device(0), bound)
    turns.run(1500)
    slowdown = 1500 / (turns.steps * (CPU_PART_S + GPU_PART_S)) - 1
    assert slowdown <= bound
    assert slowdown > 0.4 * bound
    assert turns.slowed >= slowed
