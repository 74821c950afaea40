"""Show what this host's GPUs and CPUs draw, under which limits, and who set them.

Columns: POWER as last read, AGE of that reading, MEAN over the last second; of the power limit what was
REQUESTED of the driver, what it ENFORCES, and what is OURS (set by eagent, if anything is); STATE, and why.
Of a CPU package its power LIMIT, the CEILING of its frequency and its energy PREFERENCE as they are now, which
of them are OURS, and why one can't be.
A dash is a reading that is missing, with the reason behind it. It is never shown as a zero.

Examples:
  eagent status
  watch -n1 eagent status
  eagent status --json | jq '.devices[].readings.power'
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence, Set
from typing import Any

from eagent.cli.arguments import add_json, print_json
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts
from eagent.cli.table import table

Json = dict[str, Any]

HEADINGS = ("DEVICE", "POWER", "AGE", "MEAN", "BUSY", "TEMP", "REQUESTED", "ENFORCED", "OURS", "STATE", "WHY")
RIGHT = range(1, 9)  # the columns of numbers
PACKAGE_HEADINGS = ("CPU", "POWER", "AGE", "MEAN", "LIMIT", "CEILING", "PREFERENCE", "OURS", "WHY")
PACKAGE_RIGHT = range(1, 6)
# A package's knobs, and what they are called here.
PACKAGE_KNOBS = {"power_limit": "limit", "cpu_clock": "ceiling", "cpu_preference": "preference"}
NOT_OURS = ("baseline", "unwritable", "unknown")  # states


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent status`."""
    add_json(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask the agent and print."""
    status = context.client().request("GET", "/v1/status")
    if args.json:
        print_json(status)
    else:
        print("\n".join(report(status)))
    return 0


def report(status: Json) -> list[str]:
    """The lines that tell a person what `status` says."""
    lines = [f"{status['host']}  eagent {status['version']}  {status['time']}"]
    if status["simulated"]:
        lines.append("SIMULATED: no hardware is behind these numbers; every watt below is simulated.")
    lines += [warden_line(status["warden"]), *cost_lines(status["cost"])]
    lines += [*budget_lines(status["budget"]), lease_line(status)]
    lines += exposure_lines(status)
    lines += mesh_lines(status["mesh"])
    lines += cpu_lines(status)
    lines += [f"ALARM: {alarm}" for alarm in status["alarms"]]
    gpus, packages = of_kind(status, "gpu"), of_kind(status, "cpu")
    if not gpus and not packages:
        return [*lines, "", "No device is visible."]
    if gpus:
        lines += ["", *table(_marked(HEADINGS, status), RIGHT, [_row(gpu) for gpu in gpus])]
    if packages:
        rows = [_package_row(package) for package in packages]
        lines += ["", *table(_marked(PACKAGE_HEADINGS, status), PACKAGE_RIGHT, rows)]
    return lines + job_lines(status.get("jobs", []))


def job_lines(jobs: Sequence[Json]) -> list[str]:
    """How far the jobs have come, a line each, and by what that is known."""
    return ["", *(f"job      {job_line(job)}" for job in jobs)] if jobs else []


def job_line(job: Json) -> str:
    """How far one job has come."""
    what = f"{job['job']} on {', '.join(job['devices'])}"
    if job["source"] == "none":
        return f"{what}: how far it is is not known: {job['why']}"
    rate = f", {job['rate_per_s']:.4g} a second" if job["rate_per_s"] is not None else ""
    why = f"; {job['why']}" if job["why"] else ""
    return (
        f"{what}: {job['units']:.1f} {job['unit']}s by {job['source']}{rate}, {format_duration(job['age_s'])} ago{why}"
    )


def of_kind(status: Json, kind: str) -> list[Json]:
    """The devices of one kind, "gpu" or "cpu"."""
    return [device for device in status["devices"] if device["kind"] == kind]


def cpu_lines(status: Json) -> list[str]:
    """How many CPUs are busy; nothing where no package is known."""
    cpus = sum(package["cpus"] for package in of_kind(status, "cpu"))
    if not cpus:
        return []
    busy = _reading(status["busy_cpus"], lambda value: f"{value:.1f}")
    clocks = [_value(package["readings"]["frequency"]) for package in of_kind(status, "cpu")]
    running = ", ".join(f"{mhz:.0f}" for mhz in clocks if mhz is not None)
    at = f", at {running} MHz" if running and None not in clocks else ""
    return [f"cpus     {busy} of {cpus} busy over the last second{at}"]


def warden_line(warden: Json) -> str:
    """How the privileged half is doing, and how fresh what it delivers is."""
    stale_s = warden["stale_s"]
    seen = "no reading yet" if stale_s is None else f"newest reading {format_duration(stale_s)} old"
    if not warden["connected"]:
        why = f" ({warden['why']})" if warden["why"] else ""
        return f"warden   NOT CONNECTED: nothing is governed by this agent{why}; {seen}"
    hung = [f"its {name} half HANGS for {format_duration(half['silent_s'])}" for name, half in hung_halves(warden)]
    parts = [f"connected, {seen}", *hung]
    counts = (("read_errors", "read errors"), ("write_errors", "write errors"))
    parts += [f"{warden[key]} {name}" for key, name in counts if warden[key]]
    return f"warden   {', '.join(parts)}"


def hung_halves(warden: Json) -> list[tuple[str, Json]]:
    """The halves of the warden's loop that hang, by name."""
    return [(name, half) for name, half in warden["halves"].items() if half["hangs"]]


def cost_lines(cost: Json) -> list[str]:
    """What eagent itself costs, over the last minute, and what it misses; nothing where nothing is known."""
    parts = []
    read, write = (_reading(cost[f"{name}_share"], lambda value: f"{value:.2%}") for name in ("read", "write"))
    if cost["read_share"]["status"] == "ok":
        parts.append(f"in NVML {read} of the time for reads, {write} for writes")
    unseen, shed = (_value(cost[f"{name}_share"]) for name in ("unseen", "shed"))
    if unseen is not None and shed is not None:
        passed = f", {shed:.1%} passed over" if shed else ""
        parts.append(f"{1 - unseen - shed:.1%} of the sensors' publications caught{passed}")
    late_s = _value(cost["lateness_p99"])
    if late_s is not None:
        parts.append(f"wake-ups at most {late_s * 1000:.3g} ms late (99 %)")
    for name, process in cost["processes"].items():
        if process is not None:
            share = _value(process["cpu_share"])
            used = "" if share is None else f"{share:.1%} of a CPU, "
            parts.append(f"{name} {used}{process['resident_b'] / 2**20:.0f} MiB")
    return [f"cost     {'; '.join(parts)}"] if parts else []


def budget_lines(budget: Json | None) -> list[str]:
    """The budget and how it is spent."""
    if budget is None:
        return ["budget   none"]
    of_cpus = {uuid for uuid in budget["safe_caps_w"] if uuid.startswith("CPU-")}
    falls = f"each device falls to its safe cap of {_caps(budget, budget['safe_caps_w'].keys() - of_cpus)}"
    if of_cpus:
        falls = f"{falls}, a CPU to {_caps(budget, of_cpus)}"
    limits = f"limits in force {format_watts(budget['limits_w'])}"
    if budget["limits_w"] is None:
        limits = f"limits NOT READ BACK, counted as read last with {format_watts(budget['reserved_w'])}"
    return [
        f"budget   {format_watts(budget['budget_w'])}: {limits} "
        f"+ fixed {format_watts(budget['fixed_w'])}, headroom {format_watts(budget['headroom_w'])}",
        f"         without a lease {falls}",
    ]


def _caps(budget: Json, uuids: Set[str]) -> str:
    """The least and the greatest of these safe caps."""
    caps = sorted({budget["safe_caps_w"][uuid] for uuid in uuids})
    return " to ".join(format_watts(cap) for cap in ([caps[0], caps[-1]] if len(caps) > 1 else caps)) or "—"


def mesh_lines(mesh: Json | None) -> list[str]:
    """What the mesh allows this host, if it is in one; `eagent mesh` tells more."""
    if mesh is None:
        return []
    domains = ", ".join(
        f"{each['domain']} epoch {each['epoch']} ({each['stage']})"
        if each["epoch"]
        else f"{each['domain']}: no table yet"
        for each in mesh["domains"]
    )
    if not mesh["joined"]:
        return ["mesh     not joined yet: nothing is asked of the warden before"]
    return [
        f"mesh     may draw {format_watts(mesh['permission_w'])} at the wall, needs {format_watts(mesh['need_w'])}; "
        f"{domains}"
    ]


def lease_line(status: Json) -> str:
    """Until when the agent's limits hold without it."""
    lease, held_back = status["lease"], status.get("held_back")
    if lease:
        return f"lease    runs {format_duration(lease['until_s'])} more, unless renewed"
    return f"lease    none: {held_back}" if held_back else "lease    none"


def exposure_lines(status: Json) -> list[str]:
    """How long limits in force were above what was held; nothing where none was since the warden began."""
    parts = []
    for device in status["devices"]:
        exposure = device["power_limit"].get("exposure")  # an older agent does not tell it
        if exposure and (exposure["now"] or exposure["seconds"]):
            now = " and it still is" if exposure["now"] else ""
            parts.append(f"{device['device']} {exposure['seconds']:.2f} s, {exposure['joules']:.0f} J{now}")
    return [f"exposure {'; '.join(parts)}: limits in force above what was held, at most"] if parts else []


def _row(device: Json) -> tuple[str, ...]:
    readings, limit = device["readings"], device["power_limit"]
    return (
        device["device"],
        *_power(readings),
        _reading(readings.get("gpu_utilisation"), lambda value: f"{value:.0%}"),
        _reading(readings.get("temperature"), lambda value: f"{value:.0f} °C"),
        *(format_watts(limit[key]) for key in ("requested_w", "enforced_w", "ours_w")),
        limit["state"] if limit["writable"] or limit["state"] == "detached" else f"{limit['state']} (read-only)",
        limit["why"],
    )


def _package_row(package: Json) -> tuple[str, ...]:
    ceiling_mhz = package["cpu_clock"]["held_mhz"]
    return (
        package["device"],
        *_power(package["readings"]),
        format_watts(package["power_limit"]["requested_w"]),
        "—" if ceiling_mhz is None else f"{ceiling_mhz} MHz",
        package["cpu_preference"]["held"] or "—",
        ours(package),
        "; ".join(f"{name}: {package[knob]['why']}" for knob, name in PACKAGE_KNOBS.items() if package[knob]["why"]),
    )


def ours(package: Json) -> str:
    """Which knobs of a package are eagent's doing now, by name; with the state, where it is not just leased."""
    states = {name: package[knob]["state"] for knob, name in PACKAGE_KNOBS.items()}
    if all(state == "unknown" for state in states.values()):
        return "unknown"
    held = (
        name if state == "leased" else f"{name} ({state})" for name, state in states.items() if state not in NOT_OURS
    )
    return ", ".join(held) or "none"


def _power(readings: Json) -> tuple[str, str, str]:
    """As last read, how old that is, and the mean."""
    power = readings.get("power")
    return (
        _reading(power, lambda value: f"{value:.1f} W"),
        format_duration(power["age_s"]) if power and power["status"] in ("ok", "stale") else "—",
        _reading(readings.get("power_mean"), lambda value: f"{value:.1f} W"),
    )


def _value(reading: Json) -> float | None:
    return reading["value"] if reading["status"] == "ok" else None


def _reading(reading: Json | None, shown: Callable[[float], str]) -> str:
    if reading is None:
        return "— missing"
    if reading["status"] != "ok" or reading["value"] is None:
        return f"— {reading['status'].replace('_', ' ')}"
    return shown(reading["value"])


def _marked(headings: Sequence[str], status: Json) -> list[str]:
    """The headings, with the watts called what they are."""
    return ["SIM. POWER" if status["simulated"] and name == "POWER" else name for name in headings]
