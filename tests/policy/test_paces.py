"""Whose pace by watts is known: of jobs that run, from this run or one before, not from what a limit held down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.model import HostState, Knob, KnobName, Progress, ProgressSource
from eagent.policy.efficiency import Memory, decide, learnt
from eagent.policy.goals import Efficiency, Goals
from eagent.policy.paces import paces
from eagent.policy.search.searcher import Stage

SECOND_NS = 1_000_000_000
GOALS = Goals(efficiency=Efficiency(slowdown=0.05))
POWER_W = 300.0


class Seat:
    """One GPU with a job, of which four fifths follow the clock; `cap_w` is a limit that is not the policy's."""

    def __init__(self, gpus: Any, memory: Memory | None = None) -> None:
        self.gpus, self.memory = gpus, memory or Memory()
        clocks = tuple(range(210, 1411, 15))
        self.device = replace(gpus.device(0), clock=Knob(True), clocks_mhz=clocks)
        self.second, self.work_s, self.joules, self.ceiling = 0, 0.0, 1000.0, 1410.0
        self.cap_w: float | None = None
        self.processes = 1
        self.run_name = "run"

    def run(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            y, capped = self.ceiling / 1410, 0.0
            if self.cap_w is not None and self.draw_w(y) > self.cap_w:
                y, capped = next(n / 1000 for n in range(1000, 0, -1) if self.draw_w(n / 1000) <= self.cap_w), 1.0
            self.second += 1
            self.work_s += 1 / (1 + 0.8 * (1 / y - 1))
            self.joules += self.draw_w(y)
            ok, draw_w = self.gpus.ok, self.draw_w(y)
            state = replace(
                self.gpus.state(self.device, draw_w, limit_w=self.cap_w or 400, capped=capped, prior_w=400),
                energy_j=ok(self.joules), compute_processes=ok(self.processes), clock_held=self.ceiling < 1410,
            )  # fmt: skip
            progress = Progress(
                self.run_name, frozenset({"GPU-00"}), ProgressSource.BEATS, self.work_s / 0.3,
                self.second * SECOND_NS,
            )  # fmt: skip
            host = HostState((state,), progress=(progress,))
            asked, self.memory = decide(host, GOALS, self.second * SECOND_NS, self.memory)
            self.ceiling = next((each.high for each in asked if each.knob is KnobName.GPU_CLOCK), 1410.0)

    def draw_w(self, y: float) -> float:
        """Watts at a share of the highest clock."""
        return POWER_W * (0.4 + 0.6 * y**3)

    @property
    def known(self) -> Any:
        """What is said of its job."""
        return paces(self.memory, self.second * SECOND_NS)


def test_a_job_that_was_tried_at_lower_clocks_is_known_by_its_watts(gpus: Any) -> None:
    seat = Seat(gpus)
    seat.run(20)
    assert seat.known == ()
    seat.run(400)
    (known,) = seat.known
    assert (known.job, known.uuids) == ("run", frozenset({"GPU-00"}))
    assert known.pace.full_w == pytest.approx(POWER_W, rel=0.02)
    assert known.pace.at(seat.draw_w(0.9)) == pytest.approx(1 / (1 + 0.8 * (1 / 0.9 - 1)), abs=0.02)


def test_what_was_learnt_in_a_run_before_is_known_from_the_first_beat_of_the_next_though_a_limit_holds_it_down(
    gpus: Any,
) -> None:
    first = Seat(gpus)
    first.run(400)
    (job,) = first.memory.jobs.values()
    second = Seat(gpus, Memory(curves={job.subject.signature: learnt(job)}))
    second.cap_w = 220.0
    second.run(60)
    (known,) = second.known
    assert known.pace.full_w == pytest.approx(POWER_W, rel=0.02)


def test_nothing_is_measured_while_a_limit_that_is_not_the_policys_holds_the_clock_down(gpus: Any) -> None:
    seat = Seat(gpus)
    seat.cap_w = 220.0
    seat.run(300)
    (job,) = seat.memory.jobs.values()
    assert (job.phases, job.curve, job.choice.setting) == ((), None, 1410.0)
    assert "power limit" in job.choice.why
    seat.cap_w = None
    seat.run(60)
    (job,) = seat.memory.jobs.values()
    assert job.curve is not None
    assert job.curve.base is not None
    assert job.curve.base.power_w == pytest.approx(POWER_W, rel=0.01)
    assert job.changes == 0


def test_a_clock_that_is_held_stays_and_the_curve_is_not_blurred_when_a_limit_comes_and_goes(gpus: Any) -> None:
    seat = Seat(gpus)
    seat.run(900)
    (job,) = seat.memory.jobs.values()
    assert job.choice.stage is Stage.HOLD
    ceiling, curve = seat.ceiling, job.curve
    assert ceiling < 1410
    seat.cap_w = 200.0
    seat.run(120)
    (job,) = seat.memory.jobs.values()
    assert (seat.ceiling, job.curve) == (ceiling, curve)
    assert seat.known
    seat.cap_w = None
    seat.run(300)
    (job,) = seat.memory.jobs.values()
    assert job.changes == 0
    assert job.slack_s(seat.second * SECOND_NS) > 0


def test_of_who_shares_its_gpu_and_of_who_is_gone_nothing_is_known(gpus: Any) -> None:
    seat = Seat(gpus)
    seat.run(400)
    assert paces(seat.memory, (seat.second + 31) * SECOND_NS) == ()
    seat.processes = 2
    seat.run(1)
    assert seat.known == ()
