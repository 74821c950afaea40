"""Show what this host's GPUs draw, under which limits, and who set them.

Columns: POWER as last read, AGE of that reading, MEAN over the last second; of the power limit what was
REQUESTED of the driver, what it ENFORCES, and what is OURS (set by eagent, if anything is); STATE, and why.
A dash is a reading that is missing, with the reason behind it. It is never shown as a zero.

Examples:
  eagent status
  watch -n1 eagent status
  eagent status --json | jq '.devices[].readings.power'
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from eagent.cli.arguments import add_json, print_json
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts

Json = dict[str, Any]

HEADINGS = ("DEVICE", "POWER", "AGE", "MEAN", "BUSY", "TEMP", "REQUESTED", "ENFORCED", "OURS", "STATE", "WHY")
RIGHT = range(1, 9)  # the columns of numbers


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
    lines += [warden_line(status["warden"]), *budget_lines(status["budget"]), lease_line(status["lease"])]
    lines += [f"ALARM: {alarm}" for alarm in status["alarms"]]
    if not status["devices"]:
        return [*lines, "", "No device is visible."]
    return [*lines, "", *_table([_row(device) for device in status["devices"]], simulated=status["simulated"])]


def warden_line(warden: Json) -> str:
    """How the privileged half is doing, and how fresh what it delivers is."""
    stale_s = warden["stale_s"]
    seen = "no reading yet" if stale_s is None else f"newest reading {format_duration(stale_s)} old"
    if not warden["connected"]:
        return f"warden   NOT CONNECTED: nothing is governed by this agent; {seen}"
    parts = [f"connected, {seen}"]
    if warden["nvml_time_share"] is not None:
        parts.append(f"{warden['nvml_time_share']:.1%} of its time in NVML")
    counts = (("missed_periods", "missed periods"), ("read_errors", "read errors"), ("write_errors", "write errors"))
    parts += [f"{warden[key]} {name}" for key, name in counts if warden[key]]
    return f"warden   {', '.join(parts)}"


def budget_lines(budget: Json | None) -> list[str]:
    """The budget and how it is spent."""
    if budget is None:
        return ["budget   none"]
    caps = sorted(set(budget["safe_caps_w"].values()))
    each = " to ".join(format_watts(cap) for cap in ([caps[0], caps[-1]] if len(caps) > 1 else caps))
    return [
        f"budget   {format_watts(budget['budget_w'])}: limits in force {format_watts(budget['limits_w'])} "
        f"+ fixed {format_watts(budget['fixed_w'])}, headroom {format_watts(budget['headroom_w'])}",
        f"         without a lease each device falls to its safe cap of {each or '—'}",
    ]


def lease_line(lease: Json | None) -> str:
    """Until when the agent's limits hold without it."""
    return f"lease    runs {format_duration(lease['until_s'])} more, unless renewed" if lease else "lease    none"


def _row(device: Json) -> tuple[str, ...]:
    readings, limit = device["readings"], device["power_limit"]
    power = readings.get("power")
    return (
        device["device"],
        _reading(power, lambda value: f"{value:.1f} W"),
        format_duration(power["age_s"]) if power and power["status"] in ("ok", "stale") else "—",
        _reading(readings.get("power_mean"), lambda value: f"{value:.1f} W"),
        _reading(readings.get("gpu_utilisation"), lambda value: f"{value:.0%}"),
        _reading(readings.get("temperature"), lambda value: f"{value:.0f} °C"),
        *(format_watts(limit[key]) for key in ("requested_w", "enforced_w", "ours_w")),
        limit["state"] if limit["writable"] else f"{limit['state']} (read-only)",
        limit["why"],
    )


def _reading(reading: Json | None, shown: Callable[[float], str]) -> str:
    if reading is None:
        return "— missing"
    if reading["status"] != "ok" or reading["value"] is None:
        return f"— {reading['status'].replace('_', ' ')}"
    return shown(reading["value"])


def _table(rows: list[tuple[str, ...]], *, simulated: bool) -> list[str]:
    headings = tuple("SIM. POWER" if simulated and name == "POWER" else name for name in HEADINGS)
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    return [
        "  ".join(
            cell.rjust(width) if column in RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (headings, *rows)
    ]
