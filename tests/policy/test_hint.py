from dataclasses import replace

import pytest

from eagent.model import Device, DeviceState, HostState, Knob, KnobName, Reading, Status
from eagent.policy import hint, pin
from eagent.policy.arbiter import arbitrate
from eagent.policy.goals import Goals, Hint, Pin
from eagent.wish import Wish

GPU = Device("GPU-0", 0, "x", "0:0", 100, 400, 400, 0.1, 0.1, Knob(True), Knob(True), (600, 1200, 1400))
STATE = DeviceState(GPU, prior_limit_w=400.0)


def made(bound: Hint, state: DeviceState = STATE, now_ns: int = 0, **goals: object) -> dict[KnobName, float]:
    found = hint.decide(HostState((state,)), Goals(hints=(bound,), **goals), now_ns)  # type: ignore[arg-type]
    return {each.knob: each.high for each in found}


def wish(limit_w: float | None = None, clock_mhz: float | None = None) -> Hint:
    return Hint("GPU-0", Wish(limit_w, clock_mhz), "its job asks for no more", 10)


def test_a_hint_bounds_the_limit_and_the_clock_until_its_time() -> None:
    assert made(wish(250, 1200)) == {KnobName.POWER_LIMIT: 250, KnobName.GPU_CLOCK: 1200}
    assert made(wish(250, 1200), now_ns=10) == {}


@pytest.mark.parametrize(
    "state",
    [
        replace(STATE, prior_limit_w=200.0),
        replace(STATE, foreign_limit_w=200.0),
        replace(STATE, prior_limit_w=None),
        replace(STATE, prior_limit_w=None, limit_w=Reading(200.0, Status.OK)),
    ],
    ids=["owner's lower", "somebody's lower", "unknown", "lower as read"],
)
def test_a_hint_never_raises_a_limit(state: DeviceState) -> None:
    assert made(wish(250), state) == {}


def test_a_hint_never_raises_a_clock() -> None:
    assert made(wish(clock_mhz=1400)) == {}
    assert made(wish(clock_mhz=1300), clock_baseline_mhz=1200) == {}
    assert made(wish(clock_mhz=1100), clock_baseline_mhz=1200) == {KnobName.GPU_CLOCK: 1100}


def test_an_operators_pin_is_stronger() -> None:
    goals = Goals(hints=(wish(150),), pins=(Pin("GPU-0", 300.0),))
    state = HostState((STATE,))
    (decision,) = arbitrate([GPU], [*hint.decide(state, goals, 0), *pin.decide(state, goals, 0)], 0)
    assert (decision.value, decision.winner.policy) == (300.0, "pin")
