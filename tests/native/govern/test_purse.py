"""How much time goes into writes, in virtual time, where each of them is taken to cost 3.5 ms."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MakeBench = Callable[..., Any]
WRITE_S = 0.0035
MINUTE_SHARE = 0.01
FREE_MHZ = 0xFFFFFFFF
SAFE_W = 250.0


def most_in_a_minute(times_s: Sequence[float]) -> int:
    """The greatest number of these within any minute."""
    return max((sum(1 for each in times_s if start <= each < start + 60) for start in times_s), default=0)


def leased(bench: MakeBench, gpus: int = 8, envelope_w: float = 3000.0) -> Any:
    host = bench([envelope_w / gpus] * gpus)
    host.safe_w, host.envelope_w = [SAFE_W] * gpus, envelope_w
    host.lease_w = list(host.present_w)
    host.step()
    return host


def drained(bench: MakeBench, clock_mhz: int = 0) -> Any:
    """A host whose purse is empty: eight lowerings and eight raises, over and over. Its clocks have had a ceiling."""
    host = leased(bench)
    host.clocks_mhz = [clock_mhz] * 8
    for lease_w in itertools.islice(itertools.cycle([[300] * 8, [375] * 8]), 12):
        host.lease_w = list(lease_w)
        host.step(1.1)
    return host


def test_a_demand_that_never_rests_is_followed_for_one_per_cent_of_any_minute(bench: MakeBench) -> None:
    host, chance = leased(bench), random.Random(7)
    for _ in range(400):
        shares = [chance.uniform(0.5, 1.5) for _ in range(8)]
        host.lease_w = [SAFE_W + 1000 * share / sum(shares) for share in shares]
        host.step(1.0)
    times_s = [write.time_s for write in host.writes()]
    assert most_in_a_minute(times_s) * WRITE_S <= MINUTE_SHARE * 60
    assert len(times_s) * WRITE_S >= 0.0075 * 400  # and it is not held back more than that


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.lists(st.integers(250, 375), min_size=4, max_size=4), st.integers(1, 100)), max_size=40))
def test_whatever_is_leased_no_minute_has_more_than_its_share(
    bench: MakeBench, course: list[tuple[list[int], int]]
) -> None:
    host = leased(bench, 4, 1500)
    for limits_w, turns in course:
        host.lease_w = limits_w
        host.clocks_mhz = [1000 + limit_w for limit_w in limits_w]
        host.step(turns * 0.05)
    assert most_in_a_minute([write.time_s for write in host.writes()]) * WRITE_S <= MINUTE_SHARE * 60


def test_a_cut_does_not_wait_for_an_empty_purse(bench: MakeBench) -> None:
    host = drained(bench)
    host.envelope_w = 2800
    host.lease_w = [375] * 8
    host.step()
    assert sum(host.limits_w()) <= 2800


def test_the_end_of_a_lease_does_not_wait_for_an_empty_purse(bench: MakeBench) -> None:
    host = drained(bench)
    host.lease_w = None
    host.step()
    assert host.limits_w() == [SAFE_W] * 8


def test_a_great_lowering_does_not_wait_and_a_small_one_does(bench: MakeBench) -> None:
    host = drained(bench)
    host.lease_w = host.limits_w()
    great = host.limits_w().index(max(host.limits_w()))
    for share, waits in ((0.95, True), (0.89, False)):
        before_w = host.limits_w()[great]
        host.lease_w[great] = before_w * share
        host.step()
        assert (host.limits_w()[great] == before_w) is waits


def test_room_for_a_raise_is_not_made_from_an_empty_purse(bench: MakeBench) -> None:
    host = drained(bench)
    limits_w = host.limits_w()
    great, small = limits_w.index(max(limits_w)), limits_w.index(min(limits_w))
    host.envelope_w, host.lease_w = sum(limits_w), [*limits_w]
    host.lease_w[great] -= 20
    host.lease_w[small] += 20
    begun = len(host.writes())
    host.step()
    assert len(host.writes()) == begun
    host.step(3)
    assert [write.device for write in host.writes()[begun:]] == [great, small]


def test_after_a_cut_raises_wait_for_some_seconds_at_most(bench: MakeBench) -> None:
    host = drained(bench)
    for envelope_w in (2900, 2800, 2700, 2600, 2500, 2400, 2300, 2200, 2100, 2000):
        host.safe_w, host.envelope_w, host.lease_w = [200] * 8, envelope_w, [envelope_w / 8] * 8
        host.step(0.1)
    host.envelope_w, host.lease_w = 3000, [300] * 8
    host.step(6.0)
    assert max(host.limits_w()) == 300


def test_the_greatest_change_comes_first(bench: MakeBench) -> None:
    host = drained(bench)
    host.envelope_w = 5600
    begun = len(host.writes())
    host.lease_w = [limit_w + rise_w for limit_w, rise_w in zip(host.limits_w(), range(50, 450, 50), strict=True)]
    host.step(20)
    assert [write.device for write in host.writes()[begun:]] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_a_ceiling_is_taken_off_at_once_and_set_when_there_is_time(bench: MakeBench) -> None:
    host = drained(bench, 1000)
    host.lease_w = host.limits_w()
    assert [write.value for write in host.writes() if write.is_clock] == [1000] * 8
    host.clocks_mhz = [1100] * 7 + [FREE_MHZ]
    host.step()
    assert [(write.device, write.value) for write in host.writes() if write.is_clock][8:] == [(7, 0)]
    host.step(10)
    assert len([write for write in host.writes() if write.is_clock]) == 16
    host.lease_w, host.clocks_mhz = None, [FREE_MHZ] * 8
    host.step(1.05)
    last = {write.device: write.value for write in host.writes() if write.is_clock}
    assert set(last.values()) == {0}


@pytest.mark.parametrize("gpus", [1, 8])
def test_a_quiet_demand_finds_a_full_purse(bench: MakeBench, gpus: int) -> None:
    host = leased(bench, gpus, 375.0 * gpus)
    host.step(60)
    assert len(host.writes()) == 0
    host.lease_w = [300] * gpus
    host.step()
    assert len(host.writes()) == gpus
