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
    """Three hosts with a token each."""
    return mesh.table(1, duty=1, a=5, b=5, c=5)


@pytest.fixture
def a(mesh: Any, table: Table) -> Any:
    """Host a, which has handed its token to b."""
    shell = mesh.shell("a", mesh.open(table, "a"))
    shell.do(shell.core.on_standings({"b": mesh.standing(table, "b1")}))
    shell.do(shell.core.give({"b": Lot(0, 1)}))
    shell.settle()
    shell.do(shell.core.on_receipt("b", Receipt("d", 1, "b1", "a1", 0, 1)))
    return shell


def test_a_host_may_sleep_when_all_tokens_are_seen_with_others(mesh: Any, table: Table, a: Any) -> None:
    seen = records(b=mesh.standing(table, "b1", duty=2), c=mesh.standing(table, "c1", duty=1))
    assert duty.why_awake(a.core, seen, S) is None


def test_a_host_that_holds_tokens_stays_awake(mesh: Any, table: Table) -> None:
    shell = mesh.shell("c", mesh.open(table, "c"))
    assert duty.why_awake(shell.core, {}, S) == "it holds 1 duty tokens"


def test_nobody_sleeps_while_a_holder_is_stale(mesh: Any, table: Table, a: Any) -> None:
    seen = records(b=mesh.standing(table, "b1", duty=2)) | records(-100 * S, c=mesh.standing(table, "c1", duty=1))
    assert duty.why_awake(a.core, seen, S) == "c, which has or had tokens, has not been heard of for 101 s"


def test_nobody_sleeps_while_a_holder_has_begun_a_new_life(mesh: Any, table: Table, a: Any) -> None:
    seen = records(b=mesh.standing(table, "b1", duty=2), c=mesh.standing(table, "c2", duty=0))
    assert duty.why_awake(a.core, seen, S) == "c, which the table gave tokens, has begun a new life"
    assert duty.why_awake(a.core, records(b=mesh.standing(table, "b1", duty=2)), S) is not None


@pytest.mark.parametrize("stage", [Stage.SEALED, Stage.OPEN])
def test_nobody_sleeps_while_tokens_are_on_their_way_or_tables_change(
    mesh: Any, table: Table, a: Any, stage: Stage
) -> None:
    seen = records(b=mesh.standing(table, "b1", stage, duty=1), c=mesh.standing(table, "c1", duty=1))
    assert "of 3 duty tokens are not seen with anyone" in str(duty.why_awake(a.core, seen, S))


def test_a_host_in_no_epoch_stays_awake(mesh: Any) -> None:
    assert duty.why_awake(mesh.shell("a", None).core, {}, S) == "its epoch is not open"
