"""The pure core: front, advice, order. Whatever was measured, no advice is off the front or beyond its bound."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sweep.front import beats, drift_of, front_of, points_of
from eagent.sweep.recommend import BOUNDS, NOTHING, advise, finer
from eagent.sweep.run import Run
from eagent.sweep.schedule import BETWEEN, left, schedule
from eagent.sweep.setting import Setting, Space, coarse_clocks, parse_varied

DEFAULT = Setting()
settings = st.builds(
    Setting, st.sampled_from([None, 810.0, 1005.0, 1200.0]), st.sampled_from([None, 150.0, 200.0]), st.just(())
)
positive = st.floats(0.5, 2.0)
runs_of_any = st.lists(
    st.builds(
        Run,
        settings,
        seconds=positive,
        energy_j=st.floats(50, 200),
        half_width_j=st.floats(0, 5),
        units=st.sampled_from([1.0, 10.0]),
        why=st.sampled_from(["", "", "", "exit code 1"]),
    ),
    max_size=25,
)


def run(clock: float | None, seconds: float, energy_j: float, **more: Any) -> Run:
    return Run(Setting(clock), seconds, energy_j, **more)


@given(runs_of_any)
def test_no_advice_is_off_the_front_or_beyond_its_bound(runs: list[Run]) -> None:
    points = points_of(runs)
    base = next((point for point in points if point.setting == DEFAULT), None)
    advice = advise(points, DEFAULT)
    assert len(advice) == (len(BOUNDS) if base else 0)
    for each in advice:
        assert base is not None
        assert each.point in front_of(points)
        assert not any(beats(other, each.point) for other in points)
        assert each.point.time_s <= base.time_s * (1 + max(each.bound, NOTHING)) * (1 + 1e-12)
        assert each.slowdown == pytest.approx(each.point.time_s / base.time_s - 1, abs=1e-12)


@given(runs_of_any)
def test_no_point_within_the_bound_surely_needs_less_than_what_is_advised(runs: list[Run]) -> None:
    points = points_of(runs)
    base = next((point for point in points if point.setting == DEFAULT), None)
    for each in advise(points, DEFAULT):
        assert base is not None
        for other in points:
            if other.time_s <= base.time_s * (1 + each.bound):
                surely = each.point.energy_j - other.energy_j > math.hypot(
                    each.point.energy_j * each.point.energy_error, other.energy_j * other.energy_error
                )
                assert not surely or other not in front_of(points)


@given(runs_of_any)
def test_what_cannot_be_used_moves_no_point(runs: list[Run]) -> None:
    assert points_of(runs) == points_of([each for each in runs if not each.why])


def quiet(*more: Run) -> list[Run]:
    """Two runs of the default, a thousandth apart."""
    return [run(None, 10.0, 1000.0), run(None, 10.01, 1001.0), *more]


def test_what_saves_for_nothing_is_advised_at_no_slowdown_and_what_saves_more_at_more() -> None:
    runs = quiet(
        *(run(1200, seconds, 900.0) for seconds in (10.0, 10.01)),
        *(run(1005, seconds, 700.0) for seconds in (10.7, 10.71)),
        *(run(810, seconds, 800.0) for seconds in (12.0, 12.01)),
    )
    chosen = {each.bound: each.point.setting.clock_mhz for each in advise(points_of(runs), DEFAULT)}
    assert chosen == {0.0: 1200, 0.02: 1200, 0.05: 1200, 0.10: 1005}
    assert [each.setting.clock_mhz for each in front_of(points_of(runs))] == [1200, 1005]


def test_of_what_the_noise_cannot_tell_apart_the_one_is_advised_that_changes_least() -> None:
    noisy = [run(None, 10.0, 1000.0), run(None, 10.02, 960.0), run(None, 10.01, 1030.0)]
    runs = [*noisy, run(1200, 10.0, 985.0), run(1200, 10.01, 990.0), run(1005, 10.01, 700.0), run(1005, 10.0, 705.0)]
    advice = advise(points_of(runs), DEFAULT)[1]
    assert advice.point.setting.clock_mhz == 1005
    runs = [each for each in runs if each.setting.clock_mhz != 1005]
    advice = advise(points_of(runs), DEFAULT)[1]
    assert advice.point.setting == DEFAULT
    assert [each.clock_mhz for each in advice.equals] == [1200]


def test_without_two_runs_of_anything_nothing_is_known_to_be_better() -> None:
    points = points_of([run(None, 10.0, 1000.0), run(1005, 10.0, 500.0)])
    assert math.isinf(points[0].time_error)
    assert [each.point.setting for each in advise(points, DEFAULT)] == [DEFAULT] * 4


def test_time_and_energy_are_those_of_a_unit() -> None:
    (point,) = points_of([run(None, 10.0, 1000.0, units=100.0), run(None, 20.0, 2000.0, units=200.0)])
    assert (point.time_s, point.energy_j, point.runs) == (pytest.approx(0.1), pytest.approx(10.0), 2)


def test_a_window_with_a_wide_error_is_no_better_than_it_says() -> None:
    runs = [run(None, 10.0, 1000.0, half_width_j=100.0), run(None, 10.0, 1000.0, half_width_j=100.0)]
    assert points_of(runs)[0].energy_error == pytest.approx(0.1 / math.sqrt(2))


def test_drift_is_that_of_the_default() -> None:
    runs = [run(None, 10.0, 1000.0), run(1005, 30.0, 1.0), run(None, 10.1, 1050.0)]
    told = drift_of(runs, DEFAULT)
    assert told is not None
    assert (told.time, told.energy) == (pytest.approx(0.01), pytest.approx(0.05))
    assert drift_of(runs[:2], DEFAULT) is None


@given(st.integers(0, 15), st.integers(1, 4), st.integers(), st.integers(0, 40))
def test_the_default_is_first_last_and_in_between_and_each_setting_comes_as_often_as_asked(
    count: int, repeat: int, seed: int, done: int
) -> None:
    others = [Setting(float(clock)) for clock in range(1, count + 1)]
    order = schedule(DEFAULT, [others], repeat, seed)
    assert order == schedule(DEFAULT, [others], repeat, seed)
    assert (order[0], order[-1]) == (DEFAULT, DEFAULT)
    assert all(order.count(each) == repeat for each in others)
    places = [place for place, each in enumerate(order) if each == DEFAULT]
    assert all(later - earlier <= BETWEEN + 1 for earlier, later in pairwise(places))
    runs = [Run(each, 1.0, 1.0) for each in order[:done]]
    assert left(order, runs) == order[done:], "a broken sweep goes on where it was"
    assert schedule(DEFAULT, [others, [Setting(1.5)]], repeat, seed)[: len(order)] == order or not others


def test_seeds_differ_in_order_and_a_hopeless_setting_is_not_tried_again() -> None:
    others = [Setting(float(clock)) for clock in range(10)]
    assert schedule(DEFAULT, [others], 1, 1) != schedule(DEFAULT, [others], 1, 2)
    order = schedule(DEFAULT, [[Setting(1.0), Setting(2.0)]], 3, 1)
    remaining = left(order, [Run(DEFAULT, 1.0, 1.0), Run(Setting(1.0), why="exit code 1")])
    assert Setting(1.0) not in remaining
    assert remaining.count(Setting(2.0)) == 3


def test_ladders_get_finer_around_what_is_advised_until_steps_are_small() -> None:
    runs = quiet(
        *(run(clock, 10.0 + 0.01 * (1410 - clock) / 10, energy) for clock, energy in ((1269, 900.0), (1128, 800.0))),
        run(987, 10.4, 820.0),
    )
    space = Space((1269.0, 1128.0, 987.0))
    found = finer(points_of(runs), space, 1410.0)
    assert {each.clock_mhz for each in found} <= {1340, 1198, 1199, 1058, 1057, 1339}
    assert found
    near = quiet(run(1400, 10.0, 900.0), run(1390, 10.0, 900.0))
    assert finer(points_of(near), Space((1400.0, 1390.0)), 1410.0) == []


def test_the_space_is_each_knob_alone_or_in_pairs_with_all_words() -> None:
    command = ["train", "--batch={batch}"]
    space = Space((1200.0, 1005.0), (200.0,), parse_varied(["batch=8,16"], command))
    assert space.default == Setting(words=(("batch", "8"),))
    assert len(space.others()) == 2 * 4 - 1
    paired = Space((1200.0, 1005.0), (200.0,), pairs=True)
    assert Setting(1005.0, 200.0) in paired.others()
    assert len(paired.others()) == 5
    assert Setting(words=(("batch", "16"),)).filled([*command, '{"a": 1}']) == ["train", "--batch=16", '{"a": 1}']
    assert coarse_clocks(210, 1410) == (1269, 1128, 987, 846)
    assert coarse_clocks(1000, 1410) == (1269, 1128)


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["batch"], "write it as NAME=VALUE,VALUE"),
        (["batch="], "write it as NAME=VALUE,VALUE"),
        (["batch=1,,2"], "write it as NAME=VALUE,VALUE"),
        (["b b=1"], "write it as NAME=VALUE,VALUE"),
        (["batch=1", "batch=2"], "it is there twice"),
        (["seed=1,2"], "{seed} stands nowhere in the command"),
        (["batch=" + ",".join(map(str, range(101)))], "at most 100"),
    ],
)
def test_what_cannot_be_varied_is_one_line(texts: list[str], why: str) -> None:
    with pytest.raises(InputError) as problem:
        parse_varied(texts, ["train", "{batch}"])
    assert why in str(problem.value)
    assert "\n" not in str(problem.value)
