"""Ceilings of CPU packages: never without evidence, up at once, and by no more than the goal allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.model import (
    NEVER,
    Device,
    DeviceKind,
    DeviceState,
    HostState,
    Knob,
    KnobName,
    Priority,
    Proposal,
    Reading,
    Status,
)
from eagent.policy.cpu import decide
from eagent.policy.feeding import Memory, least_pace
from eagent.policy.goals import Feeding, Goals, Idling

SECOND_NS = 1_000_000_000
CLOCKS = tuple(range(800, 3401, 100))
TOP = 3400.0
ALL = frozenset({"GPU-00", "GPU-01"})
CONSENTED = Goals(idle=Idling(consent=ALL))
UNASKED = Goals()

Busy = Callable[[float, int], float]  # of the pace and the second: a GPU's utilisation


def ok(value: float) -> Reading:
    return Reading(value, Status.OK, "test")


def package(n: int, **changes: Any) -> DeviceState:
    device = Device(
        *(f"CPU-{n}", n, "Xeon", "", 125, 250, 250, 0.1, 0.1, Knob(True)),
        clock=Knob(True),
        clocks_mhz=CLOCKS,
        kind=DeviceKind.CPU,
        cpus=32,
    )
    return replace(DeviceState(device, ceiling_mhz=TOP), **changes)


def gpu(make: Any, n: int, busy: float, **changes: Any) -> DeviceState:
    state = DeviceState(
        make.device(n), gpu_utilisation=ok(busy), busy_peak=ok(busy), busy_share=ok(busy), compute_processes=ok(1)
    )
    return replace(state, **changes)


def in_turns(ratio: float) -> Busy:
    return lambda pace, _: 1 / (1 + ratio / pace)


def ahead(ratio: float) -> Busy:
    """The CPU prepares the next step while the GPU works."""
    return lambda pace, _: min(1.0, pace / ratio)


class Play:
    """A host with one package, on which GPUs work and decisions are put in force, second by second."""

    def __init__(self, make: Any, *work: Busy, goals: Goals = CONSENTED, owners_mhz: float = TOP) -> None:
        self.make, self.work, self.goals = make, work, goals
        self.owners_mhz = self.ceiling_mhz = owners_mhz
        self.memory: Memory | None = None
        self.second = 0
        self.reason = ""
        self.priority = Priority.SAFETY
        self.paces: list[float] = []

    @property
    def pace(self) -> float:
        return self.ceiling_mhz / self.owners_mhz

    def state(self) -> HostState:
        held = self.ceiling_mhz < self.owners_mhz
        cpu = package(
            0,
            ceiling_mhz=self.ceiling_mhz,
            clock_held=held,
            prior_ceiling_mhz=self.owners_mhz if held else None,
        )
        gpus = [gpu(self.make, n, round(work(self.pace, self.second), 2)) for n, work in enumerate(self.work)]
        return HostState((*gpus, cpu), busy_cpus=ok(2.0 * len(gpus)))

    def pass_s(self, seconds: int) -> Play:
        for _ in range(seconds):
            proposals, self.memory = decide(self.state(), self.goals, self.second * SECOND_NS, self.memory)
            (asked,) = proposals
            self.ceiling_mhz = self.owners_mhz if asked.high == CLOCKS[-1] else asked.high
            self.reason, self.priority = asked.reason, asked.priority
            self.paces.append(self.pace)
            self.second += 1
        return self


@pytest.fixture
def play(gpus: Any) -> Any:
    return lambda *work, **how: Play(gpus, *work, **how)


@pytest.mark.parametrize("slowdown", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("ratio", [0.03, 1 / 15, 0.3])
def test_work_in_turns_is_slowed_as_far_as_the_goal_allows_and_no_further(
    play: Any, ratio: float, slowdown: float
) -> None:
    ran = play(in_turns(ratio), goals=replace(CONSENTED, feeding=Feeding(slowdown))).pass_s(120)
    costs = ratio * (1 / ran.pace - 1) / (1 + ratio)
    assert costs <= slowdown
    # A step of the ladder, a rounded percent and the dead band are what is left on the table.
    assert ran.pace <= max(least_pace(ratio, 0.8 * slowdown), CONSENTED.feeding.least_pace) + 0.08
    assert "gpu0 waits for them" in ran.reason


def test_it_goes_down_by_steps_and_looks_after_each(play: Any) -> None:
    ran = play(in_turns(0.0)).pass_s(120)
    changes = [(a, b) for a, b in zip(ran.paces, ran.paces[1:], strict=False) if b != a]
    assert len(changes) >= 5
    assert all(b >= 0.84 * a for a, b in changes)
    assert ran.pace == pytest.approx(Feeding().least_pace, abs=0.05)


def test_a_gpu_that_begins_to_wait_raises_the_ceiling_within_seconds(play: Any) -> None:
    ran = play(lambda pace, second: in_turns(0.02 if second < 100 else 0.5)(pace, second)).pass_s(100)
    low = ran.pace
    ran.pass_s(10)
    assert ran.pace == 1 > low
    assert min(ran.pass_s(60).paces[-60:]) >= least_pace(0.5, 0.03)


@pytest.mark.parametrize("ratio", [0.6, 0.8, 0.95, 1.1])
@pytest.mark.parametrize("goals", [CONSENTED, UNASKED], ids=["consented", "unasked"])
def test_work_whose_cpu_part_runs_ahead_is_hardly_slowed(play: Any, ratio: float, goals: Goals) -> None:
    ran = play(ahead(ratio), goals=goals).pass_s(600)
    full = ahead(ratio)(1.0, 0)
    done = sum(ahead(ratio)(pace, 0) / full for pace in ran.paces) / len(ran.paces)
    assert done > 0.95


def test_who_waits_most_rules(play: Any) -> None:
    alone = play(in_turns(0.02)).pass_s(120).pace
    assert play(in_turns(0.02), in_turns(0.2)).pass_s(120).pace > alone


def test_while_all_rest_it_is_as_slow_as_it_goes_and_back_at_the_next_look(play: Any) -> None:
    ran = play(lambda pace, second: 0.0 if 100 <= second < 130 else in_turns(1 / 15)(pace, second)).pass_s(100)
    fed = ran.pace
    ran.pass_s(20)
    assert (ran.ceiling_mhz, ran.priority) == (CLOCKS[0], Priority.IDLE)
    ran.pass_s(10).pass_s(1)
    assert ran.pace == pytest.approx(fed, abs=0.04)


def test_without_consent_a_quiet_process_is_not_slowed(play: Any) -> None:
    assert play(lambda *_: 0.0, goals=UNASKED).pass_s(60).paces == [1.0] * 60
    pausing = play(lambda _, second: 0.0 if second % 10 == 0 else 0.94, goals=UNASKED).pass_s(60)
    assert min(pausing.paces) > 0.95


def test_steady_work_needs_no_consent(play: Any) -> None:
    assert play(in_turns(1 / 15), goals=UNASKED).pass_s(60).pace < 0.75


def test_the_owners_own_ceiling_is_what_the_pace_is_of_and_never_raised(play: Any) -> None:
    ran = play(in_turns(1 / 15), owners_mhz=2000.0).pass_s(120)
    assert 0.6 < ran.pace < 0.75
    assert play(in_turns(5.0), owners_mhz=2000.0).pass_s(60).ceiling_mhz == 2000


UNKNOWN = [
    {"busy_cpus": NEVER},
    {"busy_cpus": Reading(None, Status.STALE)},
    {"busy_cpus": ok(4.5)},
    {"gpu": {"compute_processes": NEVER}},
    {"gpu": {"compute_processes": ok(0)}},
    {"gpu": {"gpu_utilisation": NEVER}},
    {"gpu": {"gpu_utilisation": Reading(None, Status.NOT_SUPPORTED)}},
    {"gpu": {"busy_peak": NEVER}},
]


@pytest.mark.parametrize("change", UNKNOWN)
def test_without_evidence_there_is_no_ceiling_and_the_reason_says_what_is_missing(
    play: Any, change: dict[str, Any]
) -> None:
    ran = play(in_turns(0.01)).pass_s(60)
    state = ran.state()
    gpus = tuple(replace(each, **change.get("gpu", {})) for each in state.gpus)
    state = replace(state, devices=(*gpus, *state.cpus), busy_cpus=change.get("busy_cpus", state.busy_cpus))
    (asked,), _ = decide(state, CONSENTED, ran.second * SECOND_NS, ran.memory)
    assert asked.high == TOP
    assert asked.reason


def test_what_is_busy_beside_the_gpus_is_told_in_numbers(gpus: Any) -> None:
    state = HostState((gpu(gpus, 0, 0.9), package(0)), busy_cpus=ok(9.4))
    assert asked(state).reason == "9.4 CPUs are busy; 1 processes on GPUs explain 3"


def asked(state: HostState, goals: Goals = CONSENTED, memory: Memory | None = None) -> Proposal:
    (proposal,), _ = decide(state, goals, 0, memory)
    return proposal


def test_packages_whose_clock_cannot_be_set_are_left_alone(gpus: Any) -> None:
    fixed = package(0)
    fixed = replace(fixed, device=replace(fixed.device, clock=Knob(False, "no")))
    assert decide(HostState((gpu(gpus, 0, 0.9), fixed), busy_cpus=ok(2)), CONSENTED, 0) == ([], None)


def test_all_packages_get_the_same(gpus: Any) -> None:
    state = HostState((gpu(gpus, 0, 0.0), package(0), package(1)), busy_cpus=ok(2))
    proposals, _ = decide(state, CONSENTED, 0)
    assert [(each.uuid, each.knob, each.high) for each in proposals] == [
        ("CPU-0", KnobName.CPU_CLOCK, 800),
        ("CPU-1", KnobName.CPU_CLOCK, 800),
    ]


readings = st.one_of(
    st.floats(0, 1).map(ok),
    st.sampled_from([NEVER, Reading(None, Status.STALE), Reading(None, Status.NOT_SUPPORTED)]),
)
looks = st.lists(
    st.tuples(
        readings,
        readings,
        st.sampled_from([ok(0), ok(1), ok(2), NEVER]),
        st.one_of(st.floats(0, 20).map(ok), st.just(NEVER)),
        st.sampled_from([None, 800.0, 2000.0, 3400.0]),
        st.booleans(),
    ),
    max_size=40,
)


@given(looks)
def test_whatever_is_read_a_ceiling_is_a_clock_of_the_package_and_has_evidence(gpus: Any, history: Any) -> None:
    memory: Memory | None = None
    for second, (busy, peak, processes, cpus, ceiling_mhz, consented) in enumerate(history):
        state = HostState(
            (
                gpu(gpus, 0, 0.0, gpu_utilisation=busy, busy_peak=peak, compute_processes=processes),
                package(0, ceiling_mhz=ceiling_mhz),
            ),
            busy_cpus=cpus,
        )
        (proposal,), memory = decide(state, CONSENTED if consented else UNASKED, second * SECOND_NS, memory)
        assert proposal.high in CLOCKS
        assert proposal.reason
        if proposal.high < CLOCKS[-1]:
            assert all(each.ok for each in (busy, peak, processes, cpus))
            assert processes.value > 0
            assert cpus.value <= 2 * processes.value + 1
            assert consented or busy.value > 0


def test_cpus_that_a_job_needs_free_have_no_ceiling_and_say_why(play: Any) -> None:
    ran = play(in_turns(0.05)).pass_s(60)
    assert ran.pace < 1
    ran.goals = replace(CONSENTED, feeding=Feeding(free="a is measured"))
    assert (ran.pass_s(1).pace, ran.reason) == (1, "a is measured")
