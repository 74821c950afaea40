"""What a curve says of watts: as the job would do under them, never more than one watt after the other buys less."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent.policy.search.curve import Curve
from eagent.policy.search.pace import Pace, pace_of
from eagent.policy.search.trial import Block

TOP = 1410.0


def filled(world: Any, clocks: list[float], gpus: int = 1) -> Curve:
    curve = Curve(TOP)
    for clock in clocks:
        pace, power_w = world.at(clock)
        for _ in range(20):
            curve = curve.add(clock, Block(3.0, 3.0 * pace, 3.0, 3.0 * power_w * gpus))
    return curve


def assert_concave(pace: Pace) -> None:
    assert pace.knots[0] == (0.0, 0.0)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(pace.knots)]
    assert all(slope > 0 for slope in slopes)
    assert all(later <= slope + 1e-9 for slope, later in pairwise(slopes))


@settings(max_examples=25, deadline=None)
@given(beta=st.floats(0.05, 1), gpus=st.sampled_from([1, 4]))
def test_a_job_is_as_fast_with_some_watts_as_at_the_clock_that_draws_them(search: Any, beta: float, gpus: int) -> None:
    world = search.World(beta=beta)
    known = pace_of(filled(world, [TOP, 1290.0, 1170.0, 1050.0], gpus), gpus)
    assert known is not None
    assert_concave(known)
    assert known.full_w == pytest.approx(world.power_w)
    for clock in (1110.0, 1230.0, 1350.0):
        pace, power_w = world.at(clock)
        assert known.at(power_w) == pytest.approx(pace, abs=0.015)
        assert known.at(known.power_w(pace)) == pytest.approx(pace)
    assert known.at(2 * world.power_w) == known.at(world.power_w) == pytest.approx(1)


def test_what_only_the_top_is_known_of_or_little_else_says_nothing_of_watts(search: Any) -> None:
    world = search.World()
    assert pace_of(Curve(TOP), 1) is None
    assert pace_of(filled(world, [TOP]), 1) is None
    glimpse = filled(world, [TOP]).add(1395.0, Block(3.0, 3.0, 3.0, 890.0))
    assert pace_of(glimpse, 1) is None


def test_it_is_told_how_far_down_something_was_measured(search: Any) -> None:
    world = search.World()
    near, far = (pace_of(filled(world, [TOP, 1290.0, *more]), 1) for more in ([], [1170.0, 1050.0]))
    assert near is not None
    assert far is not None
    assert far.known_w < near.known_w < world.at(1290.0)[1]


blocks = st.tuples(st.integers(20, 94).map(lambda n: n * 15.0), st.floats(0.05, 3), st.floats(10, 1000))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(blocks, max_size=6))
def test_whatever_was_measured_a_watt_more_buys_no_more_than_the_one_before(
    measured: list[tuple[float, float, float]],
) -> None:
    curve = Curve(TOP)
    for clock, rate, power_w in [(TOP, 1.0, 300.0), *measured]:
        curve = curve.add(clock, Block(30.0, 30 * rate, 30.0, 30 * power_w))
    known = pace_of(curve, 1)
    if known is not None:
        assert_concave(known)
