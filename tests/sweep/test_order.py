"""What is kept of a sweep, and that a broken one goes on as a whole one would have."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sweep.front import Point, points_of
from eagent.sweep.order import FINER_ROUNDS, Order, Sweep, begun, document, read
from eagent.sweep.plot import svg
from eagent.sweep.run import Run
from eagent.sweep.setting import Setting, Space

SPACE = Space((1200.0, 1005.0), (200.0,), (("batch", ("8", "16")),))
ORDER = Order(("train", "{batch}"), ("gpu0",), "pin", SPACE, units=1000.0, unit="token")


def true(setting: Setting) -> tuple[float, float]:
    """Seconds and joules of a run that the memory bounds down to 1000 MHz."""
    clock = setting.clock_mhz or 1410.0
    batch = 1.0 if ("batch", "16") in setting.words else 1.1
    seconds = batch * 10.0 * max(1.0, 1000.0 / clock)
    return seconds, batch * seconds * (60 + 200 * (clock / 1410) ** 3)


def measured(setting: Setting, number: int) -> Run:
    seconds, joules = true(setting)
    return Run(setting, seconds * (1 + 0.001 * (number % 3)), joules * (1 + 0.001 * (number % 2)), simulated=True)


def finished(sweep: Sweep, most: int = 10_000) -> Sweep:
    while most:
        remaining = sweep.remaining()
        if not remaining:
            further = sweep.further()
            if further is None:
                return sweep
            sweep = further
            continue
        sweep = sweep.and_run(measured(remaining[0], len(sweep.runs)))
        most -= 1
    return sweep


@given(st.integers(0, 60))
def test_a_sweep_that_is_broken_off_anywhere_and_read_again_ends_as_a_whole_one(after: int) -> None:
    order = replace(ORDER, space=Space((1200.0, 1005.0, 800.0)), refined="clock_mhz", highest=1410.0)
    broken = finished(begun(order), after)
    again = read(json.loads(json.dumps(document(broken), allow_nan=False)))
    assert again == broken
    assert finished(again) == finished(begun(order))


def test_what_is_kept_is_all_that_was_asked_and_measured() -> None:
    sweep = finished(begun(ORDER))
    told = document(sweep)
    assert read(json.loads(json.dumps(told))) == sweep
    assert (told["simulated"], told["order"]["unit"], len(told["runs"])) == (True, "token", len(sweep.runs))
    assert {point["setting"]["words"][0][1] for point in told["points"] if point["front"]} == {"16"}
    assert [advice["bound"] for advice in told["advice"]] == [0.0, 0.02, 0.05, 0.10]
    assert told["advice"][0]["label"] == "1005 MHz, batch=16"


def test_a_ladder_gets_finer_at_most_twice_and_within_the_runs_that_it_may_take() -> None:
    order = replace(ORDER, space=Space((1269.0, 1128.0, 987.0, 846.0)), refined="clock_mhz", highest=1410.0)
    sweep = finished(begun(order))
    assert 2 <= len(sweep.rounds) <= 1 + FINER_ROUNDS
    tried = [setting for settings in sweep.rounds for setting in settings]
    assert len(tried) == len(set(tried))
    first = len(finished(begun(replace(order, refined=""))).runs)
    assert len(finished(begun(replace(order, most=first))).runs) <= first


def test_more_runs_than_may_be_are_refused_before_they_begin() -> None:
    with pytest.raises(
        InputError, match=r"8 settings, 2 times each, the default in between: 19 runs, more than --max 18"
    ):
        begun(replace(ORDER, most=18))


@pytest.mark.parametrize(
    "told",
    [{}, [], None, 7, {"version": 2}, {"version": 1}, {"version": 1, "order": {}, "rounds": [], "runs": []}],
)
def test_a_file_of_something_else_is_one_line(told: Any) -> None:
    with pytest.raises(InputError, match="it was not written by"):
        read(told)


points = st.lists(
    st.builds(
        Point,
        st.builds(Setting, st.sampled_from([None, 810.0, 1005.0]), st.none(), st.just((("x", "<&>"),))),
        st.integers(1, 5),
        st.floats(1e-6, 1e6),
        st.one_of(st.floats(0, 2), st.just(float("inf"))),
        st.floats(1e-6, 1e6),
        st.one_of(st.floats(0, 2), st.just(float("inf"))),
    ),
    min_size=1,
    max_size=6,
)


@given(points)
def test_any_points_make_a_picture_that_is_well_formed_and_says_simulated(made: list[Point]) -> None:
    picture = svg(made, made[0].setting, "a <b> & c", "token", simulated=True)
    root = ET.fromstring(picture)
    circles = root.findall(".//{*}circle[@r='4']")
    assert len(circles) == len(made)
    assert all(0 <= float(each.get("cx", "")) <= 880 and 0 <= float(each.get("cy", "")) <= 560 for each in circles)
    assert "simulated joules a token" in picture
    assert "SIMULATED" not in svg(made, made[0].setting, "x", "run", simulated=False)


def test_points_of_a_whole_sweep_are_the_truth() -> None:
    for point in points_of(finished(begun(ORDER)).runs):
        seconds, joules = true(point.setting)
        assert point.time_s == pytest.approx(seconds, rel=0.003)
        assert point.energy_j == pytest.approx(joules, rel=0.003)
