"""An operator's pins: one device's knobs held at a value, until a time or until it is cleared."""

from __future__ import annotations

from eagent.model import HostState, KnobName, Priority, Proposal
from eagent.policy.goals import Goals

NAME = "pin"


def decide(state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
    """Exactly the pinned value for each knob of a pin that stands, if the device is here and the knob can be set."""
    devices = {each.device.uuid: each.device for each in state.devices}
    proposals = []
    for pin in goals.pins:
        device = devices.get(pin.uuid)
        if device is None or not pin.stands(now_ns):
            continue
        for knob, value in ((KnobName.POWER_LIMIT, pin.limit_w), (device.clock_knob, pin.clock_mhz)):
            if value is not None and device.span(knob) is not None:
                proposals.append(
                    Proposal(
                        policy=NAME,
                        priority=Priority.PIN,
                        uuid=pin.uuid,
                        knob=knob,
                        low=value,
                        high=value,
                        reason="pinned by an operator",
                        until_ns=pin.until_ns,
                    )
                )
    return proposals
