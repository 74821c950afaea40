from __future__ import annotations

from typing import Any

import pytest

from eagent.agent.plan import make_plan
from eagent.agent.warden import KnobStatus
from eagent.model import Budget, DeviceState, HostState
from eagent.policy.goals import Goals, Pin


def knob(uuid: str, baseline_mw: int | None, requested_mw: int | None = 380_000) -> KnobStatus:
    return KnobStatus(uuid, "power_limit", requested_mw, requested_mw, None, baseline_mw, "baseline", True, "", None)


@pytest.fixture
def two(new_device: Any) -> HostState:
    return HostState((DeviceState(new_device(0)), DeviceState(new_device(1))))


FIRST, SECOND = "GPU-00aa", "GPU-01aa"
PINNED = Goals(pins=(Pin(FIRST, 250.5),))


def test_with_nothing_to_decide_there_is_no_lease(two: HostState) -> None:
    plan = make_plan(two, Goals(), {}, 0)
    assert (plan.decisions, plan.vector_mw, plan.problem) == ({}, None, None)


def test_who_is_not_asked_for_keeps_its_baseline(two: HostState) -> None:
    plan = make_plan(two, PINNED, {SECOND: knob(SECOND, 350_000)}, 0)
    assert plan.vector_mw == {FIRST: 250_500, SECOND: 350_000}
    assert set(plan.decisions) == {FIRST}


def test_without_a_baseline_what_is_set_now_is_kept(two: HostState) -> None:
    assert make_plan(two, PINNED, {SECOND: knob(SECOND, None)}, 0).vector_mw == {FIRST: 250_500, SECOND: 380_000}
    assert make_plan(two, PINNED, {}, 0).vector_mw == {FIRST: 250_500, SECOND: 400_000}


def test_a_device_that_cannot_be_capped_is_not_in_the_vector(new_device: Any) -> None:
    state = HostState((DeviceState(new_device(0)), DeviceState(new_device(1, writable=False))))
    assert make_plan(state, PINNED, {}, 0).vector_mw == {FIRST: 250_500}
    nothing = HostState((DeviceState(new_device(0, writable=False)),), Budget(1000, 0, {}))
    assert make_plan(nothing, PINNED, {}, 0).vector_mw is None


def test_a_budget_names_every_device_and_holds_the_sum(two: HostState) -> None:
    state = HostState(two.devices, Budget(800, 200, {FIRST: 150, SECOND: 150}))
    vector_mw = make_plan(state, Goals(), {}, 0).vector_mw
    assert vector_mw is not None
    assert set(vector_mw) == {FIRST, SECOND}
    assert sum(vector_mw.values()) <= 600_000


def test_when_nothing_can_be_shared_the_safe_caps_stand_and_it_is_said(two: HostState) -> None:
    plan = make_plan(HostState(two.devices, Budget(350, 200, {})), Goals(), {}, 0)
    assert plan.vector_mw is None
    assert "safe caps stand" in (plan.problem or "")


def test_a_pin_alone_does_not_break_an_envelope_too_small_to_share(two: HostState) -> None:
    plan = make_plan(HostState(two.devices, Budget(350, 200, {})), Goals(pins=(Pin(FIRST, 300),)), {}, 0)
    assert plan.vector_mw is None
    assert "does not fit into the envelope" in (plan.problem or "")
