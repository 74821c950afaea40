"""What utilisation tells of waiting, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.model import NEVER, DeviceState, HostState
from eagent.policy.feeding import LOOK_NS, MOST, SAMPLES_MIN, Memory, Seen, least_pace, look, slowdown, spare, waiting

SECOND_NS = 1_000_000_000
CONSENT = frozenset({"GPU-00"})
RATIOS = st.floats(1e-4, 100.0)
PACES = st.floats(0.1, 1.0)
SLOWDOWNS = st.floats(0.001, 0.2)


@pytest.fixture
def seen(gpus: Any) -> Any:
    """Looks at one GPU, a second apart: `seen([0.9, 0.0], pace=0.8)` gives the memory after them."""

    def looks(
        busy: list[float | None],
        pace: float = 1.0,
        memory: Memory | None = None,
        consent: frozenset[str] = CONSENT,
        processes: float = 1,
    ) -> Memory:
        for share in busy:
            state = DeviceState(gpus.device(0), gpu_utilisation=gpus.ok(share), compute_processes=gpus.ok(processes))
            at_ns = memory.looked_ns + SECOND_NS if memory else 0
            memory = look(memory, HostState((state,)), pace, consent, at_ns)
        assert memory is not None
        return memory

    return looks


def of(memory: Memory) -> Seen:
    return memory.gpus["GPU-00"]


@given(RATIOS, PACES)
def test_waiting_is_never_told_as_less_than_it_is_however_utilisation_was_rounded(ratio: float, pace: float) -> None:
    true = 1 / (1 + ratio / pace)
    assert waiting(round(true * 100) / 100, pace) >= ratio - 1e-9 or waiting(round(true * 100) / 100, pace) == MOST


def test_waiting_is_off_by_little_where_it_matters() -> None:
    assert waiting(0.94, 1.0) == pytest.approx(1 / 15, abs=0.006)
    assert waiting(0.0, 1.0) == waiting(0.004, 1.0) == MOST


@given(RATIOS, SLOWDOWNS)
def test_the_least_pace_costs_exactly_what_is_allowed(ratio: float, most: float) -> None:
    assert slowdown(ratio, least_pace(ratio, most)) == pytest.approx(most)


@given(RATIOS, RATIOS, SLOWDOWNS, SLOWDOWNS)
def test_more_waiting_asks_for_more_pace_and_more_patience_for_less(a: float, b: float, s: float, t: float) -> None:
    assert least_pace(max(a, b), s) >= least_pace(min(a, b), s)
    assert least_pace(a, max(s, t)) <= least_pace(a, min(s, t))


def test_a_second_counts_only_amid_work(seen: Any) -> None:
    assert of(seen([0.0, 0.5, 0.94, 0.94, 0.3, 0.0, 0.0])).lately == (waiting(0.94, 1.0),) * 2


def test_without_consent_every_second_counts_and_the_worst_rules(seen: Any) -> None:
    watched = seen([0.94, 0.94, 0.0, 0.94, 0.94], consent=frozenset())
    assert len(of(watched).lately) == SAMPLES_MIN
    assert of(watched).ratio == MOST
    assert of(seen([0.94] * 50, memory=watched, consent=frozenset())).ratio == MOST
    assert of(seen([0.94] * 60, memory=watched, consent=frozenset())).ratio == waiting(0.94, 1.0)


def test_few_seconds_tell_nothing(seen: Any) -> None:
    looks = SAMPLES_MIN + 1  # the first and the last only bear witness
    assert of(seen([0.94] * looks)).ratio is None
    assert of(seen([0.94] * (looks + 1))).ratio == waiting(0.94, 1.0)


def test_seconds_with_a_short_pause_are_forgotten(seen: Any) -> None:
    assert of(seen([0.94, 0.94, 0.5, 0.94, 0.94, 0.4, 0.94, 0.94, 0.6, 0.94, 0.94])).ratio == waiting(0.94, 1.0)


def test_the_second_in_which_the_ceiling_changed_counts_for_neither(seen: Any) -> None:
    memory = seen([0.94] * 5)
    memory = seen([0.99, 0.90, 0.90], pace=0.6, memory=memory)
    assert of(memory).held == ()
    assert waiting(0.99, 0.6) not in of(memory).lately
    assert of(seen([0.90], pace=0.6, memory=memory)).held == (waiting(0.90, 0.6),)


def test_work_in_turns_seems_to_wait_for_the_same_under_any_ceiling(seen: Any) -> None:
    memory = seen([1 / (1 + 0.2)] * 30)
    memory = seen([1 / (1 + 0.2 / 0.6)] * 30, pace=0.6, memory=memory)
    assert not of(memory).suffers(0.6, 0.03)
    assert memory.tried == 0.6


def test_work_whose_cpu_part_runs_ahead_is_found_out_when_it_falls_behind(seen: Any) -> None:
    memory = seen([1.0] * 30)
    assert not of(memory).suffers(1.0, 0.03)
    memory = seen([0.6 / 0.8] * 30, pace=0.6, memory=memory)  # a step's CPU part takes 0.8 of its GPU part
    assert of(memory).suffers(0.6, 0.03)


def test_who_suffered_is_looked_at_anew(seen: Any) -> None:
    memory = seen([0.75] * 30, pace=0.6, memory=seen([1.0] * 30))
    spared = spare(memory, "GPU-00", 0.7, 99)
    assert (spared.spared, spared.spared_until_ns, spared.tried) == (0.7, 99, 0.7)
    assert of(spared).ratio is None
    assert of(spared).run == of(memory).run


def test_other_processes_and_another_consent_begin_anew(seen: Any) -> None:
    memory = seen([0.94] * 10)
    assert of(seen([0.94], memory=memory)).ratio is not None
    assert of(seen([0.94], memory=memory, processes=2)).ratio is None
    assert len(of(seen([0.94], memory=memory, consent=frozenset())).lately) == 1


def test_what_is_not_known_is_forgotten(seen: Any) -> None:
    assert seen([0.94] * 10 + [None]).gpus == {}
    assert seen([0.94], processes=0).gpus == {}


def test_asked_twice_in_a_second_it_looks_once(seen: Any, gpus: Any) -> None:
    memory = seen([0.94] * 3)
    state = HostState((DeviceState(gpus.device(0), compute_processes=NEVER),))
    assert look(memory, state, 1.0, CONSENT, memory.looked_ns + LOOK_NS - 1) is memory
    assert look(memory, state, 1.0, CONSENT, memory.looked_ns + LOOK_NS) == replace(
        memory, looked_ns=memory.looked_ns + LOOK_NS, gpus={}
    )
