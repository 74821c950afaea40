"""Tails read out of histograms: never to the flattering side."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.policy.tail import Counts, acting_goal_s, allowed, holds, since, summed

LATENCIES = st.lists(st.floats(1e-4, 100), min_size=1, max_size=200)
BOUNDS = st.lists(st.floats(1e-3, 50), max_size=12, unique=True).map(lambda bounds: (*sorted(bounds), math.inf))
BELOW = (0.1, 0.2, math.inf)


def counted(latencies: list[float], bounds: tuple[float, ...]) -> Counts:
    counts = [0] * len(bounds)
    for latency in latencies:
        counts[bisect_left(bounds, latency)] += 1
    return Counts(bounds, tuple(counts))


@given(LATENCIES, BOUNDS, st.floats(0.01, 1))
def test_a_quantile_is_never_understated(latencies: list[float], bounds: tuple[float, ...], share: float) -> None:
    told = counted(latencies, bounds).quantile_s(share)
    rank = max(1, math.ceil(share * len(latencies) * (1 - 1e-12)))
    assert told is not None
    assert told >= sorted(latencies)[rank - 1]


@given(LATENCIES, BOUNDS, st.floats(1e-3, 200))
def test_what_is_over_a_goal_is_never_understated(
    latencies: list[float], bounds: tuple[float, ...], goal_s: float
) -> None:
    counts = counted(latencies, bounds)
    assert counts.over(goal_s) >= sum(latency > goal_s for latency in latencies) - 1e-9
    assert counts.over(goal_s) <= counts.total + 1e-9


@given(LATENCIES, BOUNDS, st.floats(1e-3, 200), st.floats(0.1, 10), st.floats(0.1, 10))
def test_longer_latencies_are_never_over_less_often(
    latencies: list[float], bounds: tuple[float, ...], goal_s: float, one: float, other: float
) -> None:
    counts = counted(latencies, bounds)
    assert counts.over(goal_s, min(one, other)) <= counts.over(goal_s, max(one, other)) + 1e-9


def test_a_goal_on_a_bound_is_told_exactly_and_one_between_acts_at_the_lower() -> None:
    counts = Counts(BELOW, (90, 8, 2))
    assert counts.over(0.2) == 2
    assert counts.over(0.19) == 10
    assert acting_goal_s(BELOW, 0.19) == 0.1
    assert acting_goal_s(BELOW, 0.05) == 0
    assert counts.over(0.05) == 100


def test_of_a_bucket_that_the_goal_would_cut_a_share_is_over() -> None:
    counts = Counts(BELOW, (90, 8, 2))
    assert 2 < counts.over(0.2, 1.01) < 3
    assert counts.over(0.2, 2.0) == 10
    assert counts.over(0.2, 1e9) == pytest.approx(100)


def test_no_latencies_have_no_quantile_and_those_beyond_the_last_bound_an_infinite_one() -> None:
    assert Counts(BELOW, (0, 0, 0)).quantile_s(0.99) is None
    assert Counts(BELOW, (1, 0, 1)).quantile_s(0.99) == math.inf


def test_a_server_that_began_anew_has_no_difference() -> None:
    assert since(Counts(BELOW, (5, 5, 0)), Counts(BELOW, (6, 5, 1))) == Counts(BELOW, (1, 0, 1))
    assert since(Counts(BELOW, (5, 5, 0)), Counts(BELOW, (6, 4, 1))) is None
    assert since(Counts((0.1, math.inf), (5, 5)), Counts(BELOW, (6, 5, 1))) is None


def test_sums_are_bucket_by_bucket() -> None:
    assert summed([Counts(BELOW, (1, 2, 3)), Counts(BELOW, (1, 0, 1))]) == Counts(BELOW, (2, 2, 4))
    assert summed([]) is None


def test_a_minute_is_held_well_below_what_it_may_have() -> None:
    assert (allowed(99), allowed(199)) == (0, 1)
    assert allowed(30_000) == 300
    assert holds(0, 200, 4)
    assert not holds(299, 30_000, 1)  # on average it would be just within
    assert holds(200, 30_000, 1)
    assert not holds(270, 30_000, 10)  # the same on average, but more of them together


WILD = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=6, unique=True).map(
    lambda bounds: (*sorted(bounds), math.inf)
)


@given(WILD, st.lists(st.integers(0, 10**18), min_size=7, max_size=7), st.floats(1e-3, 200), st.floats(1, 10))
def test_whatever_bounds_and_counts_a_server_tells_a_share_of_them_is_over(
    bounds: tuple[float, ...], counts: list[int], goal_s: float, stretch: float
) -> None:
    told = Counts(bounds, tuple(counts[: len(bounds)]))
    assert 0 <= told.over(goal_s, stretch, told.thinning) <= told.over(goal_s, stretch) * (1 + 1e-9)
    assert told.over(goal_s, stretch) <= told.total * (1 + 1e-9)


def test_a_tail_that_thins_out_has_less_at_the_upper_end_of_a_bucket() -> None:
    thin, flat = Counts((0.5, 1.0, 2.5, math.inf), (900, 90, 9, 1)), Counts((0.5, 1.0, 2.5, math.inf), (900, 0, 9, 1))
    assert 1 < thin.over(2.5, 1.1, thin.thinning) < 1.3
    assert flat.over(2.5, 1.1, flat.thinning) == pytest.approx(flat.over(2.5, 1.1))


@pytest.mark.parametrize(("total", "most"), [(90, 0.006), (130, 0.15), (300, 0.6)])
def test_of_few_requests_hardly_any_may_be_expected_above_a_goal(total: float, most: float) -> None:
    assert holds(most / 4, total, 1)
    assert not holds(most, total, 1)
