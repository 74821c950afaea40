"""What a host could use: between the least and the greatest limits, and more the more its limits hold it down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.model import NEVER, Budget, Device, DeviceKind, DeviceState, HostState, Knob, Reading, Status
from eagent.policy.need import need_w

SHARES = st.none() | st.floats(0, 1)
WATTS = st.none() | st.floats(0, 2000)
PACKAGE = Device(
    *("CPU-0", 0, "Xeon", "", 125, 250, 250, 0.1, 0.1, Knob(True)), kind=DeviceKind.CPU, clocks_mhz=(800, 3400)
)


def test_a_gpu_needs_what_it_has_drawn_lately(gpus: Any) -> None:
    assert need_w(HostState((gpus.state(gpus.device(0), 250.0),))) == 250.0


@pytest.mark.parametrize(("capped", "watts"), [(0.0, 200.0), (0.5, 300.0), (1.0, 400.0), (None, 200.0)])
def test_a_gpu_that_is_held_down_needs_more_by_the_share_of_time(gpus: Any, capped: float | None, watts: float) -> None:
    assert need_w(HostState((gpus.state(gpus.device(0), 200.0, capped=capped),))) == watts


def test_a_gpu_needs_no_more_than_what_its_owner_had_set(gpus: Any) -> None:
    assert need_w(HostState((gpus.state(gpus.device(0), 200.0, capped=1.0, prior_w=300.0),))) == 300.0
    assert need_w(HostState((gpus.state(gpus.device(0), 20.0, prior_w=80.0),))) == 80.0  # below what the driver takes


def test_a_gpu_that_is_not_seen_needs_its_safe_cap(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), None, capped=None),))
    assert need_w(state) == 100.0
    assert need_w(replace(state, budget=Budget(1000, 500, {"GPU-00": 150.0}))) == 150.0


def test_a_gpu_that_is_pinned_has_no_use_for_more(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 150.0, capped=1.0), gpus.state(gpus.device(1), 150.0, capped=1.0)))
    assert need_w(state, {"GPU-00": 160.0}) == 560.0


def test_a_last_value_is_no_need(gpus: Any) -> None:
    stale = Reading(None, Status.STALE, "test")
    state = replace(gpus.state(gpus.device(0), 390.0), power_recent_w=stale)
    assert need_w(HostState((state,))) == 390.0  # of the last second
    assert need_w(HostState((replace(state, power_mean_w=stale),))) == 100.0


def test_a_need_rises_at_once_and_falls_slowly(gpus: Any) -> None:
    rising = replace(gpus.state(gpus.device(0), 120.0), power_mean_w=gpus.ok(300.0))
    assert need_w(HostState((rising,))) == 300.0
    falling = replace(gpus.state(gpus.device(0), 300.0), power_mean_w=gpus.ok(120.0))
    assert need_w(HostState((falling,))) == 300.0


def test_a_limit_that_binds_in_this_second_counts_in_full(gpus: Any) -> None:
    bound = replace(gpus.state(gpus.device(0), 60.0, limit_w=100.0), power_mean_w=gpus.ok(96.0))
    assert need_w(HostState((bound,))) == 400.0
    assert need_w(HostState((replace(bound, power_mean_w=gpus.ok(90.0)),))) == 100.0


def test_a_device_that_can_not_be_capped_needs_all_that_it_may_draw(gpus: Any) -> None:
    idle = gpus.state(gpus.device(0, writable=False), 30.0)
    assert need_w(HostState((idle,))) == 400.0
    assert need_w(HostState((idle, gpus.state(gpus.device(1), 120.0)))) == 520.0


def test_a_package_that_can_not_be_capped_is_a_part_of_the_fixed_draw_or_of_the_budget_that_names_it() -> None:
    fixed = DeviceState(replace(PACKAGE, power_limit=Knob(False, "no")))
    assert need_w(HostState((fixed,))) == 0.0
    assert need_w(HostState((fixed,), Budget(1000, 500, {"CPU-0": 125.0}))) == 250.0
    assert need_w(HostState((), Budget(1000, 500, {"CPU-0": 125.0}))) == 125.0  # gone, and draws on


def test_a_package_that_is_not_seen_needs_what_it_had() -> None:
    assert need_w(HostState((DeviceState(PACKAGE),))) == 250.0


def test_a_host_of_nothing_needs_nothing() -> None:
    assert need_w(HostState(())) == 0.0


def known(value: float | None) -> Reading:
    return NEVER if value is None else Reading(value, Status.OK)


@st.composite
def hosts(draw: st.DrawFn) -> HostState:
    states = []
    for n in range(draw(st.integers(1, 4))):
        low = draw(st.floats(0, 200))
        high = low + draw(st.floats(0, 400))
        device = Device(f"GPU-{n}", n, "A100", "", low, high, high, 0.025, 0.1, Knob(draw(st.booleans())))
        power, recent, limit, capped = draw(WATTS), draw(WATTS), draw(WATTS), draw(SHARES)
        states.append(
            DeviceState(
                device,
                power_mean_w=known(power),
                power_recent_w=known(recent),
                limit_w=known(limit),
                capped_share=known(capped),
                prior_limit_w=draw(st.none() | st.floats(1, 700)),
            )
        )
    caps = draw(st.dictionaries(st.sampled_from(["GPU-0", "GPU-1", "GPU-2"]), st.floats(0, 700)))
    return HostState(tuple(states), draw(st.none() | st.just(Budget(5000, 500, caps))))


def bounds_w(state: DeviceState, budget: Budget | None) -> tuple[float, float]:
    device = state.device
    if not device.power_limit.writable:
        least = (budget or Budget(0, 0, {})).uncapped_w(device)
        return least, least
    high = device.max_limit_w if state.prior_limit_w is None else min(device.max_limit_w, state.prior_limit_w)
    return min(device.min_limit_w, high), high


@given(hosts())
def test_the_need_is_never_below_the_least_limits_nor_above_the_greatest(state: HostState) -> None:
    pairs = [bounds_w(each, state.budget) for each in state.devices]
    assert sum(low for low, _ in pairs) - 1e-6 <= need_w(state) <= sum(high for _, high in pairs) + 1e-6


@given(hosts(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_held_down_more_needs_no_less(state: HostState, one: float, other: float) -> None:
    def held(share: float) -> float:
        reading = Reading(share, Status.OK)
        return need_w(replace(state, devices=tuple(replace(each, capped_share=reading) for each in state.devices)))

    assert held(min(one, other)) <= held(max(one, other)) + 1e-6


@given(hosts(), st.floats(0, 2000), st.floats(0, 2000))
def test_who_draws_more_needs_no_less(state: HostState, one: float, other: float) -> None:
    def drawing(watts: float) -> float:
        reading = Reading(watts, Status.OK)
        devices = (replace(each, power_mean_w=reading, power_recent_w=reading) for each in state.devices)
        return need_w(replace(state, devices=tuple(devices)))

    assert drawing(min(one, other)) <= drawing(max(one, other)) + 1e-6


def test_what_is_kept_back_for_gpus_that_do_not_answer_is_needed(gpus: Any) -> None:
    assert need_w(HostState((gpus.state(gpus.device(0), 250.0),), reserved_w=400.0)) == 650.0
