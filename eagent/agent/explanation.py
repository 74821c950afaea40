"""Why the knobs of one device stand where they stand, as JSON-ready dicts. Pure."""

from __future__ import annotations

from typing import Any

from eagent.agent import report
from eagent.agent.envelope import limit_mw
from eagent.agent.plan import Plan, ceiling_mhz
from eagent.agent.warden import Told
from eagent.model import Budget, Decision, Device, DeviceKind, DeviceState, KnobName, Proposal
from eagent.policy.arbiter import fate
from eagent.telemetry.locks import Inference
from eagent.wire import watts

Json = dict[str, Any]


def explanation(
    state: DeviceState,
    told: Told,
    plan: Plan,
    held: Budget | None,
    now_ns: int,
    inferred: Inference | None = None,
) -> Json:
    """Value, who asked, why, who lost, until when: for each knob of one device.

    Args:
        state: The device as folded now.
        told: What the warden said last of it.
        plan: What was decided last.
        held: The budget in force.
        now_ns: Monotonic time.
        inferred: What is inferred of a GPU's clock lock.
    """
    device = state.device
    knobs = [_power_limit(state, told, plan, held, now_ns), _clock(device, told, plan, now_ns, inferred)]
    if device.kind is DeviceKind.CPU:
        knobs.append(_preference(device, told, plan, now_ns))
    return {"device": device.label, "knobs": knobs}


def _power_limit(state: DeviceState, told: Told, plan: Plan, held: Budget | None, now_ns: int) -> Json:
    limit = report.power_limit(state, told.limit, held, now_ns)
    decision = plan.decisions.get((state.device.uuid, KnobName.POWER_LIMIT))
    return {
        "knob": str(KnobName.POWER_LIMIT),
        "unit": KnobName.POWER_LIMIT.unit,
        "value": limit["requested_w"],
        "ours": limit["ours_w"],
        "baseline": limit["baseline_w"],
        "foreign": limit["foreign"],
        **_decided(decision, now_ns),
        "note": _note(state.device, limit, decision),
    }


def _clock(device: Device, told: Told, plan: Plan, now_ns: int, inferred: Inference | None) -> Json:
    """A GPU's ceiling can't be read from the driver: the value is what it took from us.

    `ceiling` is what the decided clock comes to in the device's steps; None: no ceiling.
    """
    ceiling = report.clock(device, told.clock, now_ns, inferred)
    decision = plan.decisions.get((device.uuid, device.clock_knob))
    return {
        "knob": str(device.clock_knob),
        "unit": device.clock_knob.unit,
        "value": ceiling.get("held_mhz", ceiling["ours_mhz"]),
        "ours": ceiling["ours_mhz"],
        "baseline": ceiling["baseline_mhz"],
        "foreign": ceiling["foreign"],
        **({"inferred": ceiling["inferred"]} if "inferred" in ceiling else {}),
        **_decided(decision, now_ns),
        "ceiling": ceiling_mhz(device, decision.value) if decision else None,
        "note": ceiling["why"],
    }


def _preference(device: Device, told: Told, plan: Plan, now_ns: int) -> Json:
    """It follows the ceiling: who asked for that asked for this."""
    preference = report.preference(device, told.preference, now_ns)
    ceiling = plan.decisions.get((device.uuid, KnobName.CPU_CLOCK))
    decided = plan.vector.preferences.get(device.uuid) if plan.vector else None
    winner = None
    if decided is not None and ceiling is not None:
        reason = f"its clock ceiling is so low that eagerness buys nothing: {ceiling.winner.reason}"
        winner = {**proposal(ceiling.winner, now_ns), "low": None, "high": decided, "reason": reason}
    return {
        "knob": str(KnobName.CPU_PREFERENCE),
        "unit": KnobName.CPU_PREFERENCE.unit,
        "value": preference["held"],
        "ours": preference["ours"],
        "baseline": preference["baseline"],
        "foreign": preference["foreign"],
        "decided": decided,
        "winner": winner,
        "losers": [],
        "note": preference["why"],
    }


def brief(explained: Json) -> list[Json]:
    """Of an explanation what those may know whose job runs there: what stands and who set it, not what others want."""
    return [
        {
            **{key: knob[key] for key in ("knob", "unit", "value", "ours", "baseline", "decided")},
            "ceiling": knob.get("ceiling"),
            "winner": knob["winner"] and {key: knob["winner"][key] for key in ("policy", "reason")},
        }
        for knob in explained["knobs"]
    ]


def proposal(made: Proposal, now_ns: int) -> Json:
    """A proposal; `until_s` is from now."""
    return {
        "policy": made.policy,
        "priority": made.priority.name.lower(),
        "low": made.low,
        "high": made.high,
        "reason": made.reason,
        "until_s": None if made.until_ns is None else max(0.0, (made.until_ns - now_ns) / 1e9),
    }


def _decided(decision: Decision | None, now_ns: int) -> Json:
    return {
        "decided": decision.value if decision else None,
        "winner": proposal(decision.winner, now_ns) if decision else None,
        "losers": [_loser(decision, each, now_ns) for each in decision.losers] if decision else [],
    }


def _loser(decision: Decision, made: Proposal, now_ns: int) -> Json:
    return {**proposal(made, now_ns), "fate": fate(decision, made)}


def _note(device: Device, limit: Json, decision: Decision | None) -> str:
    """What a person would wonder about."""
    if not device.power_limit.writable:
        return f"the power limit can't be set here: {limit['why'] or 'the driver did not say why'}"
    if limit["state"] == "unknown":
        return "the warden does not answer: what is in force is what was last leased, then the safe cap or the baseline"
    if limit["exposure"] and limit["exposure"]["now"]:
        return "it is above what eagent holds, or can't be read: eagent sets it again as soon as the driver answers"
    requested_w, enforced_w = limit["requested_w"], limit["enforced_w"]
    if limit["foreign"] and limit["foreign"]["stands"]:
        return str(limit["why"])
    if requested_w is not None and enforced_w is not None and enforced_w < requested_w:
        return f"the driver enforces {enforced_w:g} W, less than the {requested_w:g} W asked for: another limit binds"
    if decision and requested_w is not None:
        wanted_w = watts(limit_mw(device, decision.value))
        if wanted_w != requested_w:
            return f"on its way from {requested_w:g} W to {wanted_w:g} W: raises are paced, and small changes wait"
    return str(limit["why"] or "")
