"""A curve finds the forms again, says how sure it is, and believes a measure that speaks against them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.policy.search.curve import Curve
from eagent.policy.search.trial import Block

TOP = 1410.0


def filled(world: Any, clocks: list[float], seconds: float = 60.0) -> Curve:
    curve = Curve(TOP)
    for clock in clocks:
        pace, power_w = world.at(clock)
        for _ in range(int(seconds / 3)):
            curve = curve.add(clock, Block(3.0, 3.0 * pace, 3.0, 3.0 * power_w))
    return curve


@settings(max_examples=25, deadline=None)
@given(beta=st.floats(0, 1))
def test_exact_blocks_give_the_slowdown_and_the_energy_between_them(search: Any, beta: float) -> None:
    world = search.World(beta=beta)
    curve = filled(world, [TOP, 1290.0, 1170.0, 1050.0])
    fit = curve.fit()
    for clock in (1230.0, 1110.0):
        pace, power_w = world.at(clock)
        assert curve.slowdown(clock, fit)[0] == pytest.approx(1 / pace - 1, abs=0.01)
        assert curve.energy(clock, fit) == pytest.approx(power_w / world.power_w / pace, abs=0.02)


def test_nothing_measured_is_nothing_known(search: Any) -> None:
    fit = Curve(TOP).fit()
    longer, error = fit.slowdown(1000.0)
    assert error > 0.5 * longer
    assert filled(search.World(), [TOP]).fit().slowdown(1000.0)[1] > 0.1


def test_more_time_makes_surer(search: Any) -> None:
    short, long = (filled(search.World(), [TOP, 1200.0], seconds) for seconds in (15.0, 120.0))
    assert long.slowdown(1200.0, long.fit())[1] < short.slowdown(1200.0, short.fit())[1]


def test_below_a_bend_nothing_is_tried_any_more(search: Any) -> None:
    curve = filled(search.World(beta=0.0), [TOP, 1200.0, 1050.0, 900.0])
    slow = Block(3.0, 3.0 * 0.85, 3.0, 300.0)  # something else than the clock holds it up
    for _ in range(10):
        curve = curve.add(750.0, slow)
    assert curve.fit().floor == 900.0
    assert curve.slowdown(750.0, curve.fit())[0] == pytest.approx(1 / 0.85 - 1, abs=0.01)
