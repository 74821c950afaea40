"""How fast the sum of limits rises, by the driver's log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MakeBench = Callable[..., Any]
RAMP_W = 400.0


def greatest_rise_w(host: Any) -> float:
    """Of all raises of limits, the most that came together within a second."""
    limits_w = list(host.present_w)
    rises: list[tuple[float, float]] = []
    for write in host.writes():
        rises.append((write.time_s, max(write.value / 1000 - limits_w[write.device], 0.0)))
        limits_w[write.device] = write.value / 1000
    return max((sum(w for at, w in rises if start_s <= at < start_s + 0.999) for start_s, _ in rises), default=0.0)


def test_a_lease_rises_by_the_ramp_and_arrives(bench: MakeBench) -> None:
    host = bench([200] * 8, ramp_w_per_s=RAMP_W)
    host.lease_w = [700] * 8
    host.step(11)
    assert host.limits_w() == [700] * 8
    assert 0.9 * RAMP_W <= greatest_rise_w(host) <= RAMP_W
    host.step(5)
    assert len(host.writes()) <= 2.5 * 4000 / RAMP_W  # in few steps


def test_falling_back_and_restoring_rise_by_the_ramp_and_fall_at_once(bench: MakeBench) -> None:
    host = bench([700, 200, 200, 200], ramp_w_per_s=RAMP_W)
    host.envelope_w, host.safe_w = 2000, [300, 500, 500, 500]
    host.step()
    assert host.limits_w()[0] == 300
    host.step(3)
    assert host.limits_w() == [300, 500, 500, 500]
    host.envelope_w, host.safe_w = 0, [700] * 4  # the budget is cleared: back to the prior values
    host.step(3)
    assert host.limits_w() == [700] * 4
    assert greatest_rise_w(host) <= RAMP_W


def test_a_great_raise_is_not_made_in_crumbs(bench: MakeBench) -> None:
    host = bench([200, 200], ramp_w_per_s=RAMP_W)
    host.lease_w = [500, 200]
    host.step()
    host.lease_w = [500, 600]  # 100 W are left of this second
    host.step(2)
    assert [(write.device, write.value) for write in host.writes()] == [(0, 500_000), (1, 600_000)]


def test_lowering_is_never_held_back_by_a_ramp(bench: MakeBench) -> None:
    host = bench([700] * 8, ramp_w_per_s=1)
    host.envelope_w, host.safe_w, host.lease_w = 3000, [300] * 8, [700] * 8
    host.step()
    assert host.limits_w() == [375] * 8


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_second_has_more_than_the_ramp_allows(bench: MakeBench, data: st.DataObject) -> None:
    ramp_w = data.draw(st.integers(1, 2000))
    count = data.draw(st.integers(1, 8))
    vector = st.lists(st.integers(200, 700), min_size=count, max_size=count)
    host = bench(data.draw(vector), ramp_w_per_s=ramp_w)
    host.safe_w = data.draw(vector)
    for _ in range(data.draw(st.integers(1, 10))):
        host.lease_w = data.draw(st.one_of(st.none(), vector))
        host.step(data.draw(st.sampled_from([0.05, 0.3, 1.0, 2.5])))
    assert greatest_rise_w(host) <= ramp_w + 1e-6
