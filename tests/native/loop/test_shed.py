"""How reading keeps within its budget of the driver's time: by looking at fewer publications, as few as it must."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BUDGET = 0.01


@pytest.fixture(scope="session")
def account(compiled: Callable[..., Path]) -> Any:
    c = ctypes.CDLL(str(compiled("shed_player.c", "shed")))
    d = ctypes.c_double
    c.play.argtypes, c.play.restype = (ctypes.c_int64, ctypes.c_int64, d, d, d), d
    c.stride.restype = c.other_stride.restype = ctypes.c_uint32
    c.since_ns.restype = ctypes.c_int64
    return c


def test_a_fast_driver_is_asked_for_every_publication(account: Any) -> None:
    account.begin()
    assert account.play(1, 300, 395, 2_200, 500_000) < 0.002
    assert (account.stride(), account.since_ns()) == (1, 0)


def test_a_slow_driver_is_asked_for_fewer_and_it_is_said_since_when(account: Any) -> None:
    account.begin()
    assert account.play(1, 120, 395, 22_000, 3_000_000) <= BUDGET
    assert account.stride() == 2
    assert 0 < account.since_ns() < 60e9


def test_a_driver_that_is_fast_again_is_asked_for_all_again(account: Any) -> None:
    account.begin()
    account.play(1, 120, 395, 40_000, 1_000_000)
    assert account.stride() > 1
    account.play(121, 180, 395, 2_200, 500_000)
    assert (account.stride(), account.since_ns()) == (1, 0)


def test_where_the_other_readings_alone_take_too_much_they_come_more_rarely(account: Any) -> None:
    account.begin()
    assert account.play(1, 120, 80, 100_000, 30_000_000) <= BUDGET
    assert account.other_stride() > 4
    assert account.stride() > 1


def test_one_slow_call_is_no_reason_to_shed(account: Any) -> None:
    account.begin()
    account.play(1, 60, 80, 2_200, 500_000)
    account.play(61, 1, 80, 2_200, 100_000_000)
    account.play(62, 2, 80, 2_200, 500_000)
    assert account.stride() == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(10, 3200), st.floats(1_000, 400_000), st.floats(0, 100_000_000))
def test_whatever_calls_take_a_minute_stays_within_the_budget_if_shedding_can_do_it(
    account: Any, publications: float, look_ns: float, other_ns: float
) -> None:
    account.begin()
    share = account.play(1, 180, publications, look_ns, other_ns)
    assert share <= BUDGET or account.stride() == 32, "nothing more can be passed over"
    needed = (publications * look_ns + other_ns) / 1e9
    if needed < 0.009 and other_ns < 4.5e6:
        assert (account.stride(), account.other_stride()) == (1, 1), "and none is passed over without need"


@pytest.mark.parametrize("hung_s", [4, 60])
def test_a_call_that_hung_is_no_reason_to_shed(account: Any, hung_s: int) -> None:
    account.begin()
    account.play(1, 60, 80, 2_200, 500_000)
    account.play(60 + hung_s, 1, 80, 2_200, hung_s * 1e9)
    account.play(61 + hung_s, 5, 80, 2_200, 500_000)
    assert (account.stride(), account.other_stride()) == (1, 1)


def test_a_driver_whose_calls_take_all_of_the_time_is_asked_as_rarely_as_can_be(account: Any) -> None:
    account.begin()
    account.play(1, 60, 80, 12_000_000, 500_000)
    account.play(61, 120, 80, 12_000_000, 500_000)
    assert account.stride() == 32
