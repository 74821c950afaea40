from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.agent.plan import Plan, Vector, make_plan
from eagent.agent.warden import KnobStatus
from eagent.model import Budget, DeviceState, HostState, Knob, KnobName, Priority, Proposal
from eagent.policy.goals import Goals, Pin
from eagent.policy.registry import Policies

FIRST, SECOND = "GPU-00aa", "GPU-01aa"
PINNED = Goals(pins=(Pin(FIRST, 250.5),))


def knob(uuid: str, baseline_mw: int | None, requested_mw: int | None = 380_000) -> KnobStatus:
    return KnobStatus(uuid, "power_limit", requested_mw, requested_mw, None, baseline_mw, "baseline", True, "", None)


def plan(state: HostState, goals: Goals, knobs: dict[str, KnobStatus] | None = None) -> Plan:
    return make_plan(state, Policies().propose(state, goals, 0), knobs or {}, 0)


def ceiling(uuid: str, clock_mhz: float) -> Proposal:
    return Proposal("idle", Priority.IDLE, uuid, KnobName.GPU_CLOCK, clock_mhz, "idle")


@pytest.fixture
def two(new_device: Any) -> HostState:
    devices = (replace(new_device(n), clock=Knob(True), clocks_mhz=(210, 705, 1410)) for n in range(2))
    return HostState(tuple(DeviceState(device) for device in devices))


def test_with_nothing_to_decide_there_is_no_lease(two: HostState) -> None:
    assert plan(two, Goals()) == Plan({}, None, None)


def test_without_a_budget_only_what_is_asked_for_is_held(two: HostState) -> None:
    assert plan(two, PINNED, {SECOND: knob(SECOND, 350_000)}).vector == Vector({FIRST: 250_500})


def test_a_device_that_cannot_be_capped_is_not_in_the_vector(new_device: Any) -> None:
    nothing = HostState((DeviceState(new_device(0, writable=False)),), Budget(1000, 0, {}))
    assert plan(nothing, PINNED).vector is None


def test_a_budget_names_every_device_and_holds_the_sum(two: HostState) -> None:
    vector = plan(replace(two, budget=Budget(800, 200, {FIRST: 150, SECOND: 150})), Goals()).vector
    assert vector is not None
    assert set(vector.limits_mw) == {FIRST, SECOND}
    assert sum(vector.limits_mw.values()) <= 600_000


@pytest.mark.parametrize(("baseline_mw", "expected_mw"), [(150_000, 150_000), (350_000, 200_000), (None, 200_000)])
def test_under_a_budget_who_is_not_asked_for_keeps_the_less_of_baseline_and_safe_cap(
    two: HostState, baseline_mw: int | None, expected_mw: int
) -> None:
    state = replace(two, budget=Budget(800, 200, {FIRST: 200, SECOND: 200}))
    only_a_pin = [each for each in Policies().propose(state, PINNED, 0) if each.policy == "pin"]
    vector = make_plan(state, only_a_pin, {SECOND: knob(SECOND, baseline_mw)}, 0).vector
    assert vector == Vector({FIRST: 250_500, SECOND: expected_mw})


def test_when_nothing_can_be_shared_the_safe_caps_stand_and_it_is_said(two: HostState) -> None:
    made = plan(replace(two, budget=Budget(350, 200, {})), Goals())
    assert made.vector is None
    assert "safe caps stand" in (made.problem or "")


def test_a_pin_alone_does_not_break_an_envelope_too_small_to_share(two: HostState) -> None:
    made = plan(replace(two, budget=Budget(350, 200, {})), Goals(pins=(Pin(FIRST, 300),)))
    assert made.vector is None
    assert "does not fit into the envelope" in (made.problem or "")


def test_a_ceiling_is_a_clock_that_the_device_has_and_leaves_limits_alone(two: HostState) -> None:
    assert make_plan(two, [ceiling(FIRST, 900.0)], {}, 0).vector == Vector({}, {FIRST: 705})


def test_a_ceiling_at_the_top_is_none(two: HostState) -> None:
    assert make_plan(two, [ceiling(FIRST, 1410.0)], {}, 0).vector is None


def test_a_ceiling_under_a_budget_that_nobody_shares_comes_with_the_safe_caps(two: HostState) -> None:
    state = replace(two, budget=Budget(800, 200, {FIRST: 150, SECOND: 160}))
    vector = make_plan(state, [ceiling(FIRST, 705)], {}, 0).vector
    assert vector == Vector({FIRST: 150_000, SECOND: 160_000}, {FIRST: 705})
