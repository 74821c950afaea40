import pytest

from eagent.mesh.epoch import Stage
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Gift
from eagent.mesh.state import State
from eagent.mesh.table import Charged, Member, Table
from eagent.sim.truth import BreachError, Fact, Truth


def table(epoch: int, budget: int, charged: Charged = Charged.NO, **grants: int) -> Table:
    members = {host: Member(2, grant, f"{host}1") for host, grant in grants.items()}
    if charged:
        members["b"] = Member(2, grants["b"], "b1", charged=charged)
    return Table("d", epoch, budget, 10, members)


def fact(content: Table, host: str, wall: int, *, stage: Stage = Stage.OPEN, on: bool = True) -> Fact:
    grant = content.members[host].grant_mw
    return Fact(2, wall if on else 0, on, State(f"{host}1", content, stage, Ledger(grant)) if on else None)


FIRST = table(1, 20, a=6, b=4)


def test_what_fits_the_budget_passes() -> None:
    Truth(10, FIRST).check({"a": fact(FIRST, "a", 6), "b": fact(FIRST, "b", 4)})


def test_one_milliwatt_too_much_is_a_breach() -> None:
    with pytest.raises(BreachError, match="21 mW are allowed, the budget of d in epoch 1 is 20 mW"):
        Truth(10, FIRST).check({"a": fact(FIRST, "a", 6), "b": fact(FIRST, "b", 5)})


def test_a_host_that_is_off_counts_with_its_reserve() -> None:
    with pytest.raises(BreachError):
        Truth(10, FIRST).check({"a": fact(FIRST, "a", 9), "b": fact(FIRST, "b", 0, on=False)})


def test_a_host_that_no_table_lists_counts_while_it_is_on() -> None:
    hosts = {"a": fact(FIRST, "a", 6), "b": fact(FIRST, "b", 3)}
    Truth(10, FIRST).check(hosts | {"x": Fact(2, on=False)})
    with pytest.raises(BreachError):
        Truth(10, FIRST).check(hosts | {"x": Fact(2)})


def test_the_smaller_budget_binds_from_the_instant_in_which_all_have_sealed() -> None:
    truth, second = Truth(10, FIRST), table(2, 16, a=4, b=2)
    truth.sign(second)
    truth.check({"a": fact(second, "a", 6, stage=Stage.SEALED), "b": fact(FIRST, "b", 4)})
    assert truth.completed is FIRST
    truth.check({"a": fact(second, "a", 4, stage=Stage.SEALED), "b": fact(second, "b", 2, stage=Stage.SEALED)})
    assert truth.completed is second
    with pytest.raises(BreachError, match="in epoch 2 is 16 mW"):  # and it goes on to bind
        truth.check({"a": fact(FIRST, "a", 5), "b": fact(FIRST, "b", 2)})


def test_a_host_that_is_off_does_not_hold_an_epoch_up() -> None:
    truth, second = Truth(10, FIRST), table(2, 16, a=4, b=2)
    truth.sign(second)
    truth.check({"a": fact(second, "a", 4, stage=Stage.SEALED), "b": fact(FIRST, "b", 0, on=False)})
    assert truth.completed is second


@pytest.mark.parametrize(("charge", "complete"), [(6, False), (7, True)])
def test_a_charge_must_cover_what_is_on_its_way(charge: int, complete: bool) -> None:
    truth, second = Truth(10, FIRST), table(2, 30, Charged.TOLD, a=4, b=charge)
    truth.sign(second)
    truth.speak("a", "b", Gift("d", 1, "a1", "b1", 3))
    truth.speak("a", "b", Gift("d", 1, "a1", "b1", 2))  # an older total
    truth.speak("a", "b", Gift("d", 1, "a1", "b0", 9))  # to a life that has ended
    truth.check({"a": fact(second, "a", 4, stage=Stage.SEALED), "b": fact(FIRST, "b", 4)})
    assert (truth.completed is second) is complete
