"""An operator's pins: one device's power limit held at a value, until a time or until it is cleared."""

from __future__ import annotations

from eagent.model import HostState, KnobName, Priority, Proposal
from eagent.policy.goals import Goals

NAME = "pin"


def decide(state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
    """A proposal of exactly the pinned limit for each pin that stands and whose device is here and can be capped."""
    writable = {each.device.uuid for each in state.devices if each.device.power_limit.writable}
    return [
        Proposal(
            policy=NAME,
            priority=Priority.PIN,
            uuid=pin.uuid,
            knob=KnobName.POWER_LIMIT,
            low=pin.limit_w,
            high=pin.limit_w,
            reason="pinned by an operator",
            until_ns=pin.until_ns,
        )
        for pin in goals.pins
        if pin.uuid in writable and pin.stands(now_ns)
    ]
