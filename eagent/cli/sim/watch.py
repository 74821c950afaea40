"""Watch a simulated host, live: the truth of the simulation beside what its sensors say. q or Ctrl-C ends it.

TRUE is what a GPU really draws, in the model, over the last 5 ms; READING is what its driver tells, and AGE how long
ago the sensor published that. TEMP is true as well. A limit that the driver does not enforce as requested is shown
with both. A dash is what no driver tells, because the host is off or the GPU answers nobody.

Examples:
  eagent sim watch lab
  eagent sim watch lab --once
  eagent sim watch lab --json --for 1m        a document a second, a line each
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from eagent.cli.arguments import duration
from eagent.cli.quantities import format_duration, format_watts
from eagent.cli.screen import Screen
from eagent.cli.table import table
from eagent.errors import InputError

if TYPE_CHECKING:
    from eagent.sim.scene import Scene

Json = dict[str, Any]

SUMMARY = "watch a host, live: the truth beside what its sensors say, its load, and who writes"
PERIOD_S = 1.0
WRITES_SHOWN = 8
HEADINGS = ("GPU", "TRUE", "READING", "AGE", "LIMIT", "CLOCK", "BUSY", "TEMP", "LOAD", "HELD BY")
RIGHT = range(1, 8)
STATES = {"on": "up for", "booting": "booting for", "off": "off for"}
UNITS = {"min_khz": "kHz", "max_khz": "kHz", "limit_uw": "µW", "window_us": "µs"}
POWERS = ("off", "booting", "on")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim watch`."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--once", action="store_true", help="print one frame and end")
    parser.add_argument("--json", action="store_true", help="documents instead of frames, a line each")
    parser.add_argument("--for", dest="for_s", type=duration, metavar="TIME", help="end after this time; else with q")


def run(args: argparse.Namespace) -> list[str]:
    """Show frames until told to end.

    Raises:
        InputError: frames need a terminal and the output is none.
    """
    from eagent.sim import host
    from eagent.sim.scene import Scene

    with Scene(host.find(host.root(os.environ), args.name)) as scene:
        if args.once:
            seen = scene.look()
            return [json.dumps(seen)] if args.json else frame(seen)
        until = time.monotonic() + (args.for_s or float("inf"))
        if args.json:
            _print_documents(scene, until)
        elif not sys.stdout.isatty():
            raise InputError("`eagent sim watch` needs a terminal to show itself in; --once prints one frame")
        else:
            with Screen() as screen:
                _draw_frames(scene, screen, until)
    return []


def _print_documents(scene: Scene, until: float) -> None:
    due = time.monotonic()
    while due < until:
        print(json.dumps(scene.look()), flush=True)
        due = max(due + PERIOD_S, time.monotonic())
        time.sleep(max(0.0, min(due, until) - time.monotonic()))


def _draw_frames(scene: Scene, screen: Screen, until: float) -> None:
    due = time.monotonic()
    lines: list[str] = []
    while (now := time.monotonic()) < until:
        if now >= due:
            lines = frame(scene.look())
            due = max(due + PERIOD_S, time.monotonic())
        screen.draw(lines)
        if screen.wait(min(due, until) - time.monotonic()) == "leave":
            return


def frame(seen: Json) -> list[str]:
    """The lines of one frame, as wide as they get."""
    state = f"{STATES[seen['power']]} {format_duration(seen['time_s'] - seen['since_s'])}"
    lines = [
        f"{seen['host']}  SIMULATED: no hardware is behind these numbers; every watt below is simulated.",
        f"host     {state}, {format_watts(seen['wall_w'])} at the wall; "
        f"{format_duration(seen['time_s'])} of simulated time, {seen['clock']} clock",
    ]
    if seen["packages"]:
        cpus = (f"cpu{each['package']} {format_watts(each['power_w'])}" for each in seen["packages"])
        lines.append(f"cpus     {', '.join(cpus)}, each with its memory")
    lines += [f"load     {_load_line(load, seen['time_s'])}" for load in seen["loads"] if load["running"]]
    lines += [f"FAULT    {_fault_line(fault, seen['time_s'])}" for fault in seen["faults"]]
    lines += [f"FULL     the log of {log}: what came later is not in it" for log in seen["full_logs"]]
    rows = [*(_row(gpu, seen) for gpu in seen["gpus"]), _sums(seen["gpus"])]
    return [*lines, "", *table(HEADINGS, RIGHT, rows), *_write_lines(seen)]


def _row(gpu: Json, seen: Json) -> tuple[str, ...]:
    requested_w, enforced_w = gpu["limit_requested_w"], gpu["limit_enforced_w"]
    limit = format_watts(requested_w)
    if enforced_w != requested_w:
        limit += f", enforced {format_watts(enforced_w)}"
    held = list(gpu["reasons"] or [])
    if gpu["locked_mhz"] is not None:
        held.append("lock to {}-{} MHz".format(*gpu["locked_mhz"]))
    return (
        f"gpu{gpu['gpu']}",
        _tenths(gpu["power_true_w"], "W"),
        _tenths(gpu["power_reading_w"], "W"),
        format_duration(gpu["reading_age_s"]),
        limit,
        _whole(gpu["clock_mhz"], "MHz"),
        "—" if gpu["busy"] is None else f"{gpu['busy']:.0%}",
        _tenths(gpu["temperature_true_c"], "°C"),
        "" if gpu["load"] is None else _progress(seen["loads"][gpu["load"]], gpu["gpu"], seen["time_s"]),
        ", ".join(held),
    )


def _sums(gpus: list[Json]) -> tuple[str, ...]:
    """Sums, where every part of them is known: a part would look like all."""
    columns = [[gpu[key] for gpu in gpus] for key in ("power_true_w", "power_reading_w", "limit_enforced_w")]
    true, reading, limit = (None if None in column else sum(column) for column in columns)
    return ("all", _tenths(true, "W"), _tenths(reading, "W"), "", format_watts(limit), *[""] * 5)


def _progress(load: Json, gpu: int, now_s: float) -> str:
    if load["start_s"] > now_s:
        return f"{load['kind']}, in {format_duration(load['start_s'] - now_s)}"
    if load["kind"] == "square":
        done_s = load["units"][load["gpus"].index(gpu)]
        return f"square, {format_duration(done_s)} done"
    return str(load["kind"])


def _load_line(load: Json, now_s: float) -> str:
    from eagent.sim.gpus import format_gpus

    name = f"{load['kind']} on {format_gpus(load['gpus'])}"
    if load["start_s"] > now_s:
        return f"{name}: begins in {format_duration(load['start_s'] - now_s)}"
    done = {
        "square": "",
        "gang": f": {load['steps']} steps, stood still for its processors {format_duration(load['starved_s'])}",
        "serving": f": {load['requests_done']} requests answered, {load['requests_lost']} lost, "
        f"{load['tokens']} tokens made",
    }[load["kind"]]
    return f"{name} for {format_duration(now_s - load['start_s'])}{done}"


def _fault_line(fault: Json, now_s: float) -> str:
    of = "the host" if fault["target"] == "host" else f"{fault['target']} {fault['index']}"
    words = [f"{fault['kind']} of {of}"]
    if fault["from_s"] > now_s:
        words.append(f"in {format_duration(fault['from_s'] - now_s)}")
    if fault["every_s"] is not None:
        words.append(f"every {format_duration(fault['every_s'])}")
    if fault["until_s"] is not None:
        words.append(f"ends in {format_duration(max(0.0, fault['until_s'] - now_s))}")
    return ", ".join(words)


def _write_lines(seen: Json) -> list[str]:
    from eagent.sim.scene import WRITES_S

    writes = seen["writes"]
    if not writes:
        return ["", f"no write in the last {format_duration(WRITES_S)}"]
    hidden = len(writes) - WRITES_SHOWN
    lines = ["", f"writes of the last {format_duration(WRITES_S)}" + (f", {hidden} more before" if hidden > 0 else "")]
    for write in writes[-WRITES_SHOWN:]:
        ago = format_duration(max(0.0, seen["time_s"] - write["time_s"]))
        lines.append(f"  {ago:>6} ago  {write['device']}: {_said(write)}, by {_writer(write)}")
    return lines


def _said(write: Json) -> str:
    what, old, new = write["what"], write["old"], write["new"]
    if what == "limit":
        return f"power limit {format_watts(old / 1000)} to {format_watts(new / 1000)}"
    if what == "lock":
        return "clocks locked to {}-{} MHz".format(*new) if new[1] else "clock lock taken off"
    if what == "memory_lock":
        return "memory clocks locked to {}-{} MHz".format(*new) if new[1] else "lock of memory clocks taken off"
    if what == "mig":
        return f"MIG {_divided(old)} to {_divided(new)}"
    if what == "power":
        return f"power {POWERS[old]} to {POWERS[new]}"
    unit = f" {UNITS[what]}" if what in UNITS else ""
    return f"{what} {old} to {new}{unit}"


def _divided(value: int) -> str:
    """As at PLANT_WRITE_MIG in native/plant/lab.h."""
    return f"{value >> 8} instances" if value & 1 else "off"


def _writer(write: Json) -> str:
    if not write["pid"]:
        return "nobody: " + ("" if write["what"] == "power" else "a reset, or ") + "the host was switched"
    return f"pid {write['pid']}" + (f" ({write['command']})" if write["command"] else ", which has ended")


def _tenths(value: float | None, unit: str) -> str:
    return "—" if value is None else f"{value:.1f} {unit}"


def _whole(value: int | None, unit: str) -> str:
    return "—" if value is None else f"{value} {unit}"
