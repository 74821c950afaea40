from hypothesis import given
from hypothesis import strategies as st

from eagent.mesh.ledger import Ledger

PARTY = ("n02", "life2")
TOTALS = st.lists(st.integers(1, 1000), max_size=20)


@given(TOTALS, st.randoms())
def test_lost_doubled_and_reordered_totals_leave_the_greatest_that_arrived(gifts: list[int], chance: object) -> None:
    totals = [sum(gifts[: count + 1]) for count in range(len(gifts))]
    heard = [total for total in totals * 2 if chance.random() < 0.7]  # type: ignore[attr-defined]
    chance.shuffle(heard)  # type: ignore[attr-defined]
    ledger = Ledger(5)
    for total in heard:
        ledger = ledger.credit(PARTY, total)
    assert ledger.held == 5 + max(heard, default=0)


@given(st.integers(0, 1000), TOTALS)
def test_what_is_given_is_what_is_missing(base: int, gifts: list[int]) -> None:
    ledger = Ledger(base)
    for amount in gifts:
        ledger = ledger.debit(PARTY, amount)
    assert ledger.held == base - sum(gifts)
    assert ledger.sent_to("n02") == sum(gifts)
    assert ledger.sent_to("n03") == 0


def test_lives_of_one_host_are_counted_apart_and_told_together() -> None:
    ledger = Ledger(10).debit(("n02", "life1"), 3).debit(PARTY, 4)
    assert dict(ledger.sent) == {("n02", "life1"): 3, PARTY: 4}
    assert ledger.sent_to("n02") == 7


def test_more_than_there_is_room_for_can_be_credited_later() -> None:
    full = Ledger(5).credit(PARTY, 10, room=4)
    assert full.held == 9
    assert full.credit(PARTY, 10, room=0) is full
    assert full.credit(PARTY, 10, room=100).held == 15


def test_nothing_given_or_taken_changes_nothing() -> None:
    ledger = Ledger(5)
    assert ledger.debit(PARTY, 0) is ledger
    assert ledger.credit(PARTY, 0) is ledger
