"""From state to the whole vector that a lease carries. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eagent.agent.warden import KnobStatus
from eagent.model import Decision, DeviceState, HostState, KnobName, Proposal
from eagent.policy.arbiter import arbitrate

Decisions = Mapping[tuple[str, KnobName], Decision]


@dataclass(frozen=True, slots=True)
class Vector:
    """What a lease asks for, per UUID."""

    limits_mw: Mapping[str, int]  # under a budget every device that can be capped, else those decided on
    clocks_mhz: Mapping[str, int] = field(default_factory=dict)  # the ceilings; who is not named has none of ours


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided, and what follows for the lease."""

    decisions: Decisions
    vector: Vector | None  # None: hold no lease, the warden's baselines or safe caps are right
    problem: str | None = None  # why there is no lease although something was decided


NOTHING = Plan({}, None)


def make_plan(state: HostState, proposals: Sequence[Proposal], knobs: Mapping[str, KnobStatus], now_ns: int) -> Plan:
    """Decide, and make the vector of what was decided.

    Args:
        state: The host as folded now.
        proposals: What the policies that may act ask for.
        knobs: Per UUID, what the warden said last of the power limits.
        now_ns: Monotonic time.
    """
    devices = [each.device for each in state.devices]
    decisions = {(each.uuid, each.knob): each for each in arbitrate(devices, proposals, now_ns)}
    clocks_mhz = _clocks_mhz(state, decisions)
    if state.budget is None:
        limits_mw = {uuid: _mw(made.value) for (uuid, knob), made in decisions.items() if knob is KnobName.POWER_LIMIT}
        return Plan(decisions, Vector(limits_mw, clocks_mhz) if limits_mw or clocks_mhz else None)
    capped = [each for each in state.devices if each.device.power_limit.writable]
    if not any((each.device.uuid, KnobName.POWER_LIMIT) in decisions for each in capped):
        # A budget that nothing can be shared of, or may be, is no plan of ours: the warden holds the safe caps.
        problem = "nothing of the budget is shared: the safe caps stand" if capped else None
        return Plan(decisions, _under_safe_caps(state, capped, clocks_mhz), problem)
    limits_mw = {
        each.device.uuid: _mw(decisions[each.device.uuid, KnobName.POWER_LIMIT].value)
        if (each.device.uuid, KnobName.POWER_LIMIT) in decisions
        else _undecided_mw(each, state, knobs.get(each.device.uuid))
        for each in capped
    }
    if _draw_mw(state, limits_mw) > round(state.budget.envelope_w * 1000):
        return Plan(decisions, None, "what was decided does not fit into the envelope: the safe caps stand")
    return Plan(decisions, Vector(limits_mw, clocks_mhz))


def _clocks_mhz(state: HostState, decisions: Decisions) -> dict[str, int]:
    """Ceilings as clocks that the devices have; one at the top is none."""
    ceilings = {}
    for each in state.devices:
        decision = decisions.get((each.device.uuid, KnobName.GPU_CLOCK))
        if decision is not None and decision.value < each.device.clocks_mhz[-1]:
            ceilings[each.device.uuid] = max(clock for clock in each.device.clocks_mhz if clock <= decision.value)
    return ceilings


def _under_safe_caps(state: HostState, capped: Sequence[DeviceState], clocks_mhz: Mapping[str, int]) -> Vector | None:
    """A lease of clocks under a budget names the limits too: the safe caps, which would hold without it."""
    assert state.budget is not None
    if not clocks_mhz:
        return None
    caps_w = state.budget.safe_caps_w
    return Vector(
        {each.device.uuid: _mw(caps_w.get(each.device.uuid, each.device.min_limit_w)) for each in capped}, clocks_mhz
    )


def _undecided_mw(each: DeviceState, state: HostState, knob: KnobStatus | None) -> int:
    """The baseline; before our first write there is none yet, and what is set now will become it."""
    device = each.device
    known = [knob.baseline_mw, knob.requested_mw] if knob else []
    limit_mw = next((mw for mw in known if mw is not None), round(device.default_limit_w * 1000))
    if state.budget is not None:
        limit_mw = min(limit_mw, round(state.budget.safe_caps_w.get(device.uuid, device.min_limit_w) * 1000))
    return min(max(limit_mw, round(device.min_limit_w * 1000)), round(device.max_limit_w * 1000))


def _draw_mw(state: HostState, limits_mw: Mapping[str, int]) -> int:
    return sum(
        limits_mw.get(each.device.uuid, round(each.device.max_limit_w * 1000))  # not capped: counted at its most
        for each in state.devices
    )


def _mw(watts: float) -> int:
    return math.floor(round(watts * 1000, 3))
