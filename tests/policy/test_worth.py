"""A budget's watts where they buy most work: who gives, who gets, who is left alone, and what never happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent.model import Budget, DeviceState, HostState
from eagent.policy.budget import decide
from eagent.policy.goals import Goals, Hint, Pin, Sharing
from eagent.policy.search.pace import JobPace, Pace
from eagent.policy.units import units_of
from eagent.policy.worth import LEAST_PACE, as_by_need, split, teams_of
from eagent.wish import Wish

SHARING = Sharing(near_limit=1.0, step_w=5.0, spend=1.0)  # a limit of so many watts leaves so many
STEEP = Pace(((0.0, 0.0), (100.0, 0.4), (400.0, 1.0)), 100.0, 400.0)  # computes: 0.2 % a watt, up to 400 W
FLAT = Pace(((0.0, 0.0), (150.0, 0.85), (300.0, 1.0)), 150.0, 300.0)  # waits for memory: 0.1 % a watt above 150 W


def known(**paces: Pace) -> Goals:
    """Jobs by their names, on GPUs by the digits in them."""
    jobs = (
        JobPace(name, name, frozenset(f"GPU-0{n}" for n in name if n.isdigit()), pace) for name, pace in paces.items()
    )
    return Goals(SHARING, paces=tuple(jobs))


def host(states: list[DeviceState], envelope_w: float, safe_w: float = 100) -> HostState:
    return HostState(tuple(states), Budget(envelope_w, 0, {state.device.uuid: safe_w for state in states}))


def pressed(gpus: Any, *limits_w: float, draw: float = 1.0) -> list[DeviceState]:
    """GPUs that draw all that their limits let them, a part of these, all of the time."""
    return [
        gpus.state(gpus.device(n), draw * limit_w, limit_w=limit_w, capped=1.0) for n, limit_w in enumerate(limits_w)
    ]


def limits(state: HostState, goals: Goals) -> list[float]:
    asked = {proposal.uuid: proposal.high for proposal in decide(state, goals, 0)}
    return [asked[each.device.uuid] for each in state.devices]


def test_each_next_watt_goes_where_it_buys_most(gpus: Any) -> None:
    state = host(pressed(gpus, 250, 250), 500)
    assert limits(state, Goals(SHARING)) == [250, 250]
    assert limits(state, known(steep0=STEEP, flat1=FLAT)) == [350, 150]  # below 150 W the other's buy more


def test_it_is_said_what_a_watt_buys_here_and_elsewhere(gpus: Any) -> None:
    steep, flat = decide(host(pressed(gpus, 250, 250), 500), known(steep0=STEEP, flat1=FLAT), 0)
    assert steep.reason == (
        "steep0: a watt buys 0.20% of its pace here, on gpu1 0.10%: "
        "350 W instead of the 250 W that it would get by need"
    )
    assert flat.reason == (
        "flat1: a watt buys 0.10% of its pace here, on gpu0 0.20%: 150 W instead of the 250 W that it would get by need"
    )


def test_a_split_stands_though_those_who_were_given_more_now_draw_more(gpus: Any) -> None:
    assert limits(host(pressed(gpus, 350, 150), 500), known(steep0=STEEP, flat1=FLAT)) == [350, 150]


@pytest.mark.parametrize("limits_w", [(250, 250), (350, 150), (300, 200)])
def test_a_gpu_of_which_nothing_is_known_gets_what_it_gets_by_need_whoever_else_is_known(
    gpus: Any, limits_w: tuple[float, float]
) -> None:
    state = host(pressed(gpus, *limits_w, 250, 250, draw=0.95), 1000)
    assert limits(state, known(steep0=STEEP, flat1=FLAT)) == [350, 150, 250, 250]


def test_nor_does_it_get_less_once_one_that_is_known_has_all_that_it_can_draw(gpus: Any) -> None:
    full = gpus.state(gpus.device(0), 400, limit_w=400, capped=0.0)
    state = host([full, *pressed(gpus, 400, 100, 250, 250, draw=0.95)[1:]], 1000)
    assert limits(state, known(steep0=STEEP, flat1=FLAT)) == [350, 150, 250, 250]


def test_of_one_known_job_alone_nothing_is_split(gpus: Any) -> None:
    state = host(pressed(gpus, 250, 250), 500)
    assert limits(state, known(steep0=STEEP)) == [250, 250]


def test_watts_that_need_would_leave_are_split_too(gpus: Any) -> None:
    goals = known(steep0=STEEP, flat1=FLAT)
    miserly = replace(goals, sharing=replace(SHARING, spend=0.0))
    state = host(pressed(gpus, 200, 200), 500)
    assert limits(state, replace(miserly, paces=())) == [200, 200]
    assert limits(state, miserly) == [350, 150]


def test_all_gpus_of_a_job_get_the_same_and_count_one_by_one(gpus: Any) -> None:
    state = host(pressed(gpus, 250, 250, 250), 750)
    assert limits(state, known(steep01=STEEP, flat2=FLAT)) == [300, 300, 150]
    ganged = replace(state, gangs=(frozenset({"GPU-00", "GPU-01"}),))
    assert limits(ganged, known(steep01=STEEP, flat2=FLAT)) == [300, 300, 150]


def test_who_is_pinned_or_hinted_or_set_by_somebody_else_gives_and_gets_nothing(gpus: Any) -> None:
    states = pressed(gpus, 250, 250, 250)
    goals = known(steep0=STEEP, flat1=FLAT, flat2=FLAT)
    pinned = replace(goals, pins=(Pin("GPU-02", 250),))
    assert limits(host(states, 750), pinned) == [350, 150, 250]
    hinted = replace(goals, hints=(Hint("GPU-02", Wish(250), "its owner", until_ns=1),))
    assert limits(host(states, 750), hinted) == [350, 150, 250]
    states[2] = replace(states[2], foreign_limit_w=250.0)
    assert limits(host(states, 750), goals) == [350, 150, 250]


@pytest.mark.parametrize(
    ("drawn_w", "capped"),
    [(330.0, 1.0), (150.0, 0.0), (340.0, 0.2)],
    ids=["held down with more than at full pace", "draws less than it may", "draws more than at full pace"],
)
def test_who_does_something_else_than_what_is_known_of_it_is_shared_with_by_need(
    gpus: Any, drawn_w: float, capped: float
) -> None:
    other = gpus.state(gpus.device(1), drawn_w, limit_w=350, capped=capped)
    state = host([*pressed(gpus, 250), other], 620)
    goals = known(steep0=STEEP, flat1=FLAT)
    assert limits(state, goals) == limits(state, replace(goals, paces=()))


def test_who_has_a_clock_ceiling_that_binds_gets_what_it_draws_there(gpus: Any) -> None:
    held = replace(gpus.state(gpus.device(1), 280, limit_w=320, capped=0.0), clock_held=True)
    state = host([*pressed(gpus, 250), held], 560)
    goals = known(steep0=STEEP, flat1=FLAT)
    assert limits(state, goals) == limits(state, replace(goals, paces=()))
    freed = replace(state, devices=(state.devices[0], replace(held, clock_held=False)))
    assert limits(freed, goals) != limits(state, goals)


def test_who_cannot_be_seen_is_shared_with_by_need(gpus: Any) -> None:
    blind = gpus.state(gpus.device(1), None, limit_w=250)
    state = host([*pressed(gpus, 250), blind], 500)
    goals = known(steep0=STEEP, flat1=FLAT)
    assert limits(state, goals) == limits(state, replace(goals, paces=()))


def test_nobody_gives_below_its_safe_cap_nor_what_was_measured_nor_half_its_pace(gpus: Any) -> None:
    state = host(pressed(gpus, 250, 250), 500)
    assert limits(host(pressed(gpus, 250, 250), 500, safe_w=200), known(steep0=STEEP, flat1=FLAT)) == [300, 200]
    unsure = replace(FLAT, known_w=220.0)
    assert limits(state, known(steep0=STEEP, flat1=unsure)) == [280, 220]
    slight = Pace(((0.0, 0.0), (300.0, 0.3)), 0.0, 300.0)  # a watt never buys much
    assert limits(state, known(steep0=STEEP, slight1=slight)) == [375, 125]


def test_a_gain_that_is_not_worth_it_moves_no_limit(gpus: Any) -> None:
    steeper = Pace(((0.0, 0.0), (240.0, 0.7), (400.0, 1.0)), 100.0, 400.0)
    even = Pace(((0.0, 0.0), (245.0, 0.7), (400.0, 1.0)), 100.0, 400.0)
    state = host(pressed(gpus, 250, 250), 500)
    assert limits(state, known(a0=steeper, b1=even)) == [250, 250]


def test_a_split_that_another_would_hardly_better_stands(gpus: Any) -> None:
    goals = known(steep0=STEEP, flat1=FLAT)
    assert limits(host(pressed(gpus, 349, 151), 501), goals) == [349, 151]
    assert limits(host(pressed(gpus, 349, 151), 499), goals) == [345, 150]
    assert limits(host(pressed(gpus, 330, 160), 500), goals) == [350, 150]


@st.composite
def made(draw: st.DrawFn) -> Pace:
    """Any pace that rises and flattens."""
    watts, pace, slope = 0.0, 0.0, draw(st.floats(0.001, 0.02))
    knots = [(0.0, 0.0)]
    for _ in range(draw(st.integers(1, 5))):
        piece_w = draw(st.floats(1, 200))
        watts, pace = watts + piece_w, pace + piece_w * slope
        knots.append((watts, pace))
        slope *= draw(st.floats(0.05, 0.95))
    return Pace(tuple((w, p / pace) for w, p in knots), draw(st.floats(0, watts)), watts)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.floats(0.6, 1), st.floats(1, 30))
def test_the_envelope_is_kept_nobody_starves_and_by_the_curves_word_work_is_never_less(
    gpus: Any, data: Any, near_limit: float, step_w: float
) -> None:
    sharing = Sharing(near_limit=near_limit, step_w=step_w)
    count = data.draw(st.integers(2, 6))
    paces = [data.draw(made()) for _ in range(count)]
    states = []
    for n, pace in enumerate(paces):
        limit_w = data.draw(st.floats(100, 400))
        drawn_w = min(near_limit * limit_w, pace.full_w)
        capped = 1.0 if drawn_w < 0.97 * pace.full_w else 0.0
        states.append(gpus.state(gpus.device(n), drawn_w, limit_w=limit_w, capped=capped))
    split_at = data.draw(st.integers(0, count - 1))  # the first ones are one job, one each the others
    jobs = [JobPace("team", "team", frozenset(f"GPU-0{n}" for n in range(split_at)), paces[0])] if split_at else []
    jobs += [JobPace(f"job{n}", f"job{n}", frozenset({f"GPU-0{n}"}), paces[n]) for n in range(split_at, count)]
    goals, envelope_w = Goals(sharing, paces=tuple(jobs)), data.draw(st.floats(100 * count, 450 * count))
    state = host(states, envelope_w, safe_w=data.draw(st.integers(100, 200)))
    asked = decide(state, goals, 0)
    assert sum(round(each.high * 1000) for each in asked) <= envelope_w * 1000
    assert all(100 <= each.high <= 400 for each in asked)

    units = units_of(state, goals, 0)
    teams = teams_of(units, goals.paces, sharing)
    needed = {each.uuid: each.high for each in decide(state, replace(goals, paces=()), 0)}
    by_need = [round(needed[unit.members[0].device.uuid] * 1000) for unit in units]
    assert [unit.members for unit in as_by_need(units, teams)] == [unit.members for unit in units]
    spare_mw = data.draw(st.integers(0, 100_000))
    found, reasons = split(units, by_need, spare_mw, teams, sharing) if teams else (by_need, {})
    assert sum(found) <= sum(by_need) + spare_mw
    more = 0.0
    for team in teams:
        had, has = (min(some[place] for place in team.places) for some in (by_need, found))
        assert team.at(has, sharing) >= LEAST_PACE * team.at(had, sharing) - 1e-9
        assert has >= min(had, *(units[place].assured_mw for place in team.places))
        more += team.size * (team.at(has, sharing) - team.at(had, sharing))
    assert more >= -1e-9
    in_teams = {place for team in teams for place in team.places}
    assert reasons.keys() <= in_teams
    assert all(found[place] == by_need[place] for place in range(len(units)) if place not in in_teams)
