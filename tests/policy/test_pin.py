from __future__ import annotations

from dataclasses import replace
from typing import Any

from eagent.model import HostState, Knob, KnobName, Priority
from eagent.policy.goals import Goals, Pin
from eagent.policy.pin import decide


def test_a_pin_asks_for_exactly_its_limit_until_its_time(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 60),))
    goals = Goals(pins=(Pin("GPU-00", 250, until_ns=10),))
    (proposal,) = decide(state, goals, 9)
    assert (proposal.low, proposal.high, proposal.priority, proposal.until_ns) == (250, 250, Priority.PIN, 10)
    assert decide(state, goals, 10) == []


def test_a_pin_asks_for_exactly_its_ceiling_where_clocks_can_be_set(gpus: Any) -> None:
    device = replace(gpus.device(0), clock=Knob(True), clocks_mhz=(210, 1410))
    goals = Goals(pins=(Pin("GPU-00", None, clock_mhz=1200), Pin("GPU-01", None, clock_mhz=1200)))
    (proposal,) = decide(HostState((gpus.state(device, 60), gpus.state(gpus.device(1), 60))), goals, 0)
    assert (proposal.uuid, proposal.knob, proposal.low, proposal.high) == ("GPU-00", KnobName.GPU_CLOCK, 1200, 1200)


def test_a_pin_without_a_time_stands(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 60),))
    assert len(decide(state, Goals(pins=(Pin("GPU-00", 250),)), 2**62)) == 1


def test_a_pin_of_a_device_that_is_away_or_cannot_be_capped_asks_nothing(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0, writable=False), 60),))
    assert decide(state, Goals(pins=(Pin("GPU-00", 250), Pin("GPU-09", 250))), 0) == []
