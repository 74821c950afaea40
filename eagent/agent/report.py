"""What the agent knows, as JSON-ready dicts: the schema of the API. Pure; every number with what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eagent import wire
from eagent.agent import foreign
from eagent.agent.cost import Costs
from eagent.agent.footprint import Footprint
from eagent.agent.plan import ceiling_mhz, preference_below
from eagent.agent.pulse import Pulse
from eagent.agent.warden import UNTOLD, ClockStatus, KnobStatus, PreferenceStatus, Told
from eagent.model import Budget, Device, DeviceKind, DeviceState, HostState, KnobName, Proposal, Reading
from eagent.telemetry.locks import Inference
from eagent.telemetry.records import RingStats

Json = dict[str, Any]
ToldByUuid = Mapping[str, Told]

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
    ("memory_used", "memory_used_b", "B"),
    ("pcie_tx", "pcie_tx_b", "B"),
    ("pcie_rx", "pcie_rx_b", "B"),
    ("compute_processes", "compute_processes", "processes"),
)
# Those that a CPU package has.
PACKAGE_READINGS = (
    *(each for each in READINGS if each[0] in ("power", "power_mean", "power_recent", "energy")),
    ("frequency", "frequency_mhz", "MHz"),
)


def warden(stats: RingStats | None, pulse: Pulse, connected: bool, why: str | None, role: str | None = None) -> Json:
    """How the privileged half is doing; None where there is no ring to tell. `role`: what it takes us for."""
    beating_ns = stats["heartbeat_ns"] - stats["started_ns"] if stats else 0
    return {
        "connected": connected,
        "why": None if connected else why,
        "role": role,
        "stale_s": _seconds(pulse.reading.silent_ns),
        "halves": {each.name: {"silent_s": _seconds(each.silent_ns), "hangs": each.hangs} for each in pulse.halves},
        "nvml_time_share": (stats["read_ns"] + stats["write_ns"]) / beating_ns if stats and beating_ns > 0 else None,
        "lateness_max_s": stats["lateness_max_ns"] / 1e9 if stats else None,
        "missed_periods": stats["missed"] if stats else None,
        "read_errors": stats["read_errors"] if stats else None,
        "write_errors": stats["write_errors"] if stats else None,
    }


def cost(stats: RingStats | None, costs: Costs, processes: Mapping[str, Footprint | None], now_ns: int) -> Json:
    """What eagent itself costs, and what it misses: counters since the loop started, and shares of the last minute.

    Counters are None where there is no ring to tell. `lateness` counts wake-ups: the n-th those less than 2^n µs late
    that the ones before do not count, the last one all others.
    """
    beating_ns = stats["heartbeat_ns"] - stats["started_ns"] if stats else 0
    since_ns = stats["shed_since_ns"] if stats else 0

    def share_since_start(counter_ns: int) -> float | None:
        return counter_ns / beating_ns if beating_ns > 0 else None

    return {
        "read_share": reading(costs.read_share(now_ns), "ratio"),
        "write_share": reading(costs.write_share(now_ns), "ratio"),
        "read_share_since_start": share_since_start(stats["read_ns"]) if stats else None,
        "write_share_since_start": share_since_start(stats["write_ns"]) if stats else None,
        "read_s": stats["read_ns"] / 1e9 if stats else None,
        "write_s": stats["write_ns"] / 1e9 if stats else None,
        "reads": stats["reads"] if stats else None,
        "writes": stats["writes"] if stats else None,
        "refreshes_caught": stats["refreshes"] if stats else None,
        "refreshes_missed": stats["refreshes_missed"] if stats else None,
        "refreshes_shed": stats["refreshes_shed"] if stats else None,
        "unseen_share": reading(costs.unseen_share(now_ns), "ratio"),
        "shed_share": reading(costs.shed_share(now_ns), "ratio"),
        "shedding_s": max(0, now_ns - since_ns) / 1e9 if since_ns else None,
        "lateness": list(stats["lateness"]) if stats else None,
        "lateness_p99": reading(costs.lateness(now_ns), "s"),
        "loop_cpu_s": stats["cpu_ns"] / 1e9 if stats else None,
        "processes": {name: None if found is None else process(found) for name, found in processes.items()},
    }


def process(found: Footprint) -> Json:
    """One of eagent's processes: CPU time since it began, as a share of one CPU lately, and resident memory."""
    return {
        "pid": found.pid,
        "cpu_s": found.cpu_s,
        "cpu_share": reading(found.cpu_share, "ratio"),
        "resident_b": found.resident_b,
    }


def budget(held: Budget | None, state: HostState, told: ToldByUuid, *, are_read: bool = True) -> Json | None:
    """The budget and how it is spent. A limit that was never read counts at the most that the device takes.

    While nobody reads the limits back, `limits_w` is not known; `reserved_w` stands at what was read last, because
    nobody can change it either.
    """
    if held is None:
        return None
    reserved_w = sum(_limit_in_force_w(each, told.get(each.device.uuid, UNTOLD).limit, held) for each in state.devices)
    reserved_w += held.absent_w(each.device for each in state.devices) + state.reserved_w
    return {
        "budget_w": held.budget_w,
        "fixed_w": held.fixed_w,
        "envelope_w": held.envelope_w,
        "limits_w": reserved_w if are_read else None,
        "reserved_w": reserved_w,
        "headroom_w": held.envelope_w - reserved_w,
        "safe_caps_w": dict(held.safe_caps_w),
    }


def device(state: DeviceState, told: Told, held: Budget | None, now_ns: int, inferred: Inference | None = None) -> Json:
    """One device: the readings that its kind has, and its knobs; `inferred` is of a GPU's clock lock."""
    described = state.device
    readings = READINGS if described.kind is DeviceKind.GPU else PACKAGE_READINGS
    about = {
        "device": described.label,
        "kind": str(described.kind),
        "uuid": described.uuid,
        "name": described.name,
        "pci_bus_id": described.pci_bus_id,
        "readings": {name: reading(getattr(state, field), unit) for name, field, unit in readings},
        "power_limit": power_limit(state, told.limit, held, now_ns),
        str(described.clock_knob): clock(described, told.clock, now_ns, inferred),
    }
    if described.kind is DeviceKind.GPU:
        return about
    return {**about, "cpus": described.cpus, "cpu_preference": preference(described, told.preference, now_ns)}


def clock(described: Device, told: ClockStatus | None, now_ns: int, inferred: Inference | None = None) -> Json:
    """A clock ceiling. A GPU's can't be read from the driver: `ours_mhz` is what it took. A package's is read back."""
    read_back = {"held_mhz": told.held_mhz if told else None} if described.kind is DeviceKind.CPU else {}
    theirs = foreign.told(described.clock_knob, told, now_ns)
    return {
        **read_back,
        "ours_mhz": told.ours_mhz if told else None,
        "baseline_mhz": told.baseline_mhz if told else None,
        "min_mhz": described.clocks_mhz[0] if described.clocks_mhz else None,
        "max_mhz": described.clocks_mhz[-1] if described.clocks_mhz else None,
        "state": told.state if told else "unknown",
        "writable": described.clock.writable,
        "why": _joined(
            (told.error if told else None) or described.clock.why,
            foreign.words(described.clock_knob, theirs, told.ours_mhz if told else None),
            inferred.words() if inferred else "",
        ),
        "foreign": theirs,
        **({"inferred": foreign.inferred(inferred)} if described.kind is DeviceKind.GPU else {}),
    }


def preference(described: Device, told: PreferenceStatus | None, now_ns: int) -> Json:
    """A package's energy preference, by the kernel's names; `held` is "mixed" where its CPUs differ."""
    theirs = foreign.told(KnobName.CPU_PREFERENCE, told, now_ns)
    return {
        "held": told.held if told else None,
        "ours": told.ours if told else None,
        "baseline": told.baseline if told else None,
        "takes": list(described.preferences),
        "state": told.state if told else "unknown",
        "writable": described.preference.writable,
        "why": _joined(
            (told.error if told else None) or described.preference.why,
            foreign.words(KnobName.CPU_PREFERENCE, theirs, told.ours if told else None),
        ),
        "foreign": theirs,
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


def power_limit(state: DeviceState, knob: KnobStatus | None, held: Budget | None, now_ns: int) -> Json:
    """The power limit: what the driver was asked for, what it enforces, what is ours, and what was before us.

    Requested and enforced are from the ring while it is fresh, because it is read more often, else from the warden.
    `age_s` is that of the ring's; None where it has none that speaks for now.
    """
    described = state.device
    why = (knob.error if knob else None) or described.power_limit.why
    theirs, ours_w = foreign.told(KnobName.POWER_LIMIT, knob, now_ns), _watts(knob.ours_mw if knob else None)
    return {
        "requested_w": _first_w(state.limit_w, knob.requested_mw if knob else None),
        "enforced_w": _first_w(state.enforced_limit_w, knob.enforced_mw if knob else None),
        "age_s": state.limit_w.age_s if state.limit_w.ok else None,
        "ours_w": ours_w,
        "baseline_w": baseline_w(knob),
        "min_w": described.min_limit_w or None,
        "max_w": described.max_limit_w or None,
        "state": knob.state if knob else "unknown",
        "writable": described.power_limit.writable,
        "why": _joined(why, _counted(described, held), foreign.words(KnobName.POWER_LIMIT, theirs, ours_w)),
        "exposure": exposure(knob),
        "foreign": theirs,
    }


def exposure(knob: KnobStatus | None) -> Json | None:
    """How long the limit in force was above what the warden held since it began, and by how much, at most; and now."""
    return {"seconds": knob.exposed_s, "joules": knob.exposed_j, "now": knob.is_exposed} if knob else None


def baseline_w(knob: KnobStatus | None) -> float | None:
    """Where a knob goes back to; None where that is not known."""
    return _watts(knob.baseline_mw if knob else None)


def baselines(described: Device, told: Told) -> Json:
    """Where the knobs of one device go back to; None where that is not known. A GPU's clock goes back to no ceiling."""
    about = {"device": described.label, "uuid": described.uuid, "baseline_w": baseline_w(told.limit)}
    if described.kind is DeviceKind.GPU:
        return about
    return {
        **about,
        "baseline_mhz": told.clock.baseline_mhz if told.clock else None,
        "baseline_preference": told.preference.baseline if told.preference else None,
    }


def plan(proposals: Sequence[Proposal], states: Sequence[DeviceState], acts: Callable[[Proposal], bool]) -> list[Json]:
    """What every policy asks for now, whether it acts or only observes, beside what each device draws."""
    by_uuid = {state.device.uuid: state for state in states}
    return [
        {
            **_what_follows(by_uuid[made.uuid].device, made),
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


def _what_follows(described: Device, made: Proposal) -> Json:
    """The ceiling that a wish for a clock comes to, None: no ceiling; of a package also the preference with it."""
    if made.knob is not described.clock_knob or not described.clocks_mhz:
        return {}
    ceiling = ceiling_mhz(described, made.high)
    preference = {"preference": preference_below(described, ceiling)} if described.kind is DeviceKind.CPU else {}
    return {"ceiling_mhz": ceiling, **preference}


def _counted(described: Device, held: Budget | None) -> str:
    """Where a budget counts a package whose limit can't be set, in words."""
    if described.kind is DeviceKind.GPU or described.power_limit.writable:
        return ""
    if held is not None and described.uuid in held.safe_caps_w:
        return f"the budget counts it at {described.max_limit_w:g} W"
    return "its draw is a part of fixed_w"


def _limit_in_force_w(state: DeviceState, knob: KnobStatus | None, held: Budget) -> float:
    described = state.device
    if not described.power_limit.writable:
        return held.uncapped_w(described)
    limit_w = _first_w(state.limit_w, knob.requested_mw if knob else None)
    return described.max_limit_w if limit_w is None else limit_w


def _first_w(made: Reading, told_mw: int | None) -> float | None:
    return made.value if made.ok else _watts(told_mw)


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else wire.watts(milliwatts)
