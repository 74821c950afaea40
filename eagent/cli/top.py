"""Watch power and limits of this host, live. q or Ctrl-C ends it.

A bar is the power drawn, its mark ┃ the limit in force. A dash is a reading that is missing, with the reason. The
CLOCK of a CPU package is the ceiling of its frequency, shown where there is one.

Examples:
  eagent top
  eagent top --once                       one frame, for a log
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_watts
from eagent.cli.screen import Screen
from eagent.cli.status import budget_lines, cost_lines, cpu_lines, lease_line, of_kind, ours, warden_line
from eagent.client import Client
from eagent.errors import EagentError, InputError

Json = dict[str, Any]

PERIOD_S = 1.0
AGENT_TIMEOUT_S = 2.0
BAR_CELLS = 24
HEADINGS = ("DEVICE", "DRAWN, LIMIT", "POWER", "LIMIT", "BUSY", "TEMP", "CLOCK", "STATE")
RIGHT = range(2, 7)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent top`."""
    parser.add_argument("--once", action="store_true", help="print one frame and end")


def run(args: argparse.Namespace, context: Context) -> int:
    """Show frames until told to end.

    Raises:
        InputError: the output is no terminal.
    """
    client = Client(context.paths.api_socket, AGENT_TIMEOUT_S)
    if args.once:
        print("\n".join(frame(client.request("GET", "/v1/status"))))
        return 0
    if not sys.stdout.isatty():
        raise InputError("`eagent top` needs a terminal to show itself in; `eagent top --once` prints one frame")
    with Screen() as screen:
        watch(client, screen)
    return 0


def watch(client: Client, screen: Screen) -> None:
    """Ask once a second, draw also when the terminal changes its size, and return when a person wants to leave."""
    due = time.monotonic()
    lines: list[str] = []
    while True:
        if time.monotonic() >= due:
            lines = _ask(client)
            due = max(due + PERIOD_S, time.monotonic())
        screen.draw(lines)
        if screen.wait(due - time.monotonic()) == "leave":
            return


def _ask(client: Client) -> list[str]:
    try:
        return frame(client.request("GET", "/v1/status"))
    except EagentError as problem:  # it may come back; its last numbers would be a lie meanwhile
        return [f"eagent top: {problem}"]


def frame(status: Json) -> list[str]:
    """The lines of one frame, as wide as they get."""
    lines = [f"{status['host']}  eagent {status['version']}  {status['time']}"]
    if status["simulated"]:
        lines.append("SIMULATED: no hardware is behind these numbers; every watt below is simulated.")
    if status["halted"] is not None:
        lines.append(f"HALTED: no policy acts but the budget's: {status['halted']}")
    lines += [warden_line(status["warden"]), *cost_lines(status["cost"])]
    lines += [*budget_lines(status["budget"]), lease_line(status)]
    lines += cpu_lines(status)
    lines += [f"ALARM: {alarm}" for alarm in status["alarms"]]
    if not status["devices"]:
        return [*lines, "", "No device is visible."]
    gpus, packages = of_kind(status, "gpu"), of_kind(status, "cpu")
    sums = [_total("gpus", gpus), _total("cpus", packages)] if packages else [_total("all", gpus)]
    rows = [HEADINGS, *(_row(gpu) for gpu in gpus), *(_package_row(package) for package in packages), *sums]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return [*lines, "", *(_line(row, widths) for row in rows)]


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (
        cell.rjust(width) if column in RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _row(device: Json) -> tuple[str, ...]:
    readings, limit = device["readings"], device["power_limit"]
    return (
        device["device"],
        _bar(_value(readings, "power"), _in_force_w(limit), limit["max_w"] or 0.0),
        _shown(readings, "power", "{:.1f} W"),
        format_watts(_in_force_w(limit)),
        _shown(readings, "gpu_utilisation", "{:.0%}"),
        _shown(readings, "temperature", "{:.0f} °C"),
        _shown(readings, "sm_clock", "{:.0f} MHz"),
        f"{limit['state']}: {limit['why']}" if limit["why"] else limit["state"],
    )


def _package_row(package: Json) -> tuple[str, ...]:
    readings, limit, clock = package["readings"], package["power_limit"], package["cpu_clock"]
    is_low = clock["held_mhz"] is not None and clock["max_mhz"] is not None and clock["held_mhz"] < clock["max_mhz"]
    held = ours(package)
    notes = [f"ours: {held}"] if held != "none" else []
    notes += [f"limit {limit['state']}: {limit['why']}"] if limit["why"] else []
    return (
        package["device"],
        _bar(_value(readings, "power"), _in_force_w(limit), limit["max_w"] or 0.0),
        _shown(readings, "power", "{:.1f} W"),
        format_watts(_in_force_w(limit)),
        "",
        "",
        f"≤ {clock['held_mhz']} MHz" if is_low else "",
        "; ".join(notes) or limit["state"],
    )


def _total(name: str, devices: list[Json]) -> tuple[str, ...]:
    """Sums, where every part of them is known: a part would look like all."""
    power = [_value(device["readings"], "power") for device in devices]
    limits = [_in_force_w(device["power_limit"]) for device in devices]
    sums = [
        format_watts(sum(part for part in parts if part is not None)) if None not in parts else "—"
        for parts in (power, limits)
    ]
    return (name, "", *sums, "", "", "", "")


def _in_force_w(limit: Json) -> float | None:
    """The stricter of what was asked for and what the driver enforces."""
    known = [limit[key] for key in ("requested_w", "enforced_w") if limit[key] is not None]
    return min(known, default=None)


def _bar(power_w: float | None, limit_w: float | None, most_w: float) -> str:
    """Watts as a bar, with a mark where the limit stands."""
    if power_w is None or most_w <= 0:
        return "—"
    filled = min(BAR_CELLS, round(power_w / most_w * BAR_CELLS))
    cells = ["█" if cell < filled else "·" for cell in range(BAR_CELLS)]
    if limit_w is not None:
        cells[max(0, min(BAR_CELLS, round(limit_w / most_w * BAR_CELLS)) - 1)] = "┃"
    return "".join(cells)


def _value(readings: Json, name: str) -> float | None:
    reading = readings.get(name)
    return reading["value"] if reading and reading["status"] == "ok" else None


def _shown(readings: Json, name: str, form: str) -> str:
    value = _value(readings, name)
    if value is not None:
        return form.format(value)
    return f"— {readings[name]['status'].replace('_', ' ') if name in readings else 'missing'}"
