"""Who is governed by the efficiency policy, who is left alone and told so, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.model import Device, DeviceState, HostState, Knob, KnobName, Latencies, Progress, ProgressSource
from eagent.policy.efficiency import KNOWN_MOST, Memory, all_curves, decide, told
from eagent.policy.goals import Aim, Efficiency, Goals, Hint
from eagent.wish import Wish

SECOND_NS = 1_000_000_000
CLOCKS = tuple(range(210, 1411, 15))
GOALS = Goals(efficiency=Efficiency(slowdown=0.05))


class Rack:
    """GPUs that do one step in 0.3 s at full clock, four fifths of it by the clock, and jobs on them."""

    def __init__(self, gpus: Any, jobs: dict[str, tuple[int, ...]], **device: Any) -> None:
        self.gpus, self.jobs = gpus, jobs
        self.numbers = sorted({number for members in jobs.values() for number in members})
        self.device = device
        self.second = 0
        self.work_s = dict.fromkeys(jobs, 0.0)
        self.joules = dict.fromkeys(self.numbers, 1000.0)
        self.held: dict[tuple[str, KnobName], float] = {}
        self.memory = Memory()
        self.gangs: tuple[frozenset[str], ...] = ()
        self.latencies: tuple[Latencies, ...] = ()
        self.names = {job: job for job in jobs}

    def make(self, number: int) -> Device:
        made: Device = self.gpus.device(number)
        return replace(made, **{"clock": Knob(True), "clocks_mhz": CLOCKS, **self.device})

    def state(self, number: int) -> DeviceState:
        device, ok = self.make(number), self.gpus.ok
        limit_w = self.held.get((device.uuid, KnobName.POWER_LIMIT), device.default_limit_w)
        return DeviceState(
            device,
            energy_j=ok(self.joules[number]),
            limit_w=ok(limit_w),
            prior_limit_w=device.default_limit_w,
            compute_processes=ok(1),
            busy_share=ok(1),
            clock_held=(device.uuid, KnobName.GPU_CLOCK) in self.held,
        )

    def pace(self, number: int) -> float:
        uuid = self.make(number).uuid
        y = self.held.get((uuid, KnobName.GPU_CLOCK), 1410.0) / 1410
        y *= min(1.0, self.held.get((uuid, KnobName.POWER_LIMIT), 400.0) / 300) ** 0.5
        return 1 / (1 + 0.8 * (1 / y - 1))

    def run(self, seconds: int, goals: Goals = GOALS, *, tell: bool = True, **changes: Any) -> list[Any]:
        """Let time pass; what was asked for last."""
        proposals: list[Any] = []
        for _ in range(seconds):
            self.second += 1
            progress = []
            for job, members in self.jobs.items():
                pace = min(self.pace(number) for number in members)  # the slowest sets it
                self.work_s[job] += pace
                steps = int(self.work_s[job] / 0.3 + 1e-9)
                ended_s = self.second - (self.work_s[job] - 0.3 * steps) / pace
                uuids = frozenset(self.make(number).uuid for number in members)
                progress.append(
                    Progress(
                        self.names[job],
                        uuids,
                        ProgressSource.BEATS,
                        steps,
                        round(ended_s * SECOND_NS),
                        latencies=self.latencies,
                    )
                )
            for number in self.numbers:
                self.joules[number] += 100 + 200 * self.pace(number) ** 3
            states = tuple(replace(self.state(number), **changes) for number in self.numbers)
            state = HostState(states, gangs=self.gangs, progress=tuple(progress) if tell else ())
            proposals, self.memory = decide(state, goals, self.second * SECOND_NS, self.memory)
            self.held = {(each.uuid, each.knob): each.high for each in proposals}
        return proposals


def test_a_job_that_tells_how_far_it_comes_gets_a_ceiling_within_its_bound(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    asked = rack.run(900)
    assert [each.knob for each in asked] == [KnobName.GPU_CLOCK]
    assert rack.second / rack.work_s["a"] - 1 <= 0.05
    assert "a: " in asked[0].reason


def test_the_same_command_that_runs_several_times_is_several_jobs(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,), "b": (1,)})
    rack.names = {"a": "0 train.py", "b": "0 train.py"}
    asked = rack.run(900)
    assert {each.uuid for each in asked} == {"GPU-00", "GPU-01"}
    assert all(rack.second / rack.work_s[job] - 1 <= 0.05 for job in "ab")


def test_all_gpus_of_a_job_and_of_its_gang_get_the_same(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0, 1), "b": (3,)})
    rack.gangs = (frozenset({"GPU-01", "GPU-02"}),)
    rack.numbers, rack.joules[2] = [0, 1, 2, 3], 0.0
    asked = {each.uuid: each.high for each in rack.run(600)}
    assert len({asked["GPU-00"], asked["GPU-01"], asked["GPU-02"]}) == 1


def test_where_clocks_cannot_be_written_the_power_limit_is_the_knob(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)}, clock=Knob(False))
    asked = rack.run(900)
    assert [each.knob for each in asked] == [KnobName.POWER_LIMIT]
    assert rack.second / rack.work_s["a"] - 1 <= 0.05


def test_a_job_never_goes_below_the_operators_floor(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    for _ in range(600):
        asked = rack.run(1, Goals(efficiency=Efficiency(slowdown=0.5, least_clock_mhz=1200)))
        assert all(each.high >= 1200 for each in asked)


def test_a_busy_gpu_that_tells_nothing_is_left_alone_and_that_is_said(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    assert rack.run(300, tell=False) == []
    known = told(rack.memory, "GPU-00", rack.second * SECOND_NS)
    assert known is not None
    assert "left alone" in known["left_alone"]


@pytest.mark.parametrize("processes", [None, 2])
def test_a_gpu_that_others_share_or_may_share_is_left_alone(gpus: Any, processes: float | None) -> None:
    rack = Rack(gpus, {"a": (0,)})
    assert rack.run(300, compute_processes=gpus.ok(processes)) == []
    assert "left alone" in rack.memory.left_alone["GPU-00"]


def test_two_jobs_on_one_gpu_are_both_left_alone(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,), "b": (0, 1)})
    assert rack.run(300) == []
    assert set(rack.memory.left_alone) == {"GPU-00", "GPU-01"}


def test_a_server_whose_work_is_up_to_who_asks_it_is_left_to_goals_on_latencies(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    rack.latencies = (Latencies("first token", (1.0, float("inf")), (1, 0)),)
    assert rack.run(300) == []
    assert "latencies" in rack.memory.left_alone["GPU-00"]


def test_a_job_whose_energy_cannot_be_read_is_left_alone(gpus: Any) -> None:
    assert Rack(gpus, {"a": (0,)}).run(300, energy_j=gpus.ok(None)) == []


def test_another_job_is_never_touched_by_one_that_lies(gpus: Any) -> None:
    rack, alone = Rack(gpus, {"liar": (0,), "b": (1,)}), Rack(gpus, {"b": (1,)})
    for _ in range(400):
        rack.work_s["liar"] += 1000.0 if rack.second % 50 > 40 else 0.0
        mixed = [each for each in rack.run(1) if each.uuid == "GPU-01"]
        assert mixed == alone.run(1)


def test_a_second_run_of_the_same_job_goes_on_where_the_first_one_ended(gpus: Any) -> None:
    first = Rack(gpus, {"a": (0,)})
    held = first.run(900)[0].high
    second = Rack(gpus, {"a": (0,)})
    second.memory = Memory(curves=all_curves(first.memory))
    highs = [each.high for _ in range(60) for each in second.run(1)]
    assert highs[0] == pytest.approx(held, rel=0.03)


def test_the_curve_of_a_job_that_has_ended_is_remembered(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    rack.run(600)
    assert rack.memory.curves == {}
    rack.run(90, tell=False)
    assert list(rack.memory.curves) == ["a on 1 x A100"]
    assert rack.memory.jobs == {}


def test_what_is_known_can_be_told(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    rack.run(600)
    known = told(rack.memory, "GPU-00", rack.second * SECOND_NS)
    assert known is not None
    assert known["bound"] == 0.05
    assert known["curve"][-1]["setting"] == 1410
    assert all(point["slowdown_error"] > 0 for point in known["curve"])
    assert known["why"]


def test_of_too_many_jobs_that_have_ended_the_oldest_are_forgotten(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    rack.run(900)
    (known,) = all_curves(rack.memory).values()
    rack.memory = replace(rack.memory, curves={f"job {number}": known for number in range(KNOWN_MOST)})
    rack.jobs = {}
    rack.run(70)
    assert len(rack.memory.curves) == KNOWN_MOST
    assert "job 0" not in rack.memory.curves
    assert any(signature.startswith("a on ") for signature in rack.memory.curves)


def test_each_job_has_the_bound_that_is_wanted_of_it(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,), "b": (1,)})
    aims = (Aim("b", slowdown=0.0),)
    hint = Hint("GPU-00", Wish(slowdown=0.10), "", 10**15)
    asked = rack.run(900, Goals(efficiency=Efficiency(slowdown=0.02, aims=aims), hints=(hint,)))
    assert {each.uuid for each in asked} == {"GPU-00"}
    assert {job.subject.name: job.bound for job in rack.memory.jobs.values()} == {"a": 0.10, "b": 0.0}
    assert 0.02 < rack.second / rack.work_s["a"] - 1 <= 0.10


def test_what_was_lost_while_a_hint_stood_is_made_up_when_it_has_gone(gpus: Any) -> None:
    rack = Rack(gpus, {"a": (0,)})
    hint = Hint("GPU-00", Wish(slowdown=0.10), "", 900 * SECOND_NS)
    bounds = Goals(efficiency=Efficiency(slowdown=0.02), hints=(hint,))
    assert rack.run(890, bounds)
    assert rack.run(30, bounds) == []
