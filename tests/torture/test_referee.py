"""The torture's referee: what it lets pass, and what it does not."""

from __future__ import annotations

import math

import pytest

from eagent.sim._faults import FOREIGN_PID, KINDS
from eagent.sim.faults import KINDS as WORDS
from tests.torture import script
from tests.torture.referee import (
    NOBODY,
    REACT_S,
    Legal,
    Timeline,
    Write,
    is_written_over,
    judge,
    misplaced,
    strangers,
)

WARDEN, HARNESS = 100, 7
LONG_S = REACT_S + 1


def timeline(*envelopes_w: tuple[float, float], able_from_s: float = 0.0) -> Timeline:
    """Two GPUs at 300 W."""
    return Timeline([300.0, 300.0], strangers(HARNESS), list(envelopes_w), [(able_from_s, True)])


def test_lowering_before_raising_is_well() -> None:
    writes = [Write(1.0, 0, 200.0, WARDEN), Write(1.1, 1, 400.0, WARDEN)]
    assert judge(writes, timeline((0.5, 600.0)), 9.0) == ([], [])


def test_raising_before_lowering_is_not() -> None:
    writes = [Write(1.0, 1, 400.0, WARDEN), Write(1.001, 0, 200.0, WARDEN)]
    wrong, _ = judge(writes, timeline((0.5, 600.0)), 9.0)
    assert wrong == ["1.000 s: pid 100 set gpu1 to 400 W: 300 + 400 = 700 W under an envelope of 600 W"]


def test_a_budget_that_is_said_to_be_in_force_and_is_not_is_noticed() -> None:
    wrong, _ = judge([], timeline((1.0, 599.0)), 9.0)
    assert wrong == ["1.000 s: a budget was said to be in force: 300 + 300 = 600 W under an envelope of 599 W"]


def test_nothing_is_promised_before_a_budget_and_after_it() -> None:
    writes = [Write(0.5, 0, 400.0, WARDEN), Write(1.0, 0, 200.0, WARDEN), Write(3.0, 0, 400.0, WARDEN)]
    assert judge(writes, timeline((1.5, 600.0), (2.0, math.inf)), 9.0)[0] == []


@pytest.mark.parametrize("pid", [0, FOREIGN_PID, HARNESS])
def test_what_others_raise_is_exposure_while_the_warden_may_not_have_seen_it(pid: int) -> None:
    writes = [Write(1.0, 0, 400.0, pid), Write(2.5, 0, 300.0, WARDEN)]
    wrong, exposures = judge(writes, timeline((0.5, 600.0)), 9.0)
    assert wrong == []
    assert [(each.from_s, each.to_s, each.energy_j) for each in exposures] == [(1.0, 2.5, pytest.approx(150.0))]


def test_what_others_make_of_a_detached_gpu_is_no_excuse() -> None:
    course = timeline((0.5, 600.0))
    course.out += [(0.9, 0, True), (1.5, 0, False)]
    reset = Write(1.0, 0, 400.0, NOBODY)
    wrong, _ = judge([reset], course, 1.1)
    assert wrong == ["1.000 s: pid 0 set gpu0 to 400 W: 400 + 300 = 700 W under an envelope of 600 W"]
    assert judge([Write(0.95, 1, 200.0, WARDEN), reset], course, 1.1) == ([], []), "the others have made room"
    assert judge([Write(1.6, 0, 400.0, NOBODY)], course, 1.7)[0] == [], "it is attached"


def test_what_others_raise_is_no_excuse_for_our_own_raise() -> None:
    writes = [Write(1.0, 0, 350.0, FOREIGN_PID), Write(1.1, 1, 300.5, WARDEN), Write(1.2, 0, 300.0, WARDEN)]
    wrong, _ = judge(writes, timeline((0.5, 600.0)), 1.3)
    assert wrong == ["1.100 s: pid 100 set gpu1 to 300.5 W: 350 + 300.5 = 650.5 W under an envelope of 600 W"]


def test_writing_what_is_there_makes_nobodys_raise_ours() -> None:
    writes = [Write(1.0, 0, 350.0, FOREIGN_PID), Write(1.1, 0, 350.0, WARDEN), Write(1.2, 0, 300.0, WARDEN)]
    assert judge(writes, timeline((0.5, 600.0)), 1.3)[0] == []


def test_lowering_in_an_exposure_is_never_to_blame() -> None:
    course = Timeline([290.0, 310.0], strangers(HARNESS), [(0.5, 600.0)], [(0.0, True)])
    writes = [Write(1.0, 0, 390.0, FOREIGN_PID), Write(1.1, 0, 300.0, WARDEN), Write(1.2, 1, 300.0, WARDEN)]
    assert judge(writes, course, 1.3)[0] == []  # from 290 W to its safe cap of 300 W by a detour


def test_exposure_that_is_not_ended_is_noticed() -> None:
    wrong, _ = judge([Write(1.0, 0, 400.0, 0)], timeline((0.5, 600.0)), 1.0 + LONG_S)
    assert wrong == ["5.000 s: exposure was not ended in 4.0 s in which a warden could have"]


def test_only_time_in_which_a_warden_could_act_counts() -> None:
    writes = [Write(1.0, 0, 400.0, 0), Write(9.0, 0, 300.0, WARDEN)]
    assert judge(writes, timeline((0.5, 600.0), able_from_s=8.0), 20.0)[0] == []
    course = timeline((0.5, 600.0))
    course.able += [(1.5, False), (8.5, True)]
    assert judge(writes, course, 20.0)[0] == []
    course.able[1] = (1.0 + LONG_S, False)
    assert len(judge(writes, course, 20.0)[0]) == 1


def test_a_limit_belongs_where_its_owner_had_it_or_where_somebody_has_put_it_since() -> None:
    may = [Legal({380.0}), Legal({400.0})]
    assert misplaced([380.0, 400.0], may, None, math.inf) == []
    assert len(misplaced([380.0, 390.0], may, None, math.inf)) == 1
    may[1].write(390.0)
    assert misplaced([380.0, 390.0], may, None, math.inf) == []
    assert len(misplaced([390.0, 390.0], may, None, math.inf)) == 1


def test_under_a_budget_it_belongs_to_its_safe_cap_and_a_drop_is_no_excuse() -> None:
    may = [Legal({380.0}), Legal({400.0})]
    may[0].drop(400.0)
    assert misplaced([150.0, 150.0], may, 150.0, 600.0) == []
    assert len(misplaced([400.0, 150.0], may, 150.0, 600.0)) == 1
    may[1].write(500.0)
    assert misplaced([150.0, 500.0], may, 150.0, 600.0) == ["650 W of limits under a budget's envelope of 600 W"]


def test_a_seed_draws_the_same_round_again_and_another_another() -> None:
    assert script.draw(11) == script.draw(11)
    assert script.draw(11) != script.draw(12)


def test_rounds_have_all_that_there_is() -> None:
    rounds = [script.draw(seed) for seed in range(500)]
    assert {each.layout for each in rounds} == set(script.LAYOUTS)
    assert len({each.ending for each in rounds}) == 6
    assert {step.action for each in rounds for step in each.steps} == set(script.ACTIONS)
    kinds = {step.values[0] for each in rounds for step in each.steps if step.action in ("fault", "strike")}
    assert kinds == {*script.LASTING, *script.STRIKING}
    assert kinds <= set(KINDS)
    assert {kind for kind in script.STRIKING if not WORDS[kind].strikes} == set()
    assert {kind for kind in script.LASTING if WORDS[kind].strikes} == set()


def test_a_detached_gpu_is_where_whoever_has_it_has_put_it() -> None:
    legal = [Legal({300.0}), Legal({300.0})]
    assert misplaced([400.0, 300.0], legal, None, math.inf, {0}) == []
    assert len(misplaced([400.0, 300.0], legal, None, math.inf, {1})) == 1


def test_what_a_new_lease_writes_over_before_the_next_look_is_told_from_what_was_seen() -> None:
    forgot = Write(1.0, 0, 400.0, NOBODY)
    for write, is_over in (
        (Write(1.3, 0, 250.0, WARDEN), True),
        (Write(1.3, 0, 300.0, WARDEN), False),  # what it held: it has looked
        (Write(2.6, 0, 250.0, WARDEN), False),
        (Write(1.3, 1, 250.0, WARDEN), False),
        (Write(1.3, 0, 250.0, HARNESS), False),
    ):
        assert is_written_over([forgot, write], timeline((0.5, 700.0))) is is_over, write


def test_a_warden_that_stands_still_does_not_look() -> None:
    forgot, write = Write(1.0, 0, 400.0, 0), Write(3.0, 0, 250.0, WARDEN)
    course = timeline((0.5, 700.0))
    assert not is_written_over([forgot, write], course)
    course.able += [(1.1, False), (2.9, True)]
    assert is_written_over([forgot, write], course)
