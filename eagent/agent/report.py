"""What the agent knows, as JSON-ready dicts: the schema of the API. Pure; every number with what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eagent import wire
from eagent.agent.plan import Decisions
from eagent.agent.warden import ClockStatus, KnobStatus
from eagent.model import Budget, Decision, Device, DeviceState, HostState, KnobName, Proposal, Reading
from eagent.policy.arbiter import fate
from eagent.telemetry.records import RingStats

Json = dict[str, Any]
Knobs = Mapping[str, KnobStatus]  # per UUID

# The API's name of each reading, its field in DeviceState, its unit.
READINGS = (
    ("power", "power_w", "W"),
    ("power_mean", "power_mean_w", "W"),
    ("power_recent", "power_recent_w", "W"),
    ("energy", "energy_j", "J"),
    ("sm_clock", "sm_clock_mhz", "MHz"),
    ("gpu_utilisation", "gpu_utilisation", "ratio"),
    ("memory_utilisation", "memory_utilisation", "ratio"),
    ("temperature", "temperature_c", "°C"),
    ("capped_share", "capped_share", "ratio"),
)


def warden(stats: RingStats | None, silent_ns: int | None, *, connected: bool) -> Json:
    """How the privileged half is doing; None where there is no ring to tell."""
    beating_ns = stats["heartbeat_ns"] - stats["started_ns"] if stats else 0
    return {
        "connected": connected,
        "stale_s": None if silent_ns is None else silent_ns / 1e9,
        "nvml_time_share": (stats["read_ns"] + stats["write_ns"]) / beating_ns if stats and beating_ns > 0 else None,
        "lateness_max_s": stats["lateness_max_ns"] / 1e9 if stats else None,
        "missed_periods": stats["missed"] if stats else None,
        "read_errors": stats["read_errors"] if stats else None,
        "write_errors": stats["write_errors"] if stats else None,
    }


def budget(held: Budget | None, state: HostState, knobs: Knobs) -> Json | None:
    """The budget and how it is spent. A limit that can't be set or read counts at the most that the device takes."""
    if held is None:
        return None
    limits_w = sum(_limit_in_force_w(each, knobs.get(each.device.uuid)) for each in state.devices)
    return {
        "budget_w": held.budget_w,
        "fixed_w": held.fixed_w,
        "envelope_w": held.envelope_w,
        "limits_w": limits_w,
        "headroom_w": held.envelope_w - limits_w,
        "safe_caps_w": dict(held.safe_caps_w),
    }


def device(state: DeviceState, knob: KnobStatus | None, clock: ClockStatus | None) -> Json:
    """One device: its readings, and its power limit."""
    described = state.device
    return {
        "device": described.label,
        "uuid": described.uuid,
        "name": described.name,
        "pci_bus_id": described.pci_bus_id,
        "readings": {name: reading(getattr(state, field), unit) for name, field, unit in READINGS},
        "power_limit": power_limit(state, knob),
        "gpu_clock": gpu_clock(state, clock),
    }


def gpu_clock(state: DeviceState, clock: ClockStatus | None) -> Json:
    """The clock ceiling. It can't be read from the driver: `ours_mhz` is what the driver took from us."""
    described = state.device
    return {
        "ours_mhz": clock.ours_mhz if clock else None,
        "baseline_mhz": clock.baseline_mhz if clock else None,
        "min_mhz": described.clocks_mhz[0] if described.clocks_mhz else None,
        "max_mhz": described.clocks_mhz[-1] if described.clocks_mhz else None,
        "state": clock.state if clock else "unknown",
        "writable": described.clock.writable,
        "why": (clock.error if clock else None) or described.clock.why,
    }


def reading(made: Reading, unit: str) -> Json:
    """A reading; its value is null unless its status is ok."""
    return {
        "value": made.value if made.ok else None,
        "unit": unit,
        "status": made.status.name.lower(),
        "sensor": made.sensor,
        "window_s": made.window_s,
        "age_s": made.age_s if made.sensor else None,
    }


def power_limit(state: DeviceState, knob: KnobStatus | None) -> Json:
    """The power limit: what the driver was asked for, what it enforces, what is ours, and what was before us.

    Requested and enforced are from the ring while it is fresh, because it is read more often, else from the warden.
    """
    described = state.device
    return {
        "requested_w": _first_w(state.limit_w, knob.requested_mw if knob else None),
        "enforced_w": _first_w(state.enforced_limit_w, knob.enforced_mw if knob else None),
        "ours_w": _watts(knob.ours_mw if knob else None),
        "baseline_w": baseline_w(knob),
        "min_w": described.min_limit_w,
        "max_w": described.max_limit_w,
        "state": knob.state if knob else "unknown",
        "writable": described.power_limit.writable,
        "why": (knob.error if knob else None) or described.power_limit.why,
    }


def explanation(
    state: DeviceState, knob: KnobStatus | None, clock: ClockStatus | None, decisions: Decisions, now_ns: int
) -> Json:
    """Why the knobs of one device stand where they stand."""
    limit, ceiling = power_limit(state, knob), gpu_clock(state, clock)
    decision = decisions.get((state.device.uuid, KnobName.POWER_LIMIT))
    return {
        "device": state.device.label,
        "knobs": [
            {
                "knob": "power_limit",
                "unit": "W",
                "value": limit["requested_w"],
                "ours": limit["ours_w"],
                "baseline": limit["baseline_w"],
                **_decided(decision, now_ns),
                "note": _note(state.device, limit, decision),
            },
            {
                "knob": "gpu_clock",
                "unit": "MHz",
                "value": ceiling["ours_mhz"],
                "ours": ceiling["ours_mhz"],
                "baseline": ceiling["baseline_mhz"],
                **_decided(decisions.get((state.device.uuid, KnobName.GPU_CLOCK)), now_ns),
                "note": ceiling["why"],
            },
        ],
    }


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


def baseline_w(knob: KnobStatus | None) -> float | None:
    """Where a knob goes back to; None where that is not known."""
    return _watts(knob.baseline_mw if knob else None)


def plan(proposals: Sequence[Proposal], states: Sequence[DeviceState], acts: Callable[[Proposal], bool]) -> list[Json]:
    """What every policy asks for now, whether it acts or only observes, beside what each device draws."""
    by_uuid = {state.device.uuid: state for state in states}
    return [
        {
            "device": by_uuid[made.uuid].device.label,
            "uuid": made.uuid,
            "knob": str(made.knob),
            "unit": made.knob.unit,
            "policy": made.policy,
            "acts": acts(made),
            "low": made.low,
            "high": made.high,
            "reason": made.reason,
            "draws_w": by_uuid[made.uuid].power_mean_w.value if by_uuid[made.uuid].power_mean_w.ok else None,
            "stake_w": made.stake_w,
        }
        for made in proposals
        if made.uuid in by_uuid
    ]


def _decided(decision: Decision | None, now_ns: int) -> Json:
    return {
        "decided": decision.value if decision else None,
        "winner": proposal(decision.winner, now_ns) if decision else None,
        "losers": [_loser(decision, each, now_ns) for each in decision.losers] if decision else [],
    }


def _loser(decision: Decision, made: Proposal, now_ns: int) -> Json:
    return {**proposal(made, now_ns), "fate": fate(decision, made)}


def _note(described: Device, limit: Json, decision: Decision | None) -> str:
    """What a person would wonder about."""
    if not described.power_limit.writable:
        return f"the power limit can't be set here: {described.power_limit.why or 'the driver did not say why'}"
    if limit["state"] == "unknown":
        return "the warden does not answer: what is in force is what was last leased, then the safe cap or the baseline"
    requested_w, enforced_w = limit["requested_w"], limit["enforced_w"]
    if requested_w is not None and enforced_w is not None and enforced_w < requested_w:
        return f"the driver enforces {enforced_w:g} W, less than the {requested_w:g} W asked for: another limit binds"
    if decision and requested_w is not None and decision.value != requested_w:
        return f"on its way from {requested_w:g} W to {decision.value:g} W: raises are paced, and small ones wait"
    return limit["why"] or ""


def _limit_in_force_w(state: DeviceState, knob: KnobStatus | None) -> float:
    described = state.device
    if not described.power_limit.writable:
        return described.max_limit_w
    limit_w = _first_w(state.limit_w, knob.requested_mw if knob else None)
    return described.max_limit_w if limit_w is None else limit_w


def _first_w(made: Reading, told_mw: int | None) -> float | None:
    return made.value if made.ok else _watts(told_mw)


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else wire.watts(milliwatts)
