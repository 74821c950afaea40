from __future__ import annotations

from typing import Any

from eagent.model import HostState, Priority
from eagent.policy.goals import Goals, Pin
from eagent.policy.pin import decide


def test_a_pin_asks_for_exactly_its_limit_until_its_time(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 60),))
    goals = Goals(pins=(Pin("GPU-00", 250, until_ns=10),))
    (proposal,) = decide(state, goals, 9)
    assert (proposal.low, proposal.high, proposal.priority, proposal.until_ns) == (250, 250, Priority.PIN, 10)
    assert decide(state, goals, 10) == []


def test_a_pin_without_a_time_stands(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 60),))
    assert len(decide(state, Goals(pins=(Pin("GPU-00", 250),)), 2**62)) == 1


def test_a_pin_of_a_device_that_is_away_or_cannot_be_capped_asks_nothing(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0, writable=False), 60),))
    assert decide(state, Goals(pins=(Pin("GPU-00", 250), Pin("GPU-09", 250))), 0) == []
