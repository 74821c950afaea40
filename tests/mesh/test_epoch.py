from dataclasses import replace
from typing import Any

import pytest

from eagent.mesh import epoch
from eagent.mesh.epoch import Claim, Off, Stage, Standing
from eagent.mesh.table import Charged, Table


def sealed(mesh: Any, table: Table, **lives: str) -> dict[str, Standing]:
    return {host: mesh.standing(table, life, Stage.SEALED) for host, life in lives.items()}


def countersigned(table: Table, standings: dict[str, Standing], off: Off | None = None) -> dict[str, Standing]:
    return {host: replace(each, rolls=epoch.rolls(table, standings, off)) for host, each in standings.items()}


def test_who_has_not_sealed_exactly_this_epoch_blocks(mesh: Any) -> None:
    table, later = mesh.table(2, a=3, b=3, c=3, d=3), mesh.table(3, a=3, b=3, c=3, d=3)
    standings = sealed(mesh, table, a="a1") | {
        "b": mesh.standing(mesh.table(1, b=3), "b1"),
        "c": mesh.standing(later, "c1"),
    }
    assert epoch.unsealed(table, standings) == ["b", "c", "d"]


def test_a_seal_of_another_table_of_the_same_number_does_not_count(mesh: Any) -> None:
    one, other = mesh.table(2, a=3, b=3), mesh.table(2, a=3, b=4)
    assert epoch.unsealed(one, sealed(mesh, one, a="a1") | sealed(mesh, other, b="b1")) == ["b"]


def test_seals_alone_do_not_complete_an_epoch_and_countersignatures_do(mesh: Any) -> None:
    table = mesh.table(2, a=3, b=3)
    standings = sealed(mesh, table, a="a1", b="b1")
    assert not epoch.is_complete(table, standings, None)
    assert epoch.is_complete(table, countersigned(table, standings), None)


def test_a_countersignature_of_a_roll_with_another_life_does_not_count(mesh: Any) -> None:
    table = mesh.table(2, a=3, b=3)
    before = countersigned(table, sealed(mesh, table, a="a1", b="b1"))
    reborn = before | countersigned(table, sealed(mesh, table, a="a1", b="b2")) | {"a": before["a"]}
    assert reborn["b"].life == "b2"
    assert not epoch.is_complete(table, reborn, None)


def test_one_open_host_is_enough(mesh: Any) -> None:
    table = mesh.table(2, a=3, b=3, c=3)
    assert epoch.is_complete(table, {"c": mesh.standing(table, "c7", Stage.OPEN)}, None)
    assert not epoch.is_complete(table, {"c": mesh.standing(mesh.table(3, c=3), "c7", Stage.OPEN)}, None)


def test_a_host_that_was_off_need_not_seal_but_only_with_a_certificate_of_this_roll(mesh: Any) -> None:
    table = mesh.table(2, a=3, b=3, c=3)
    standings = sealed(mesh, table, a="a1", b="b1")
    certificate = epoch.certify(table, standings, ["c"])
    assert certificate is not None
    assert not epoch.is_complete(table, countersigned(table, standings), certificate)
    assert epoch.is_complete(table, countersigned(table, standings, certificate), certificate)
    reborn = sealed(mesh, table, a="a1", b="b2")
    assert not epoch.is_complete(table, countersigned(table, reborn, certificate), certificate)


def test_no_certificate_is_given_before_all_others_have_sealed(mesh: Any) -> None:
    table = mesh.table(2, a=3, b=3, c=3)
    assert epoch.certify(table, sealed(mesh, table, a="a1"), ["c"]) is None
    assert epoch.certify(table, sealed(mesh, table, a="a1"), ["b", "c"]) is not None
    assert epoch.certify(table, sealed(mesh, table, a="a1", b="b1", c="c1"), []) is None


def test_a_charged_host_need_not_seal(mesh: Any) -> None:
    table = mesh.table(2, {"b": Charged.FULL}, a=3, b=9)
    assert epoch.is_complete(table, countersigned(table, sealed(mesh, table, a="a1")), None)


@pytest.mark.parametrize(
    ("told", "charge", "covered"),
    [
        ([Claim(5, 2), Claim(5, 1)], 8, True),
        ([Claim(5, 2), Claim(5, 1)], 7, False),
        ([Claim(5, 0), Claim(7, 1)], 8, True),
        ([Claim(5, 0), None], 99, False),
    ],
)
def test_a_charge_covers_the_grant_and_all_that_was_sent(
    mesh: Any, told: list[Claim | None], charge: int, covered: bool
) -> None:
    table = mesh.table(2, {"c": Charged.TOLD}, a=3, b=3, c=charge)
    standings = sealed(mesh, table, a="a1", b="b1")
    for host, claim in zip("ab", told, strict=True):
        standings[host] = replace(standings[host], told={"c": claim} if claim else {})
    assert epoch.is_complete(table, countersigned(table, standings), None) is covered


def test_what_a_host_that_was_off_had_sent_is_not_known(mesh: Any) -> None:
    table = mesh.table(2, {"c": Charged.TOLD}, a=3, b=3, c=99)
    standings = {"a": replace(sealed(mesh, table, a="a1")["a"], told={"c": Claim(5, 0)})}
    certificate = epoch.certify(table, standings, ["b"])
    assert not epoch.is_complete(table, countersigned(table, standings, certificate), certificate)


@pytest.mark.parametrize(
    ("host", "reserve", "is_open", "why"),
    [
        ("b", 2, True, "b is not in table d 2"),
        ("a", 3, True, "reserves 2 mW for it"),
        ("a", 2, False, "is not complete yet"),
        ("a", 2, True, None),
    ],
)
def test_a_host_is_powered_on_only_under_an_open_table_with_its_reserve(
    mesh: Any, host: str, reserve: int, is_open: bool, why: str | None
) -> None:
    told = epoch.admits(mesh.table(2, a=3), host, reserve, is_open=is_open)
    assert told == why if why is None else told is not None and why in told
