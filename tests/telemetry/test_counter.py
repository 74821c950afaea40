from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.telemetry.counter import Counter, Step

SECOND = 1_000_000_000
LIMIT_W = 400.0
# Seconds until the next reading and the watts meanwhile.
PASSES = st.lists(st.tuples(st.floats(0.01, 600), st.floats(0, 1.4 * LIMIT_W)), min_size=1, max_size=50)


def steps_of(raws_mj: list[int], times_ns: list[int]) -> list[Step]:
    counter = Counter(LIMIT_W)
    return [counter.add(time_ns, raw_mj) for time_ns, raw_mj in zip(times_ns, raws_mj, strict=True)]


def course(begin_mj: int, passes: list[tuple[float, float]]) -> tuple[list[int], list[int]]:
    """Totals and times of readings."""
    totals_mj, times_ns = [begin_mj], [SECOND]
    for elapsed_s, power_w in passes:
        totals_mj.append(totals_mj[-1] + round(elapsed_s * power_w * 1000))
        times_ns.append(times_ns[-1] + round(elapsed_s * SECOND))
    return totals_mj, times_ns


@given(begin_mj=st.integers(0, 2**64 - 1), passes=PASSES)
def test_what_a_counter_of_64_bits_adds_is_what_was_drawn_wrapped_or_not(
    begin_mj: int, passes: list[tuple[float, float]]
) -> None:
    totals_mj, times_ns = course(begin_mj, passes)
    steps = steps_of([total % 2**64 for total in totals_mj], times_ns)
    assert sum(step.added_mj for step in steps) == totals_mj[-1] - totals_mj[0]
    assert not any(step.is_reset for step in steps)


@given(begin_mj=st.integers(2**32 - 10_000_000, 2**32 - 1), passes=PASSES)
def test_a_counter_of_32_bits_may_wrap(begin_mj: int, passes: list[tuple[float, float]]) -> None:
    totals_mj, times_ns = course(begin_mj, passes)
    steps = steps_of([total % 2**32 for total in totals_mj], times_ns)
    assert sum(step.added_mj for step in steps) == totals_mj[-1] - totals_mj[0]


@given(begin_mj=st.integers(10**9, 2**31), before=PASSES, after=PASSES)
def test_a_reset_loses_only_what_was_drawn_before_it_and_is_told(
    begin_mj: int, before: list[tuple[float, float]], after: list[tuple[float, float]]
) -> None:
    first_mj, first_ns = course(begin_mj, before)
    then_mj, then_ns = course(round(after[0][1] * 100), after)  # a tenth of a second after the driver's load
    then_ns = [time_ns + first_ns[-1] + SECOND for time_ns in then_ns]
    steps = steps_of(first_mj + then_mj, first_ns + then_ns)
    assert [step.is_reset for step in steps].index(True) == len(first_mj)
    assert sum(step.added_mj for step in steps) == first_mj[-1] - first_mj[0] + then_mj[-1]


@given(raws_mj=st.lists(st.integers(-(2**63), 2**64 - 1), min_size=2, max_size=20), elapsed_s=st.floats(0.01, 10))
def test_no_step_is_negative_or_more_than_a_board_can_draw(raws_mj: list[int], elapsed_s: float) -> None:
    times_ns = [round(SECOND * elapsed_s * i) for i in range(len(raws_mj))]
    for step in steps_of(raws_mj, times_ns):
        assert 0 <= step.added_mj <= 2 * LIMIT_W * 1000 * elapsed_s + 100_001


@pytest.mark.parametrize("raw_mj", [0, 2**63, 2**64 - 1])
def test_the_first_reading_adds_nothing(raw_mj: int) -> None:
    assert Counter(LIMIT_W).add(SECOND, raw_mj) == Step(0)
