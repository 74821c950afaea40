from typing import Any

import pytest

from eagent.mesh import duty
from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.messages import Receipt
from eagent.mesh.records import Held, Payload, Record
from eagent.mesh.state import Lot
from eagent.mesh.table import Table

S = 1_000_000_000


def records(now_ns: int = 0, **standings: Standing) -> dict[str, Held]:
    return {host: Held(Record(host, 1, Payload(standings=(standing,))), now_ns) for host, standing in standings.items()}


@pytest.fixture
def table(mesh: Any) -> Table:
    """Four hosts; three of them have a token each."""
    lines = mesh.table(1, duty=1, a=5, b=5, c=5).members | mesh.table(1, e=5).members
    return Table("d", 1, 30, 10, lines)


@pytest.fixture
def a(mesh: Any, table: Table) -> Any:
    """Host a, which has handed its token to e."""
    shell = mesh.shell("a", mesh.open(table, "a"))
    shell.do(shell.core.on_standings({"e": mesh.standing(table, "e1")}))
    shell.do(shell.core.give({"e": Lot(0, 1)}))
    shell.settle()
    shell.do(shell.core.on_receipt("e", Receipt("d", 1, "e1", "a1", 0, 1)))
    return shell


def test_a_host_may_sleep_when_each_token_keeps_another_awake(mesh: Any, table: Table, a: Any) -> None:
    seen = records(**{host: mesh.standing(table, f"{host}1", duty=1) for host in "bce"})
    assert duty.why_awake(a.core, seen, S) is None


def test_two_tokens_with_one_host_keep_one_awake(mesh: Any, table: Table, a: Any) -> None:
    seen = records(b=mesh.standing(table, "b1", duty=2), c=mesh.standing(table, "c1", duty=1))
    assert duty.why_awake(a.core, seen, S) == "1 of 3 duty tokens are not seen with a host of their own"


def test_a_host_that_holds_tokens_stays_awake(mesh: Any, table: Table) -> None:
    shell = mesh.shell("c", mesh.open(table, "c"))
    assert duty.why_awake(shell.core, {}, S) == "it holds 1 duty tokens"


def test_nobody_sleeps_while_a_holder_is_stale(mesh: Any, table: Table, a: Any) -> None:
    seen = records(**{host: mesh.standing(table, f"{host}1", duty=1) for host in "be"})
    seen |= records(-100 * S, c=mesh.standing(table, "c1", duty=1))
    assert duty.why_awake(a.core, seen, S) == "c, which has tokens, has not been heard of for 101 s"


def test_nobody_sleeps_while_a_holder_has_begun_a_new_life(mesh: Any, table: Table, a: Any) -> None:
    seen = records(**{host: mesh.standing(table, f"{host}1", duty=1) for host in "be"})
    assert duty.why_awake(a.core, seen, S) == "1 of 3 duty tokens are not seen with a host of their own"
    seen |= records(c=mesh.standing(table, "c2"))
    assert duty.why_awake(a.core, seen, S) == "c, which the table gave tokens, has begun a new life"


def test_who_had_a_token_and_handed_it_over_may_be_off_or_back(mesh: Any) -> None:
    table = mesh.table(1, duty=1, a=5).members | mesh.table(1, b=5, c=5).members
    table = Table("d", 1, 30, 10, table)
    seen = records(c=mesh.standing(table, "c1", duty=1))
    b = mesh.shell("b", mesh.open(table, "b"))
    assert duty.why_awake(b.core, seen | records(-100 * S, a=mesh.standing(table, "a1")), S) is None
    assert duty.why_awake(b.core, seen | records(a=mesh.standing(table, "a2")), S) is None


@pytest.mark.parametrize("stage", [Stage.SEALED, Stage.OPEN])
def test_nobody_sleeps_while_tokens_are_on_their_way_or_tables_change(
    mesh: Any, table: Table, a: Any, stage: Stage
) -> None:
    seen = records(**{host: mesh.standing(table, f"{host}1", duty=1) for host in "bc"})
    seen |= records(e=mesh.standing(table, "e1", stage, duty=int(stage is Stage.SEALED)))
    assert "1 of 3 duty tokens are not seen" in str(duty.why_awake(a.core, seen, S))


def test_a_host_in_no_epoch_stays_awake(mesh: Any) -> None:
    assert duty.why_awake(mesh.shell("a", None).core, {}, S) == "its epoch is not open"
