"""Each rule on one core, effect by effect. What they add up to is tried in test_rules.py."""

from dataclasses import replace
from typing import Any

import pytest

from eagent.errors import RefusedError
from eagent.mesh import epoch
from eagent.mesh.effects import Announce, Lower, Raise, Send, Store
from eagent.mesh.epoch import Claim, Stage
from eagent.mesh.escrow import Escrow
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Gift, Receipt
from eagent.mesh.state import Host, Lot, State
from eagent.mesh.table import Charged, Member, Table


@pytest.fixture
def table(mesh: Any) -> Table:
    """Two hosts and a third that is seldom heard of."""
    return mesh.table(1, a=8, b=5, c=4)


@pytest.fixture
def a(mesh: Any, table: Table) -> Any:
    """Host a, open, and b is known to be open too."""
    shell = mesh.shell("a", mesh.open(table, "a"))
    shell.do(shell.core.on_standings({"b": mesh.standing(table, "b1")}))
    shell.log.clear()
    return shell


# --- Rule 4: life ---


def test_a_host_without_a_stored_state_begins_a_life_with_its_reserve_in_force_before_it_speaks(mesh: Any) -> None:
    shell = mesh.Shell(Escrow(Host("a", "d", mesh.reserve, 20), "fresh"))
    shell.do(shell.core.start(None, 8))
    assert shell.log == [Lower("d", mesh.reserve)]
    shell.step()
    assert shell.log[1:] == [Store("d", State("fresh", watts=Ledger(mesh.reserve)))]
    shell.step()
    assert shell.announced().life == "fresh"
    assert shell.announced().stage is Stage.OUT


def test_a_host_goes_on_with_what_it_stored(mesh: Any, table: Table) -> None:
    shell = mesh.shell("a", mesh.open(table, "a"))
    assert shell.core.state.life == "a1"


def test_a_ceiling_above_what_was_stored_begins_a_new_life(mesh: Any, table: Table) -> None:
    shell = mesh.shell("a", mesh.open(table, "a"), ceiling=9)
    assert shell.core.state == State("fresh", watts=Ledger(mesh.reserve))


def test_a_host_that_died_between_storing_and_raising_raises_when_it_is_back(mesh: Any, table: Table) -> None:
    shell = mesh.Shell(Escrow(Host("a", "d", mesh.reserve, 20), "fresh"))
    shell.do(shell.core.start(mesh.open(table, "a"), 3))
    assert Raise("d", 8) in shell.log


def test_a_reserve_that_has_grown_since_is_not_raised_to_before_a_table_holds_it(mesh: Any, table: Table) -> None:
    given = replace(mesh.open(table, "a"), watts=Ledger(8, sent={("b", "b1"): 6}))
    shell = mesh.Shell(Escrow(Host("a", "d", mesh.reserve + 3, 20), "fresh"))
    shell.do(shell.core.start(given, 2))
    shell.settle()
    assert shell.core.state.life == "a1"
    assert "Raise" not in shell.kinds()


# --- Rule 5: give ---


def test_a_giver_lowers_then_stores_then_speaks(a: Any) -> None:
    a.do(a.core.give({"b": Lot(3)}))
    assert a.log == [Lower("d", 5)]
    a.step()
    assert isinstance(a.log[-1], Store)
    assert a.log[-1].state.watts.held == 5
    assert a.sent() == []
    a.step()
    assert a.sent() == [("b", Gift("d", 1, "a1", "b1", 3))]
    assert a.announced().rights_mw == 5


def test_gifts_to_several_are_one_lowering(a: Any, mesh: Any, table: Table) -> None:
    a.do(a.core.on_standings({"c": mesh.standing(table, "c9")}))
    a.do(a.core.give({"b": Lot(1), "c": Lot(2)}))
    a.settle()
    assert a.kinds().count("Lower") == 1
    assert {peer for peer, _ in a.sent()} == {"b", "c"}


def test_a_giver_that_could_not_lower_has_given_nothing_and_raises_again_what_it_may(a: Any) -> None:
    a.do(a.core.give({"b": Lot(3)}))
    a.do(a.core.failed(a.waiting.pop()))
    assert a.core.state.watts.held == 8
    assert a.sent() == []
    assert a.core.spare_mw == 6


def test_the_reserve_is_never_given(a: Any, mesh: Any) -> None:
    assert a.core.spare_mw == 8 - mesh.reserve
    with pytest.raises(RefusedError, match="there are 6 mW"):
        a.core.give({"b": Lot(7)})


@pytest.mark.parametrize(
    "lots", [{"c": Lot(1)}, {"a": Lot(1)}, {"x": Lot(1)}, {"b": Lot(0)}, {"b": Lot(-1)}, {"b": Lot(1, 1)}]
)
def test_a_gift_that_can_not_be_is_refused(a: Any, lots: dict[str, Lot]) -> None:
    with pytest.raises(RefusedError):
        a.core.give(lots)
    assert a.core.spare_mw == 6


def test_one_thing_at_a_time(a: Any) -> None:
    a.do(a.core.give({"b": Lot(1)}))
    with pytest.raises(RefusedError, match="at work"):
        a.core.give({"b": Lot(1)})


def test_what_was_not_confirmed_is_said_again_and_what_was_is_not(a: Any) -> None:
    a.do(a.core.give({"b": Lot(3)}))
    a.settle()
    assert a.do(a.core.repeat()) == [Send("b", Gift("d", 1, "a1", "b1", 3))]
    a.do(a.core.on_receipt("b", Receipt("d", 1, "b1", "a1", 3)))
    assert a.do(a.core.repeat()) == []
    a.do(a.core.give({"b": Lot(2)}))
    a.settle()
    assert a.do(a.core.repeat()) == [Send("b", Gift("d", 1, "a1", "b1", 5))]


def test_a_giver_does_not_call_after_a_life_that_has_ended(a: Any, mesh: Any, table: Table) -> None:
    a.do(a.core.give({"b": Lot(3)}))
    a.settle()
    a.do(a.core.on_standings({"b": mesh.standing(table, "b2")}))
    assert a.do(a.core.repeat()) == []


# --- Rule 6: take ---


def test_a_taker_stores_then_raises(a: Any, mesh: Any, table: Table) -> None:
    a.do(a.core.on_gift("b", mesh.gift(table, "b", "a", 2)))
    assert a.kinds() == ["Store"]
    a.step()
    assert a.kinds() == ["Store", "Send", "Announce", "Raise"]
    assert a.sent() == [("b", Receipt("d", 1, "a1", "b1", 2))]
    assert a.log[-1] == Raise("d", 10)


def test_a_gift_heard_twice_is_taken_once_and_confirmed_twice(a: Any, mesh: Any, table: Table) -> None:
    for _ in range(2):
        a.do(a.core.on_gift("b", mesh.gift(table, "b", "a", 2)))
        a.settle()
    assert a.core.state.watts.held == 10
    assert len(a.sent()) == 2
    assert a.kinds().count("Store") == 1


def test_an_older_total_changes_nothing(a: Any, mesh: Any, table: Table) -> None:
    for total in (3, 1, 3):
        a.do(a.core.on_gift("b", mesh.gift(table, "b", "a", total)))
        a.settle()
    assert a.core.state.watts.held == 11


@pytest.mark.parametrize("change", [{"epoch": 2}, {"to_life": "a0"}, {"epoch": 7, "to_life": "x"}])
def test_a_gift_of_another_epoch_or_for_another_life_is_ignored(
    a: Any, mesh: Any, table: Table, change: dict[str, Any]
) -> None:
    assert a.do(a.core.on_gift("b", replace(mesh.gift(table, "b", "a", 2), **change))) == []


def test_a_gift_of_a_stranger_is_ignored(a: Any, mesh: Any, table: Table) -> None:
    assert a.do(a.core.on_gift("x", mesh.gift(table, "x", "a", 2))) == []


def test_rights_above_the_nameplate_are_kept_for_others_and_not_raised_to(mesh: Any) -> None:
    table = mesh.table(1, a=8, b=25, c=4)
    a = mesh.shell("a", mesh.open(table, "a"))
    a.do(a.core.on_gift("b", mesh.gift(table, "b", "a", 15)))
    a.settle()
    assert a.core.state.watts.held == 23
    assert a.sent()[-1][1].total_mw == 15
    assert a.core.ceiling_mw == a.core.host.nameplate_mw == 20
    a.do(a.core.on_standings({"c": mesh.standing(table, "c1")}))
    a.do(a.core.give({"c": Lot(5)}))
    a.settle()
    assert (a.core.state.watts.held, a.core.ceiling_mw) == (18, 18)


def test_a_grant_above_the_nameplate_is_kept_for_others_and_not_raised_to(a: Any, mesh: Any) -> None:
    new = mesh.table(2, a=30, b=2, c=3)
    a.do(a.core.on_table(new))
    a.do(a.core.on_standings({"b": mesh.standing(new, "b1")}))  # hearsay: b is open
    a.settle()
    assert (a.core.state.watts.held, a.core.ceiling_mw) == (30, 20)


def test_nobody_can_be_given_more_than_there_is(a: Any, mesh: Any, table: Table) -> None:
    a.do(a.core.on_gift("b", mesh.gift(table, "b", "a", 10**9)))
    a.settle()
    assert a.core.state.watts.held == table.budget_mw
    assert a.sent()[-1][1].total_mw == table.budget_mw - 8


def test_gifts_that_come_while_it_works_are_taken_together_afterwards(a: Any, mesh: Any, table: Table) -> None:
    a.do(a.core.give({"b": Lot(1)}))
    a.do(a.core.on_gift("b", mesh.gift(table, "b", "a", 2)))
    a.do(a.core.on_gift("c", mesh.gift(table, "c", "a", 1)))
    a.settle()
    assert a.core.state.watts.held == 8 - 1 + 2 + 1
    assert a.kinds().count("Store") == 2


# --- Rule 7: epochs ---


def test_a_host_seals_a_new_table_by_lowering_and_storing_before_it_says_so(a: Any, mesh: Any) -> None:
    new = mesh.table(2, a=5, b=9, c=3)
    a.do(a.core.on_table(new))
    assert a.log == [Lower("d", 5)]
    a.step()
    assert a.kinds() == ["Lower", "Store"]
    a.step()
    assert (a.announced().epoch, a.announced().stage, a.announced().life) == (2, Stage.SEALED, "a1")


def test_a_host_that_has_sealed_gives_takes_and_raises_nothing(a: Any, mesh: Any, table: Table) -> None:
    new = mesh.table(2, a=12, b=2, c=3)
    a.do(a.core.on_table(new))
    a.settle()
    assert a.core.spare_mw == 0
    for gift in (mesh.gift(table, "b", "a", 2), mesh.gift(new, "b", "a", 2)):
        a.do(a.core.on_gift("b", gift))
    with pytest.raises(RefusedError, match="not open"):
        a.core.give({"b": Lot(1)})
    assert a.core.ceiling_mw == 8
    assert "Raise" not in a.kinds()


def everyone_has_sealed(mesh: Any, a: Any, new: Table, *, countersigned: bool = True, **lives: str) -> None:
    standings = {host: mesh.standing(new, lives.get(host, f"{host}1"), Stage.SEALED) for host in "bc"}
    own = a.core.standing
    roll = epoch.make_roll(new, {**standings, "a": own})
    if countersigned:
        standings = {host: replace(each, rolls=(roll,)) for host, each in standings.items()}
    a.do(a.core.on_standings(standings))


def test_seals_are_countersigned_and_only_countersignatures_open(a: Any, mesh: Any) -> None:
    new = mesh.table(2, a=12, b=2, c=3)
    a.do(a.core.on_table(new))
    a.settle()
    everyone_has_sealed(mesh, a, new, countersigned=False)
    assert a.core.state.stage is Stage.SEALED
    assert len(a.announced().rolls) == 1
    everyone_has_sealed(mesh, a, new)
    assert isinstance(a.waiting[0], Store)
    a.settle()
    assert a.core.state.stage is Stage.OPEN
    assert a.log[-1] == Raise("d", 12)


def test_another_life_than_the_one_named_gets_its_reserve(mesh: Any, table: Table) -> None:
    shell = mesh.shell("a", None, fresh="a7")
    shell.do(shell.core.on_table(table))
    shell.settle()
    assert shell.core.state.stage is Stage.SEALED
    shell.do(shell.core.on_standings({"b": mesh.standing(table, "b1")}))  # hearsay: b is open
    shell.settle()
    assert shell.core.state.stage is Stage.OPEN
    assert shell.core.state.watts.held == mesh.reserve
    assert "Raise" not in shell.kinds()


def test_an_older_table_is_ignored(a: Any, mesh: Any) -> None:
    assert a.do(a.core.on_table(mesh.table(1, a=9, b=9, c=9))) == []


def test_the_newest_of_several_tables_is_sealed(a: Any, mesh: Any) -> None:
    a.do(a.core.on_table(mesh.table(2, a=5, b=5, c=5)))
    a.do(a.core.on_table(mesh.table(4, a=6, b=5, c=5)))
    a.do(a.core.on_table(mesh.table(3, a=3, b=5, c=5)))
    a.settle()
    assert a.core.state.epoch == 4
    assert a.core.state.watts.held == 5  # what it had kept when it sealed 2


def test_a_table_that_reserves_too_little_is_not_sealed_and_says_why(a: Any) -> None:
    poor = Table("d", 2, 99, 0, {"a": Member(1, 50, "a1"), "b": Member(2, 2, "b1")})
    assert a.do(a.core.on_table(poor)) == []
    assert "reserves 1 mW for a, which may draw 2 mW" in a.core.refused


def test_a_host_that_no_table_lists_any_more_falls_to_its_reserve_and_stays_there(a: Any, mesh: Any) -> None:
    new = mesh.table(2, b=9, c=3)
    a.do(a.core.on_table(new))
    a.settle()
    a.do(a.core.on_standings({"b": mesh.standing(new, "b1", Stage.OPEN)}))
    a.settle()
    assert a.core.ceiling_mw == mesh.reserve
    assert a.core.state.stage is Stage.SEALED


def test_a_host_tells_with_its_seal_what_a_charged_one_may_hold(a: Any, mesh: Any) -> None:
    a.do(a.core.give({"b": Lot(3)}))
    a.settle()
    a.do(a.core.on_table(mesh.table(2, {"b": Charged.TOLD}, a=5, b=8, c=4)))
    a.settle()
    assert a.announced().told == {"b": Claim(5, 3)}


def test_a_charged_host_that_comes_back_has_what_it_had_kept(a: Any, mesh: Any) -> None:
    a.do(a.core.give({"b": Lot(5)}))
    a.settle()
    new = mesh.table(2, {"a": Charged.TOLD}, a=8, b=5, c=4)
    a.do(a.core.on_table(new))
    a.settle()
    a.do(a.core.on_standings({"b": mesh.standing(new, "b1", Stage.OPEN)}))
    a.settle()
    assert a.core.state.stage is Stage.OPEN
    assert a.core.state.watts.held == 3


# --- Rule 8 ---


def test_nothing_expires(a: Any) -> None:
    a.do(a.core.give({"b": Lot(3)}))
    a.settle()
    for _ in range(1000):
        a.do(a.core.repeat())
    assert a.core.state.watts.held == 5
    assert a.core.ceiling_mw == 5


# --- Sleep ---


def test_a_host_stays_awake_until_its_tokens_are_taken_by_another(mesh: Any) -> None:
    table = mesh.table(1, duty=1, a=8, b=5)
    a = mesh.shell("a", mesh.open(table, "a"))
    assert a.core.why_awake() == "it holds 1 duty tokens"
    a.do(a.core.on_standings({"b": mesh.standing(table, "b1")}))
    a.do(a.core.give({"b": Lot(0, 1)}))
    a.settle()
    assert a.core.why_awake() == "b has not confirmed the tokens it was given"
    a.do(a.core.on_receipt("b", Receipt("d", 1, "b1", "a1", 0, 1)))
    assert a.core.why_awake() is None
    a.do(a.core.on_standings({"b": mesh.standing(table, "b2")}))
    assert a.core.why_awake() is None  # it was taken; duty.py looks who has it now


def test_a_host_whose_tokens_were_given_to_a_life_that_ended_stays_awake(mesh: Any) -> None:
    table = mesh.table(1, duty=1, a=8, b=5)
    a = mesh.shell("a", mesh.open(table, "a"))
    a.do(a.core.on_standings({"b": mesh.standing(table, "b1")}))
    a.do(a.core.give({"b": Lot(0, 1)}))
    a.settle()
    a.do(a.core.on_standings({"b": mesh.standing(table, "b2")}))
    assert a.core.why_awake() == "b, which was given tokens, has begun a new life"


def test_a_host_is_empty_when_all_above_its_reserve_was_given_and_confirmed(a: Any, mesh: Any) -> None:
    assert a.core.why_not_empty() == "it holds 0.006 W above its reserve"
    a.do(a.core.give({"b": Lot(a.core.spare_mw)}))
    assert a.core.why_not_empty() == "its epoch is not open"  # at work
    a.settle()
    assert a.core.why_not_empty() == "b has not confirmed what it was given"
    a.do(a.core.on_receipt("b", Receipt("d", 1, "b1", "a1", 6)))
    assert a.core.why_not_empty() is None
    assert mesh.shell("a", None).core.why_not_empty() == "its epoch is not open"


def test_nobody_sleeps_while_tables_change_hands(a: Any, mesh: Any) -> None:
    assert a.core.why_awake() is None
    a.do(a.core.on_table(mesh.table(2, a=5, b=5, c=5)))
    a.settle()
    assert a.core.why_awake() == "its epoch is not open"


def test_an_effect_that_is_not_awaited_can_not_be_done(a: Any) -> None:
    with pytest.raises(RefusedError, match="is not awaited"):
        a.core.done(Lower("d", 1))


def test_only_what_is_stored_is_announced(a: Any) -> None:
    a.do(a.core.give({"b": Lot(3)}))
    a.step()
    assert not any(isinstance(effect, Announce) for effect in a.log)
    a.step()
    assert a.announced().rights_mw == 5


def test_what_a_host_may_draw_without_asking_is_not_given_whatever_the_table_reserves(mesh: Any) -> None:
    table = mesh.table(1, a=8, b=3)
    shell = mesh.Shell(Escrow(Host("a", "d", mesh.reserve + 3, 20), "fresh"))  # raised since the table was signed
    shell.do(shell.core.start(mesh.open(table, "a"), 8))
    shell.settle()
    assert shell.core.spare_mw == 8 - (mesh.reserve + 3)
