from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.agent.plan import Plan, Vector, make_plan
from eagent.agent.warden import KnobStatus, Told
from eagent.model import Budget, DeviceState, HostState, Knob, KnobName, Priority, Proposal
from eagent.policy.goals import Goals, Pin
from eagent.policy.registry import Policies

FIRST, SECOND = "GPU-00aa", "GPU-01aa"
PINNED = Goals(pins=(Pin(FIRST, 250.5),))


def knob(uuid: str, baseline_mw: int | None, requested_mw: int | None = 380_000) -> Told:
    return Told(
        KnobStatus(uuid, "power_limit", requested_mw, requested_mw, None, baseline_mw, "baseline", True, "", None)
    )


def plan(state: HostState, goals: Goals, told: dict[str, Told] | None = None) -> Plan:
    return make_plan(state, Policies().propose(state, goals, 0), told or {}, 0)


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


PACKAGE = "CPU-0"


def below(clock_mhz: float) -> Proposal:
    return Proposal("cpu", Priority.EFFICIENCY, PACKAGE, KnobName.CPU_CLOCK, clock_mhz, "it feeds GPUs")


def capped(limit_w: float) -> Proposal:
    return Proposal("budget", Priority.BUDGET, PACKAGE, KnobName.POWER_LIMIT, limit_w, "its share")


@pytest.fixture
def with_package(two: HostState, new_package: Any) -> Any:
    """Two GPUs and a package of 0.8 to 3.4 GHz with these options."""
    return lambda **options: replace(two, devices=(*two.devices, DeviceState(new_package(0, **options))))


@pytest.mark.parametrize(
    ("asked_mhz", "ceiling_mhz"), [(2100.0, 2100), (2199.9, 2100), (3399.0, 3300), (800.0, 800), (100.0, 800)]
)
def test_a_packages_ceiling_snaps_down_to_its_ladder(with_package: Any, asked_mhz: float, ceiling_mhz: int) -> None:
    vector = make_plan(with_package(), [below(asked_mhz)], {}, 0).vector
    assert vector is not None
    assert (vector.limits_mw, vector.clocks_mhz) == ({}, {PACKAGE: ceiling_mhz})


def test_a_packages_ceiling_at_the_top_is_none(with_package: Any) -> None:
    assert make_plan(with_package(), [below(3400.0)], {}, 0).vector is None


@pytest.mark.parametrize(("asked_mhz", "held"), [(2000, {PACKAGE: 2000}), (2100, {}), (3000, {})])
def test_a_packages_ceiling_is_never_above_its_owners(
    with_package: Any, asked_mhz: float, held: dict[str, int]
) -> None:
    *gpus, package = with_package().devices
    state = HostState((*gpus, replace(package, prior_ceiling_mhz=2100.0)))
    vector = make_plan(state, [below(asked_mhz)], {}, 0).vector
    assert (vector.clocks_mhz if vector else {}) == held


@pytest.mark.parametrize(
    ("asked_mhz", "preferences"),
    [  # 0.6 of 3400 MHz is 2040: what counts is the ceiling, 2000 or 2100
        *[(asked_mhz, {PACKAGE: "balance_power"}) for asked_mhz in (800, 2000, 2099)],
        *[(asked_mhz, {}) for asked_mhz in (2100, 3000)],
    ],
)
def test_a_package_that_is_held_low_prefers_power(
    with_package: Any, asked_mhz: float, preferences: dict[str, str]
) -> None:
    vector = make_plan(with_package(), [below(asked_mhz)], {}, 0).vector
    assert vector is not None
    assert vector.preferences == preferences


@pytest.mark.parametrize(
    "options",
    [{"preferences": ("performance", "power")}, {"preferences": ()}, {"preference": Knob(False, "needs root")}],
)
def test_a_package_that_does_not_take_the_preference_keeps_its_own(with_package: Any, options: dict[str, Any]) -> None:
    vector = make_plan(with_package(**options), [below(1000)], {}, 0).vector
    assert vector == Vector({}, {PACKAGE: 1000}, {})


def test_a_gpu_that_is_held_low_has_no_preference(with_package: Any) -> None:
    assert make_plan(with_package(), [ceiling(FIRST, 210)], {}, 0).vector == Vector({}, {FIRST: 210}, {})


@pytest.mark.parametrize(("share_w", "limit_mw"), [(200.0, 200_000), (200.999, 200_000), (250.0, 250_000)])
def test_a_packages_limit_is_in_whole_watts_below_its_share(with_package: Any, share_w: float, limit_mw: int) -> None:
    vector = make_plan(with_package(), [capped(share_w)], {}, 0).vector
    assert vector == Vector({PACKAGE: limit_mw})


def test_a_packages_limit_is_not_rounded_below_its_least(with_package: Any) -> None:
    vector = make_plan(with_package(min_limit_w=112.5), [capped(112.9)], {}, 0).vector
    assert vector == Vector({PACKAGE: 112_500})


def test_under_a_budget_a_package_that_nobody_asks_for_keeps_the_limit_that_it_had(with_package: Any) -> None:
    state = replace(with_package(), budget=Budget(1200, 200, {FIRST: 200, SECOND: 200}))
    pin = [each for each in Policies().propose(state, PINNED, 0) if each.policy == "pin"]
    vector = make_plan(state, pin, {PACKAGE: knob(PACKAGE, 250_000)}, 0).vector
    assert vector == Vector({FIRST: 250_500, SECOND: 200_000, PACKAGE: 250_000})
    named = replace(state, budget=Budget(1200, 200, {FIRST: 200, SECOND: 200, PACKAGE: 150}))
    vector = make_plan(named, pin, {PACKAGE: knob(PACKAGE, 250_000)}, 0).vector
    assert vector == Vector({FIRST: 250_500, SECOND: 200_000, PACKAGE: 150_000})


@pytest.mark.parametrize(("named", "fits"), [({}, True), ({PACKAGE: 250.0}, False)])
def test_a_package_that_cannot_be_capped_takes_of_the_envelope_only_if_it_is_named(
    with_package: Any, named: dict[str, float], fits: bool
) -> None:
    state = with_package(power_limit=Knob(False, "read-only"))
    state = replace(state, budget=Budget(700, 200, {FIRST: 200, SECOND: 200, **named}))
    only_a_pin = [each for each in Policies().propose(state, PINNED, 0) if each.policy == "pin"]
    vector = make_plan(state, only_a_pin, {}, 0).vector
    assert vector == (Vector({FIRST: 250_500, SECOND: 200_000}) if fits else None)


def test_a_packages_ceiling_under_a_budget_that_nobody_shares_comes_with_the_safe_caps(with_package: Any) -> None:
    state = replace(with_package(), budget=Budget(800, 200, {FIRST: 150, SECOND: 160}))
    vector = make_plan(state, [below(1500)], {}, 0).vector
    limits_mw = {FIRST: 150_000, SECOND: 160_000, PACKAGE: 250_000}
    assert vector == Vector(limits_mw, {PACKAGE: 1500}, {PACKAGE: "balance_power"})


def test_a_pin_on_a_package_is_held_like_one_on_a_gpu(with_package: Any) -> None:
    assert plan(with_package(), Goals(pins=(Pin(PACKAGE, 180.0),))).vector == Vector({PACKAGE: 180_000})


def test_what_the_warden_keeps_back_is_not_shared(two: HostState) -> None:
    held = replace(two, budget=Budget(900, 0, {FIRST: 150, SECOND: 150}), reserved_w=400)
    vector = plan(held, Goals()).vector
    assert vector is not None
    assert sum(vector.limits_mw.values()) <= 500_000
    pinned = plan(replace(held, reserved_w=750), PINNED)
    assert pinned.problem == "what was decided does not fit into the envelope: the safe caps stand"
