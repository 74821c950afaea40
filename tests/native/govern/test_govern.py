"""Limits under an envelope, by the order in which the driver saw the writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.native.govern.conftest import LEFT_ALONE

MakeBench = Callable[..., Any]
SAFE_W = 300.0


def sums_w(host: Any) -> list[float]:
    """The sum of limits at first, and after each write."""
    limits_w = list(host.present_w)
    sums = [math.fsum(limits_w)]
    for write in host.writes():
        if not write.is_clock:
            limits_w[write.device] = write.value / 1000
            sums.append(math.fsum(limits_w))
    return sums


def budgeted(bench: MakeBench, *lease_w: float, envelope_w: float = 5600.0, **options: Any) -> Any:
    """A host whose devices are at their leased limits under an envelope."""
    host = bench(lease_w, **options)
    host.safe_w, host.envelope_w, host.lease_w = [SAFE_W] * len(lease_w), envelope_w, list(lease_w)
    host.step()
    return host


def test_an_envelope_that_shrinks_under_a_lease_scales_it_within_one_turn(bench: MakeBench) -> None:
    host = budgeted(bench, 700, 700, 700, 700, 700, 700, 700, 700)
    host.envelope_w = 3000
    host.step()
    assert host.limits_w() == [375.0] * 8
    assert host.held_w() == [375.0] * 8
    host.step(5)
    assert len(host.writes()) == 8


def test_a_scaled_lease_that_fits_again_is_what_it_was(bench: MakeBench) -> None:
    host = budgeted(bench, 700, 250, envelope_w=1000)
    host.envelope_w = 700
    host.step()
    assert host.limits_w() == [450, 250]
    host.envelope_w = 1000
    host.step(1.1)
    assert host.limits_w() == [700, 250]


def test_a_lease_that_ends_under_an_envelope_goes_to_the_safe_caps_at_once(bench: MakeBench) -> None:
    host = budgeted(bench, 700, 200, 400, envelope_w=1300)
    host.lease_w = None
    host.step()
    assert host.limits_w() == [SAFE_W] * 3
    assert max(sums_w(host)) <= 1300


def test_who_is_not_in_the_lease_is_at_its_safe_cap(bench: MakeBench) -> None:
    host = budgeted(bench, 700, 0, envelope_w=1000)
    assert host.limits_w() == [700, SAFE_W]


def test_a_raise_waits_for_a_lowering_that_fails(bench: MakeBench) -> None:
    host = budgeted(bench, 700, 300, envelope_w=1000)
    host.refuse(0)
    host.lease_w = [300, 700]
    host.step(3)
    assert host.limits_w() == [700, 300]
    host.refuse(0, False)
    host.step(1.1)
    assert host.limits_w() == [300, 700]
    assert max(sums_w(host)) <= 1000


def test_what_can_not_be_read_counts_at_its_greatest(bench: MakeBench) -> None:
    host = budgeted(bench, 300, 300, envelope_w=1000)
    host.deafen(0)
    host.intrude(0, 300)
    host.lease_w = [300, 500]
    host.step(3)
    assert host.limits_w()[1] == 300
    host.deafen(0, False)
    host.intrude(0, 300)
    host.step(1.1)
    assert host.limits_w() == [300, 500]


def test_a_small_lowering_is_not_worth_a_call(bench: MakeBench) -> None:
    host = budgeted(bench, 500, 300)
    host.lease_w = [490, 300]
    host.step(9)
    assert host.limits_w() == [500, 300]
    assert host.held_w() == [None, 300]
    host.step(2)
    assert host.limits_w() == [490, 300]  # but wanted for ten seconds


def test_a_small_lowering_is_made_when_a_raise_needs_the_watts(bench: MakeBench) -> None:
    host = budgeted(bench, 500, 300, 400, envelope_w=1200)
    host.lease_w = [490, 320, 390]
    host.step()
    assert host.limits_w() == [490, 320, 390]
    host.lease_w = [480, 325, 390]
    host.step(1.1)
    assert host.limits_w() == [490, 320, 390]  # 5 W more are not worth a call either


def test_no_lowering_is_too_small_for_the_envelope(bench: MakeBench) -> None:
    host = budgeted(bench, 500, 300, envelope_w=800)
    host.envelope_w = 799.5
    host.step()
    assert math.fsum(host.limits_w()) <= 799.5


def test_a_limit_that_somebody_else_has_moved_a_little_is_put_back(bench: MakeBench) -> None:
    host = budgeted(bench, 500, 300)
    host.intrude(0, 505)
    host.step()
    assert (host.limits_w(), host.foreign(0)) == ([500, 300], 1)
    host.lease_w = [492, 300]
    host.step()
    host.intrude(0, 499)  # while a small change of ours waits
    assert host.foreign(0) == 2
    host.step()
    assert host.limits_w() == [492, 300]


def test_who_is_left_alone_may_be_moved(bench: MakeBench) -> None:
    host = bench([500, 300])
    host.lease_w = [400, 0]
    host.step()
    host.intrude(1, 350)
    host.step(2)
    assert (host.limits_w(), host.foreign(1)) == ([400, 350], 0)


LIMIT_W = st.integers(200, 700)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_write_of_ours_ever_takes_the_sum_above_the_envelope(bench: MakeBench, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    vector = st.lists(LIMIT_W, min_size=count, max_size=count)
    ramp = data.draw(st.sampled_from([0, 0, 100, 1000]))
    host = bench(data.draw(vector), ramp_w_per_s=ramp)
    host.safe_w = [200] * count
    host.envelope_w = data.draw(st.integers(200 * count, 700 * count))
    limits_w, seen = list(host.present_w), 0
    for _ in range(data.draw(st.integers(1, 15))):
        act = data.draw(st.sampled_from(["lease", "end", "envelope", "refuse", "intrude", "wait"]))
        device = data.draw(st.integers(0, count - 1))
        if act == "lease":
            host.lease_w = data.draw(vector)  # may be far above the envelope
        elif act == "end":
            host.lease_w = None
        elif act == "envelope":
            host.envelope_w = data.draw(st.integers(200 * count, 700 * count))
        elif act == "refuse":
            host.refuse(device, data.draw(st.booleans()))
        elif act == "intrude":
            limits_w[device] = data.draw(LIMIT_W)
            host.intrude(device, limits_w[device])
        host.step(data.draw(st.sampled_from([0.05, 0.5, 2.0])))
        for write in host.writes()[seen:]:
            before_w, limits_w[write.device] = limits_w[write.device], write.value / 1000
            assert write.value / 1000 <= before_w or math.fsum(limits_w) <= host.envelope_w + 1e-6
        seen = len(host.writes())
    for device in range(count):
        host.refuse(device, False)
    host.step(1.1)
    assert math.fsum(host.limits_w()) <= host.envelope_w + 1e-6
    host.lease_w = None
    host.step(1.1 + (500 * count / ramp * 1.1 if ramp else 0))
    assert host.limits_w() == [200] * count


def test_a_write_is_ours_until_the_limit_is_let_go_and_longer_where_the_device_is_on_its_way_out(
    bench: MakeBench,
) -> None:
    host = bench([700, 700, 700])
    host.lease_w = [300, 300, LEFT_ALONE]
    host.step()
    assert [host.written_w(i) for i in range(3)] == [300, 300, None]
    for presence in ("parting", "gone"):  # it is looked at once more before it is closed, and comes back as it went
        host.move(1, presence)
        host.lease_w = [LEFT_ALONE] * 3
        host.step()
        assert [host.written_w(i) for i in range(3)] == [None, 300, None]
