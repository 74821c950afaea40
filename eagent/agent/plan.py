"""From state to the whole vector that a lease carries. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eagent.agent.envelope import limit_mw
from eagent.agent.warden import UNTOLD, KnobStatus, Told
from eagent.model import Budget, Decision, Device, DeviceKind, DeviceState, HostState, KnobName, Proposal
from eagent.policy.arbiter import arbitrate

# A package that is held low has no use for the eagerness with which it climbs: near the top that is what it is for.
THRIFTY = "balance_power"
THRIFTY_SHARE = 0.6  # of the highest clock

Decisions = Mapping[tuple[str, KnobName], Decision]


@dataclass(frozen=True, slots=True)
class Vector:
    """What a lease asks for, per UUID."""

    limits_mw: Mapping[str, int]  # under a budget every device that can be capped, else those decided on
    clocks_mhz: Mapping[str, int] = field(default_factory=dict)  # the ceilings; who is not named has none of ours
    preferences: Mapping[str, str] = field(default_factory=dict)  # of packages; who is not named has its own


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided, and what follows for the lease."""

    decisions: Decisions
    vector: Vector | None  # None: hold no lease, the warden's baselines or safe caps are right
    problem: str | None = None  # why there is no lease although something was decided


NOTHING = Plan({}, None)


def make_plan(state: HostState, proposals: Sequence[Proposal], told: Mapping[str, Told], now_ns: int) -> Plan:
    """Decide, and make the vector of what was decided.

    Args:
        state: The host as folded now.
        proposals: What the policies that may act ask for.
        told: Per UUID, what the warden said last.
        now_ns: Monotonic time.
    """
    devices = [each.device for each in state.devices]
    decisions = {(each.uuid, each.knob): each for each in arbitrate(devices, proposals, now_ns)}
    clocks_mhz = _clocks_mhz(state.devices, decisions)
    preferences = {
        each.uuid: name for each in devices if (name := preference_below(each, clocks_mhz.get(each.uuid))) is not None
    }
    capped = [each for each in devices if each.power_limit.writable]
    limits_mw = {
        each.uuid: limit_mw(each, decisions[each.uuid, KnobName.POWER_LIMIT].value)
        for each in capped
        if (each.uuid, KnobName.POWER_LIMIT) in decisions
    }
    problem = None
    if state.budget is not None and limits_mw:
        undecided = [each for each in capped if each.uuid not in limits_mw]
        limits_mw |= {
            each.uuid: _undecided_mw(each, state.budget, told.get(each.uuid, UNTOLD).limit) for each in undecided
        }
        if _draw_mw(state, state.budget, limits_mw) > round(state.budget.envelope_w * 1000):
            return Plan(decisions, None, "what was decided does not fit into the envelope: the safe caps stand")
    elif state.budget is not None:
        # A budget that nothing can be shared of, or may be, is no plan of ours: the warden holds the safe caps. A lease
        # of clocks names them too, and they would hold without it.
        problem = "nothing of the budget is shared: the safe caps stand" if capped else None
        limits_mw = {each.uuid: limit_mw(each, state.budget.safe_cap_w(each)) for each in capped if clocks_mhz}
    return Plan(decisions, Vector(limits_mw, clocks_mhz, preferences) if limits_mw or clocks_mhz else None, problem)


def ceiling_mhz(device: Device, clock_mhz: float) -> int | None:
    """The greatest clock of the device that is not above `clock_mhz`; None where that is its highest: no ceiling."""
    if clock_mhz >= device.clocks_mhz[-1]:
        return None
    return max((clock for clock in device.clocks_mhz if clock <= clock_mhz), default=device.clocks_mhz[0])


def preference_below(device: Device, ceiling: int | None) -> str | None:
    """The preference that goes with a ceiling in MHz; None: the device's own."""
    if ceiling is None or device.kind is not DeviceKind.CPU or not device.preference.writable:
        return None
    thrifty = THRIFTY in device.preferences and ceiling <= THRIFTY_SHARE * device.clocks_mhz[-1]
    return THRIFTY if thrifty else None


def _clocks_mhz(states: Sequence[DeviceState], decisions: Decisions) -> dict[str, int]:
    """The ceilings that were decided on, where they are below what the owner had set."""
    ceilings = {}
    for each in states:
        decision = decisions.get((each.device.uuid, each.device.clock_knob))
        ceiling = ceiling_mhz(each.device, decision.value) if decision else None
        if ceiling is not None and (each.prior_ceiling_mhz is None or ceiling < each.prior_ceiling_mhz):
            ceilings[each.device.uuid] = ceiling
    return ceilings


def _undecided_mw(device: Device, budget: Budget, knob: KnobStatus | None) -> int:
    """The baseline, or the safe cap if that is less.

    Before our first write there is no baseline yet, and what is set now will become it.
    """
    known = [knob.baseline_mw, knob.requested_mw] if knob else []
    limit = next((mw for mw in known if mw is not None), round(device.default_limit_w * 1000))
    limit = min(limit, round(budget.safe_cap_w(device) * 1000))
    return limit_mw(device, min(max(limit / 1000, device.min_limit_w), device.max_limit_w))


def _draw_mw(state: HostState, budget: Budget, limits_mw: Mapping[str, int]) -> int:
    devices = [each.device for each in state.devices]
    here_mw = sum(limits_mw.get(each.uuid, round(budget.uncapped_w(each) * 1000)) for each in devices)
    return here_mw + round(budget.absent_w(devices) * 1000) + round(state.reserved_w * 1000)
