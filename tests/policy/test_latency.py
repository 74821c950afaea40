"""Servers with goals on their latencies: low clocks only on fresh evidence, and up at once."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.model import DeviceState, HostState, Knob, KnobName, Latencies, Priority, Progress, ProgressSource, Proposal
from eagent.policy.goals import Efficiency, Goals
from eagent.policy.latency import Memory, decide

SECOND_NS = 1_000_000_000
CLOCKS = tuple(range(210, 1411, 15))
TOP = 1410.0
FIRST = (0.1, 0.25, 0.5, 1.0, 2.5, math.inf)
BETWEEN = (0.025, 0.1, 0.15, 0.2, 0.3, math.inf)
GOALS = Goals(efficiency=Efficiency(first_token_s=2.5, between_tokens_s=0.2))

Law = Callable[[float, int], tuple[float, float]]  # the two p99 latencies, of the clock in MHz and the second


def spread(bounds: tuple[float, ...], p99_s: float, total: int) -> tuple[int, ...]:
    """Latencies of an exponential law with that p99, bucket by bucket, nearest to the counts that make `total`."""
    below = [round(total * (1 - 0.01 ** (bound / p99_s))) for bound in bounds]
    return tuple(now - before for before, now in zip([0, *below], below, strict=False))


class Rig:
    """A server on two GPUs, and what the policy makes of it, second by second."""

    def __init__(self, make: Any, goals: Goals = GOALS, job: str = "llm") -> None:
        self.goals, self.job = goals, job
        self.devices = [replace(make.device(n), clock=Knob(True), clocks_mhz=CLOCKS) for n in range(2)]
        self.ok = make.ok
        self.memory: Memory | None = None
        self.mhz = TOP
        self.second = 0
        self.first, self.between = (0,) * len(FIRST), (0,) * len(BETWEEN)
        self.progress: Progress | None = None

    def tick(self, p99_s: tuple[float, float], per_s: int = 4) -> list[Proposal]:
        """One second in which the server answers, and the policy's word on it."""
        self.first = tuple(map(sum, zip(self.first, spread(FIRST, p99_s[0], per_s), strict=True)))
        self.between = tuple(map(sum, zip(self.between, spread(BETWEEN, p99_s[1], 200 * per_s), strict=True)))
        latencies = (
            Latencies("first token", FIRST, self.first),
            Latencies("between tokens", BETWEEN, self.between),
        )
        uuids = frozenset(device.uuid for device in self.devices)
        self.progress = Progress(
            self.job,
            uuids,
            ProgressSource.COUNTER,
            float(sum(self.between)),
            (self.second + 1) * SECOND_NS,
            "token",
            latencies,
        )
        return self.ask()

    def ask(self, seconds: int = 1) -> list[Proposal]:
        """The policy's word after so many seconds more, with what was told last."""
        self.second += seconds
        states = tuple(DeviceState(device, sm_clock_mhz=self.ok(self.mhz)) for device in self.devices)
        state = HostState(states, progress=(self.progress,) if self.progress else ())
        proposals, self.memory = decide(state, self.goals, self.second * SECOND_NS, self.memory)
        if proposals:
            self.mhz = proposals[0].high
        return proposals

    def run(self, seconds: int, law: Law, per_s: int = 4) -> list[float]:
        """Clocks of so many seconds."""
        clocks = []
        for _ in range(seconds):
            self.tick(law(self.mhz, self.second), per_s)
            clocks.append(self.mhz)
        return clocks


def scaled(first_s: float, between_s: float) -> Law:
    """Latencies that grow as the clock falls."""
    return lambda mhz, _: (first_s * TOP / mhz, between_s * TOP / mhz)


def test_a_server_far_from_its_goals_goes_down_step_by_step_and_stays_within_them(gpus: Any) -> None:
    rig = Rig(gpus)
    clocks = rig.run(900, scaled(0.5, 0.12))
    assert clocks[0] == TOP
    assert all(after >= before * 0.9 for before, after in itertools.pairwise(clocks))
    assert 0.12 * TOP / 0.2 < clocks[-1] < 1300  # below it the p99 between tokens would be above its goal
    assert max(clocks[300:]) < TOP


def test_all_gpus_of_a_server_have_one_ceiling(gpus: Any) -> None:
    rig = Rig(gpus)
    rig.run(200, scaled(0.5, 0.1))
    proposals = rig.tick((0.5, 0.1))
    assert {each.uuid for each in proposals} == {device.uuid for device in rig.devices}
    assert len({each.high for each in proposals}) == 1
    assert {(each.knob, each.priority) for each in proposals} == {(KnobName.GPU_CLOCK, Priority.EFFICIENCY)}


def test_it_goes_up_at_once_when_the_tail_nears_its_goal(gpus: Any) -> None:
    rig = Rig(gpus)
    assert rig.run(300, scaled(0.5, 0.1))[-1] < TOP
    for _ in range(60):
        (proposal, _) = rig.tick((0.5, 0.3))
        if proposal.high == TOP:
            break
    assert proposal.high == TOP
    assert "took more than 0.2 s" in proposal.reason
    assert rig.memory is not None  # and before the last minute had one in a hundred of them above it
    minute = [each.counts["between tokens"] for each in rig.memory.servers[rig.progress.run].back(60.0)]
    assert sum(each.over(0.2) for each in minute) <= 0.01 * sum(each.total for each in minute)


def test_a_load_that_it_has_not_been_seen_with_gets_full_clocks(gpus: Any) -> None:
    rig = Rig(gpus)
    assert rig.run(300, scaled(0.5, 0.1))[-1] < TOP
    clocks = rig.run(6, scaled(0.5, 0.1), per_s=40)
    assert TOP in clocks[:3]


def test_a_load_that_is_known_is_gone_down_for_at_once(gpus: Any) -> None:
    rig = Rig(gpus)
    rig.run(300, scaled(0.5, 0.1), per_s=4)
    low = rig.mhz
    rig.run(120, lambda *_: (0.5, 0.5), per_s=40)
    assert rig.mhz == TOP
    clocks = rig.run(120, scaled(0.5, 0.1), per_s=4)
    first = next(place for place, mhz in enumerate(clocks) if mhz < TOP)
    assert clocks[first + 40] <= low * 1.1


def test_a_load_that_falls_to_where_nothing_was_tried_goes_on_down_from_the_clock_that_it_has(gpus: Any) -> None:
    rig = Rig(gpus)
    busy = rig.run(200, scaled(0.5, 0.16), per_s=8)[-1]
    assert 0.16 * TOP / 0.2 < busy < TOP
    assert rig.run(400, scaled(0.25, 0.05), per_s=4)[-1] < busy / 2


@pytest.fixture(scope="module")
def held(gpus: Any) -> Rig:
    """A server with low clocks."""
    rig = Rig(gpus)
    assert rig.run(150, scaled(0.5, 0.1))[-1] < TOP
    return rig


@given(st.integers(6, 3500))
def test_a_stale_signal_always_gives_full_clocks(held: Rig, seconds: int) -> None:
    rig = copy.copy(held)
    proposals = rig.ask(seconds)
    assert [each.high for each in proposals] == [TOP, TOP]
    assert f"its histograms are {seconds} s old" in proposals[0].reason
    rig.progress = None  # and so does none
    assert [each.high for each in rig.ask()] == [TOP, TOP]


def test_too_few_requests_for_a_p99_get_full_clocks(gpus: Any) -> None:
    rig = Rig(gpus)
    for second in range(400):
        (proposal, _) = rig.tick((0.1, 0.1), per_s=1 if second % 4 == 0 else 0)
        assert proposal.high == TOP
    assert "75 times to the first token in 300 s are too few for a p99" in proposal.reason


def test_a_server_without_the_histogram_of_a_goal_gets_full_clocks(gpus: Any) -> None:
    rig = Rig(gpus)
    rig.run(3, scaled(0.5, 0.1))
    assert rig.progress is not None
    rig.progress = replace(rig.progress, at_ns=4 * SECOND_NS, latencies=rig.progress.latencies[1:])
    assert "it has no histogram of times to the first token" in rig.ask()[0].reason
    rig.progress = replace(rig.progress, at_ns=5 * SECOND_NS, latencies=())
    assert "it has no histogram" in rig.ask()[0].reason


def test_a_goal_below_all_bounds_gets_full_clocks(gpus: Any) -> None:
    rig = Rig(gpus, Goals(efficiency=Efficiency(between_tokens_s=0.01)))
    assert set(rig.run(200, scaled(0.1, 0.001))) == {TOP}
    assert "begins at 0.025 s, above the goal" in rig.tick((0.1, 0.001))[0].reason


def test_a_server_that_begins_anew_is_looked_at_anew(gpus: Any) -> None:
    rig = Rig(gpus)
    rig.run(150, scaled(0.5, 0.1))
    rig.first, rig.between = (0,) * len(FIRST), (0,) * len(BETWEEN)
    (proposal, _) = rig.tick((0.5, 0.1))
    assert proposal.high == TOP
    assert "too few" in proposal.reason


def test_without_goals_or_servers_it_asks_for_nothing(gpus: Any) -> None:
    rig = Rig(gpus, Goals())
    rig.run(5, scaled(0.5, 0.1))
    assert rig.ask() == []
    assert Rig(gpus).ask() == []


@settings(deadline=None, max_examples=50)
@given(
    st.floats(0, 2000), st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.001, 1), st.integers(0, 40)), max_size=12)
)
def test_no_clock_is_ever_below_the_operators_floor(
    gpus: Any, floor_mhz: float, phases: list[tuple[float, float, int]]
) -> None:
    rig = Rig(gpus, replace(GOALS, efficiency=replace(GOALS.efficiency, least_clock_mhz=floor_mhz)))
    for first_s, between_s, per_s in phases:
        assert min(rig.run(7, lambda *_: (first_s, between_s), per_s)) >= min(floor_mhz, TOP)  # noqa: B023


LIES = st.lists(
    st.tuples(
        st.lists(st.floats(0, allow_nan=False, allow_infinity=False), max_size=4, unique=True).map(sorted),
        st.lists(st.integers(0, 10**18), min_size=5, max_size=5),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=100)
@given(LIES, st.lists(st.integers(0, 10**18), max_size=8), st.sampled_from([0.0, 900.0, 1305.0]))
def test_a_server_that_lies_stays_above_the_operators_floor_and_changes_nothing_for_another(
    gpus: Any, lies: list[tuple[list[float], list[int]]], steps: list[int], floor_mhz: float
) -> None:
    goals = replace(GOALS, efficiency=replace(GOALS.efficiency, least_clock_mhz=floor_mhz))
    honest, liar = Rig(gpus, goals), Rig(gpus, goals, job="liar")
    memory: Memory | None = None
    other = frozenset({"GPU-other"})
    devices = [replace(honest.devices[0], uuid="GPU-other")]
    for second, (bounds, counts) in enumerate(itertools.chain.from_iterable(itertools.repeat(lies, 3))):
        proposals = honest.tick((0.5, 0.1), per_s=60)
        grown = sum(steps[:second])
        told = (*bounds, math.inf)
        latencies = tuple(
            Latencies(kind, told, tuple(count + grown for count in counts[: len(told)]))
            for kind in ("first token", "between tokens")
        )
        at_ns = honest.second * SECOND_NS
        liar.progress = Progress("liar", other, ProgressSource.COUNTER, 1.0, at_ns, "token", latencies)
        assert honest.progress is not None
        states = tuple(DeviceState(device, sm_clock_mhz=honest.ok(TOP)) for device in (*honest.devices, *devices))
        both, memory = decide(HostState(states, progress=(honest.progress, liar.progress)), goals, at_ns, memory)
        assert [each for each in both if each.uuid != "GPU-other"] == proposals
        assert all(floor_mhz <= each.high <= TOP for each in both)


def test_where_two_servers_share_a_gpu_the_one_that_needs_more_has_it(gpus: Any) -> None:
    low, new = Rig(gpus), Rig(gpus, job="new")
    low.run(150, scaled(0.5, 0.1))
    new.second = low.second
    new.tick((0.5, 0.1))
    assert low.mhz < TOP
    assert low.progress is not None
    assert new.progress is not None
    states = tuple(DeviceState(device, sm_clock_mhz=low.ok(low.mhz)) for device in low.devices)
    progress = (replace(low.progress, at_ns=low.second * SECOND_NS), new.progress)
    proposals, _ = decide(HostState(states, progress=progress), GOALS, low.second * SECOND_NS, low.memory)
    assert [(each.high, each.reason.split(":")[0]) for each in proposals] == [(TOP, "new")] * 2


def test_a_clock_that_sinks_while_it_rests_is_no_evidence_for_low_clocks(gpus: Any) -> None:
    rig, asked_mhz = Rig(gpus), TOP
    for _ in range(400):
        rig.mhz = 210.0  # what it shows, whatever it is given
        rig.tick(scaled(0.5, 0.12)(asked_mhz, 0))
        asked_mhz = rig.mhz
    assert asked_mhz > 0.12 * TOP / 0.2


@pytest.mark.parametrize("kind", ["first_token_s", "between_tokens_s"])
def test_one_goal_is_enough(gpus: Any, kind: str) -> None:
    goals = Goals(efficiency=replace(Efficiency(), **{kind: {"first_token_s": 2.5, "between_tokens_s": 0.2}[kind]}))
    assert Rig(gpus, goals).run(200, scaled(0.5, 0.1))[-1] < TOP
