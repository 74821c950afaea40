"""A job is brought to the least energy within its bound, let go when it changes, and never below the floor."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.policy.search.searcher import Stage
from eagent.policy.search.telling import told
from eagent.policy.search.trial import SECOND_NS, Look

TOP = 1410.0


@settings(max_examples=5, deadline=None)
@given(
    beta=st.floats(0, 1),
    other=st.floats(0, 1),
    step_s=st.floats(0.05, 4),
    bound=st.sampled_from([0.02, 0.05, 0.1]),
    change=st.integers(50, 500),
)
def test_a_job_takes_no_longer_than_its_bound_whatever_it_does_and_however_it_changes(
    search: Any, beta: float, other: float, step_s: float, bound: float, change: int
) -> None:
    world = search.World(beta=beta, step_s=step_s, bound=bound)
    world.run(change)
    world.beta, world.power_w = other, 200.0
    world.run(900 - change)
    assert world.time_s / world.work_s - 1 <= bound + 1e-3


def test_it_comes_to_the_clock_that_costs_the_least_within_the_bound(search: Any) -> None:
    world = search.World(beta=0.8, bound=0.05)
    job = world.run(1500)
    assert job.choice.stage is Stage.HOLD
    longer = 1 / world.at(job.choice.setting)[0] - 1
    assert longer == pytest.approx(0.05, abs=0.012)


def test_work_that_hardly_follows_the_clock_comes_to_its_own_optimum(search: Any) -> None:
    world = search.World(beta=0.1, bound=0.10, power_w=300.0)
    job = world.run(1500)
    energy = {clock: world.at(clock)[1] / world.at(clock)[0] for clock in world.settings}
    best = min(clock for clock in world.settings if 1 / world.at(clock)[0] - 1 <= 0.1)
    assert energy[job.choice.setting] <= 1.02 * min(energy[clock] for clock in world.settings if clock >= best)


def test_work_that_does_not_follow_the_clock_is_far_down_soon_even_at_a_small_bound(search: Any) -> None:
    world = search.World(beta=0.0, bound=0.02)
    world.run(45)
    assert world.setting < TOP
    world.run(60)
    assert world.setting < 0.6 * TOP


def test_a_board_that_its_power_limit_holds_down_is_tried_below_what_that_lets_it_have(search: Any) -> None:
    world = search.World(beta=0.3, bound=0.05, limited=1150.0)
    job = world.run(900)
    pace, power_w = world.at(job.choice.setting)
    assert power_w / pace < 0.9 * world.power_w


@pytest.mark.parametrize("step_s", [3.2, 4.5])
def test_slow_steps_that_become_another_phase_are_at_the_top_again_within_15_seconds(
    search: Any, step_s: float
) -> None:
    world = search.World(beta=0.3, step_s=step_s, bound=0.05)
    world.run(900)
    for _ in range(12):  # wherever in a block it changes
        world.run(1)
        other = replace(world, beta=1.0, power_w=150.0, course=[])
        assert other.setting < TOP
        other.run(15)
        assert other.setting == TOP


def test_another_phase_brings_the_top_back_at_once_and_the_first_ones_return_its_clock(search: Any) -> None:
    world = search.World(beta=0.3, bound=0.05)
    held = world.run(900).choice.setting
    assert held < TOP
    world.beta, world.power_w = 1.0, 150.0
    world.run(15)
    assert world.course[-1][1] == TOP
    world.run(300)
    world.beta, world.power_w = 0.3, 300.0
    job = world.run(60)
    assert len(job.phases) == 2
    assert job.choice.setting == pytest.approx(held, rel=0.05)


def test_a_stall_is_at_the_top_and_costs_the_job_nothing_of_what_it_earned(search: Any) -> None:
    world = search.World(beta=0.5, bound=0.05)
    world.run(600)
    before, beta = world.job.slack_s(round(world.time_s * SECOND_NS)), world.look()
    job = world.run(300, [beta] * 300)
    assert job.stalled
    assert job.choice.setting == TOP
    assert job.slack_s(round(world.time_s * SECOND_NS)) >= before - 5.0


def test_what_is_told_of_some_seconds_earlier_is_no_stall(search: Any) -> None:
    world, said = search.World(beta=0.8, step_s=1.0, late_s=10), set()
    world.run(30)
    for _ in range(870):
        said.add(world.run(1).said)
    assert not {each for each in said if "no progress" in each}
    assert world.course[-1][1] < TOP
    assert world.time_s / world.work_s - 1 <= 0.05


def test_a_clock_below_which_the_job_gets_slower_is_found_to_within_a_step_or_two(search: Any) -> None:
    world = search.World(beta=0.0, bend=1120.0, bound=0.02)
    world.run(1800)
    assert abs(world.course[-1][1] - 1120) <= 30
    assert world.time_s / world.work_s - 1 <= 0.02


def test_what_was_not_told_of_for_a_while_is_not_measured_by_what_it_did_meanwhile(search: Any) -> None:
    world = search.World(beta=0.8)
    assert world.run(15).choice.setting == TOP
    world.time_s, world.joules = world.time_s + 60, world.joules + 60 * 300
    job = world.run(60)
    assert (len(job.phases), job.changes) == (1, 0)


def test_a_job_whose_pace_varies_too_much_stays_at_the_top_and_is_told_so(search: Any) -> None:
    world = search.World(beta=0.5, step_s=0.1, bound=0.02)
    units, looks = 0.0, []
    for second in range(1, 301):
        units += 10.0 * (1.6 if second // 7 % 2 else 0.4)
        looks.append(Look(units, second * SECOND_NS, 250.0 * second, second * SECOND_NS))
    job = world.run(300, looks)
    assert {setting for _, setting in world.course} == {TOP}
    assert job.choice.why


wild = st.lists(
    st.tuples(st.floats(), st.integers(0, 10**13), st.floats(), st.booleans()),
    min_size=30,
    max_size=120,
)


@settings(max_examples=12, deadline=None)
@given(looks=wild, floor=st.sampled_from([210.0, 900.0, 1305.0]))
def test_nothing_that_counters_say_takes_it_below_the_floor_or_has_clocks_written_twice_a_second(
    search: Any, looks: list[tuple[float, int, float, bool]], floor: float
) -> None:
    world = search.World(settings=tuple(clock for clock in (*map(float, search.SETTINGS), TOP) if clock >= floor))
    world.run(60)
    made = []
    for number, (units, at_ns, joules, is_plain) in enumerate(looks, 61):
        usual = Look(number / 0.3, number * SECOND_NS, 300.0 * number, number * SECOND_NS)
        made.append(usual if is_plain else Look(units, at_ns, joules, number * SECOND_NS))
    job = world.run(len(made), made)
    assert all(floor <= setting <= TOP for _, setting in world.course)
    told(job, round(world.time_s * SECOND_NS))  # can be told, whatever came


def test_where_nothing_asked_for_comes_to_be_in_force_the_top_alone_is_measured(search: Any) -> None:
    world = search.World(obeys=False)
    job = world.run(300)
    assert job.choice.setting < TOP  # what it would try
    assert [point.setting for point in job.curve.points] == [TOP]
    assert job.account.lost_s < 1.0


def test_the_clock_is_written_at_most_once_a_second(search: Any) -> None:
    world = search.World(beta=0.2)
    world.run(900)
    times = [after[0] for before, after in pairwise(world.course) if after[1] != before[1]]
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))
