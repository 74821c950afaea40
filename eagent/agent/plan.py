"""From state to the whole vector of limits that a lease carries. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from eagent.agent.warden import KnobStatus
from eagent.model import Decision, DeviceState, HostState
from eagent.policy.arbiter import arbitrate
from eagent.policy.goals import Goals
from eagent.policy.registry import propose

Vector = Mapping[str, int]  # UUID → mW, every device that can be capped


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided, and what follows for the lease."""

    decisions: Mapping[str, Decision]  # per UUID
    vector_mw: Vector | None  # None: hold no lease, the warden's baselines or safe caps are right
    problem: str | None = None  # why there is no lease although something was decided


NOTHING = Plan({}, None)


def make_plan(state: HostState, goals: Goals, knobs: Mapping[str, KnobStatus], now_ns: int) -> Plan:
    """Decide, and fill the vector up: a device of which nobody asks anything keeps what it would have without us.

    Args:
        state: The host as folded now.
        goals: The operator's wishes.
        knobs: Per UUID, what the warden said last.
        now_ns: Monotonic time.
    """
    devices = [each.device for each in state.devices if each.device.power_limit.writable]
    decisions = {each.uuid: each for each in arbitrate(devices, propose(state, goals, now_ns), now_ns)}
    if not decisions:
        # A budget that nothing can be shared of is no plan of ours: the warden holds the safe caps.
        problem = "the envelope is less than the least limits together: the safe caps stand" if state.budget else None
        return Plan(decisions, None, problem if devices else None)
    vector_mw = {
        each.device.uuid: math.floor(round(decisions[each.device.uuid].value * 1000, 3))
        if each.device.uuid in decisions
        else _undecided_mw(each, state, knobs.get(each.device.uuid))
        for each in state.devices
        if each.device.power_limit.writable
    }
    if state.budget is not None and _draw_mw(state, vector_mw) > round(state.budget.envelope_w * 1000):
        return Plan(decisions, None, "what was decided does not fit into the envelope: the safe caps stand")
    return Plan(decisions, vector_mw)


def _undecided_mw(each: DeviceState, state: HostState, knob: KnobStatus | None) -> int:
    """The baseline; before our first write there is none yet, and what is set now will become it."""
    device = each.device
    known = [knob.baseline_mw, knob.requested_mw] if knob else []
    limit_mw = next((mw for mw in known if mw is not None), round(device.default_limit_w * 1000))
    if state.budget is not None:
        limit_mw = min(limit_mw, round(state.budget.safe_caps_w.get(device.uuid, device.min_limit_w) * 1000))
    return min(max(limit_mw, round(device.min_limit_w * 1000)), round(device.max_limit_w * 1000))


def _draw_mw(state: HostState, vector_mw: Vector) -> int:
    return sum(
        vector_mw.get(each.device.uuid, round(each.device.max_limit_w * 1000))  # not capped: counted at its most
        for each in state.devices
    )
