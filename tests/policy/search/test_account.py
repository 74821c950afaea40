"""The account never allows more than the bound, whatever is booked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.policy.search.account import CAUTION, Account, Held

seconds = st.floats(0, 1e5)
shares = st.floats(0, 0.5)


@given(
    free=st.lists(seconds, max_size=5),
    lost=st.lists(st.tuples(seconds, st.floats(0, 1)), max_size=5),
    held=st.lists(st.tuples(seconds, st.floats(0, 1e6), st.floats(1e-3, 1e3), st.floats(0, 1)), max_size=4),
    bound=shares,
)
def test_while_anything_may_be_lost_the_job_is_within_its_bound(
    free: list[float], lost: list[tuple[float, float]], held: list[tuple[float, float, float, float]], bound: float
) -> None:
    account = Account()
    for each in free:
        account = account.free(each)
    for each, share in lost:
        account = account.lose(each, share)
    booked = tuple((Held(each, units), rate, error) for each, units, rate, error in held)
    took_s = sum(free) + sum(each for each, _ in lost) + sum(each for each, _, _, _ in held)
    needed_s = (  # without eagent, as far as is known for sure, and no work is done faster than there was time
        sum(free)
        + sum(each * (1 - share) for each, share in lost)
        + sum(min(each, units / (rate * (1 + CAUTION * error))) for each, units, rate, error in held)
    )
    if account.slack_s(bound, booked) > 0:
        assert took_s <= needed_s * (1 + bound) + 1e-6 * (1 + took_s)


def test_time_at_the_top_earns_the_bound_of_it() -> None:
    assert Account().free(100).slack_s(0.02, ()) == pytest.approx(2.0)


def test_a_rate_that_is_not_known_well_leaves_less_to_lose() -> None:
    held = Held(100, 98)
    assert Account().slack_s(0.05, ((held, 1.0, 0.01),)) < Account().slack_s(0.05, ((held, 1.0, 0.0),))


def test_work_that_seems_to_be_faster_below_the_top_earns_nothing_for_that() -> None:
    as_fast, faster = (Account().slack_s(0.05, ((Held(100, units), 1.0, 0.0),)) for units in (100.0, 1e9))
    assert faster == as_fast
