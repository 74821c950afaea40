"""A curve is gone by only while its job bears it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eagent.model import Budget, HostState, Progress, ProgressSource
from eagent.policy.budget import watch
from eagent.policy.goals import Goals, Sharing
from eagent.policy.search.pace import JobPace, Pace
from eagent.policy.witness import Witnesses

SECOND_NS = 1_000_000_000
STEEP = Pace(((0.0, 0.0), (100.0, 0.4), (400.0, 1.0)), 100.0, 400.0)
FLAT = Pace(((0.0, 0.0), (150.0, 0.85), (300.0, 1.0)), 150.0, 300.0)


class Pair:
    """Two jobs under a budget that go as `true` says, seven units a second at full pace."""

    def __init__(self, gpus: Any, true: tuple[Pace, Pace]) -> None:
        self.gpus, self.true = gpus, true
        self.limits_w, self.units, self.joules = [250.0, 250.0], [0.0, 0.0], [0.0, 0.0]
        self.readable = True
        self.drawn_w: float | None = None  # by the first; None: what its limit lets it
        self.memory: Witnesses | None = None
        self.second = 0

    def run(self, seconds: int) -> list[float]:
        """Let time pass; the limits then."""
        for _ in range(seconds):
            self.second += 1
            states, progress, paces = [], [], []
            for n, known in enumerate((STEEP, FLAT)):
                limit_w, device = self.limits_w[n], self.gpus.device(n)
                self.units[n] += 7 * self.true[n].at(limit_w)
                self.joules[n] += limit_w
                energy = self.gpus.ok(self.joules[n] if self.readable else None)
                drawn_w, capped = (limit_w, 1.0) if n or self.drawn_w is None else (self.drawn_w, 0.0)
                shown = self.gpus.state(device, drawn_w, limit_w=limit_w, capped=capped)
                states.append(replace(shown, energy_j=energy))
                at_ns, uuids = self.second * SECOND_NS, frozenset({device.uuid})
                progress.append(Progress(f"job{n}", uuids, ProgressSource.BEATS, self.units[n], at_ns))
                paces.append(JobPace(f"job{n}", progress[n].run, uuids, known))
            caps = {each.device.uuid: 100.0 for each in states}
            state = HostState(tuple(states), Budget(500, 0, caps), progress=tuple(progress))
            goals = Goals(Sharing(near_limit=1.0, step_w=5.0, spend=1.0), paces=tuple(paces))
            asked, self.memory = watch(state, goals, self.second * SECOND_NS, self.memory)
            self.limits_w = [each.high for each in asked]
        return self.limits_w


def test_it_is_split_by_need_until_the_jobs_have_shown_how_fast_they_go(gpus: Any) -> None:
    pair = Pair(gpus, (STEEP, FLAT))
    assert pair.run(10) == [250, 250]
    assert pair.run(5) == [350, 150]
    assert pair.run(120) == [350, 150]


def test_a_job_that_gets_slower_than_its_curve_says_has_its_watts_back_and_keeps_them(gpus: Any) -> None:
    wrong = Pace(((0.0, 0.0), (250.0, 0.95), (300.0, 1.0)), 150.0, 300.0)  # it is right about where they begin
    pair = Pair(gpus, (STEEP, wrong))
    assert pair.run(15) == [350, 150]
    assert pair.run(15) == [250, 250]
    assert pair.run(500) == [250, 250]
    split_s = sum(pair.run(1) == [350, 150] for _ in range(1200))
    assert 0 < split_s < 60  # asked again, and found out again


def test_a_job_that_does_something_else_is_believed_no_more(gpus: Any) -> None:
    pair = Pair(gpus, (STEEP, FLAT))
    assert pair.run(60) == [350, 150]
    pair.true = (Pace(((0.0, 0.0), (400.0, 0.5)), 0.0, 400.0), FLAT)
    assert pair.run(30) == [250, 250]


def test_a_job_whose_counters_cannot_be_read_shows_nothing(gpus: Any) -> None:
    pair = Pair(gpus, (STEEP, FLAT))
    pair.readable = False
    assert pair.run(60) == [250, 250]


def test_of_a_job_of_which_nothing_is_known_any_more_nothing_is_kept(gpus: Any) -> None:
    pair = Pair(gpus, (STEEP, FLAT))
    pair.run(60)
    assert watch(HostState(()), Goals(), 61 * SECOND_NS, pair.memory) == ([], {})


def test_a_stretch_under_two_limits_shows_nothing(gpus: Any) -> None:
    pair = Pair(gpus, (STEEP, FLAT))
    for _ in range(10):
        pair.limits_w = [300.0, 200.0]
        pair.run(6)
    assert pair.memory
    assert [each.rate for each in pair.memory.values()] == [None, None]


def test_a_job_that_pauses_is_split_with_again_a_minute_later_and_not_to_and_fro(gpus: Any) -> None:
    pair = Pair(gpus, (STEEP, FLAT))
    pair.run(30)
    pair.drawn_w = 60.0
    pair.run(1)
    pair.drawn_w = None
    assert all(pair.run(1) == [250, 250] for _ in range(58))
    assert pair.run(20) == [350, 150]
