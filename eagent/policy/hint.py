"""Hints of job owners: upper bounds on devices that their processes hold. They lower, and never raise."""

from __future__ import annotations

from eagent.model import DeviceKind, DeviceState, HostState, KnobName, Priority, Proposal
from eagent.policy.goals import Goals, Hint

NAME = "hint"


def decide(state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
    """A bound for each knob that a hint would lower: below what the device has without one.

    A power limit that the owner of the host, or somebody else, has set lower than the hint stays where it is; so does
    one of which nobody knows what it was.
    """
    devices = {each.device.uuid: each for each in state.devices if each.device.kind is DeviceKind.GPU}
    proposals = []
    for hint in goals.hints:
        found = devices.get(hint.uuid)
        if found is None or now_ns >= hint.until_ns:
            continue
        present_w, wish = _present_w(found), hint.wish
        if wish.limit_w is not None and present_w is not None and wish.limit_w < present_w:
            proposals.append(_proposal(hint, KnobName.POWER_LIMIT, wish.limit_w))
        clocks_mhz = [*found.device.clocks_mhz[-1:], *([goals.clock_baseline_mhz] if goals.clock_baseline_mhz else [])]
        if wish.clock_mhz is not None and found.device.clocks_mhz and wish.clock_mhz < min(clocks_mhz):
            proposals.append(_proposal(hint, KnobName.GPU_CLOCK, wish.clock_mhz))
    return proposals


def _proposal(hint: Hint, knob: KnobName, high: float) -> Proposal:
    return Proposal(NAME, Priority.HINT, hint.uuid, knob, high, hint.reason, until_ns=hint.until_ns)


def _present_w(state: DeviceState) -> float | None:
    """The limit without eagent: what somebody else has set and is respected, else what it was before."""
    if state.foreign_limit_w is not None:
        return state.foreign_limit_w
    if state.prior_limit_w is not None:
        return state.prior_limit_w
    return state.limit_w.value if state.limit_w.ok else None
