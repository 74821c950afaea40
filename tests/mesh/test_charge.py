from typing import Any

from eagent.mesh import charge
from eagent.mesh.epoch import Claim
from eagent.mesh.ledger import Ledger
from eagent.mesh.table import Charged

NOTHING = {"a": Claim(0, 0), "b": Claim(0, 0), "c": Claim(0, 0)}


def test_the_greatest_grant_and_the_most_sent_in_one_epoch_are_remembered(mesh: Any) -> None:
    first, second, third = mesh.table(1, a=5, b=5, c=4), mesh.table(2, a=5, b=7, c=4), mesh.table(3, a=5, b=6, c=4)
    sent = Ledger(5).debit(("b", "b1"), 2).debit(("b", "b2"), 1)
    claims = charge.at_seal(NOTHING, first, sent, second)
    assert claims["b"] == Claim(5, 3)
    assert charge.at_seal(claims, second, Ledger(5), third)["b"] == Claim(7, 3)


def test_who_sealed_an_epoch_that_opened_holds_nothing_from_before(mesh: Any) -> None:
    table = mesh.table(2, {"c": Charged.TOLD}, a=5, b=5, c=9)
    claims = charge.at_open({"b": Claim(5, 3), "c": Claim(4, 1)}, table, is_named=True)
    assert claims == {"a": Claim(0, 0), "b": Claim(0, 0), "c": Claim(4, 1)}
    assert charge.told(claims, table) == {"c": Claim(4, 1)}


def test_a_life_that_is_not_named_can_not_vouch(mesh: Any) -> None:
    assert charge.at_open(NOTHING, mesh.table(2, a=5, b=5), is_named=False) == {}


def test_a_new_life_can_not_vouch(mesh: Any) -> None:
    assert charge.at_seal({}, None, Ledger(2), mesh.table(2, a=5, b=5)) == {}


def test_nobody_can_vouch_when_a_member_that_may_have_sent_is_left_out(mesh: Any) -> None:
    assert charge.at_seal(NOTHING, mesh.table(1, a=5, b=5, c=5), Ledger(5), mesh.table(2, a=5, b=5)) == {}


def test_who_was_charged_without_being_remembered_stays_unknown(mesh: Any) -> None:
    table = mesh.table(2, {"b": Charged.FULL}, a=5, b=5)
    assert charge.at_open({}, table, is_named=True) == {"a": Claim(0, 0)}


def test_the_site_counts_every_table_since_the_last_complete_one(mesh: Any) -> None:
    tables = [mesh.table(1, b=9), mesh.table(2, b=4), mesh.table(3, b=7), mesh.table(4, a=3)]
    assert charge.granted_mw(tables, 2, "b") == 7
    assert charge.granted_mw(tables, 4, "b") == 0
