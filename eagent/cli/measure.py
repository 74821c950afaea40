"""Run a command and tell what it drew: joules of the GPUs that it, or what it started, held, with their error.

The command gets the terminal and all signals, and its exit code is ours. The table goes to stderr when it has ended.
Joules are a board's: if others used it meanwhile, the table says so. +- holds in 95 of 100 measurements; the constant
error of the board's own sensor (BOARD) comes on top. Anybody may measure; docs/measure.md tells the rest.

Examples:
  eagent measure -- python train.py
  srun eagent measure --name step-7 --json joules.json -- ./simulate --steps 7
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import eagent
from eagent.cli.dispatch import Context
from eagent.cli.running import CommandError, run_child
from eagent.cli.table import table
from eagent.errors import InputError
from eagent.joules import DeviceJoules, Joules

HEADINGS = ("DEVICE", "ENERGY", "+-", "BOARD +-", "MEAN", "SOURCE", "SHARED WITH", "DOUBTS")
RIGHT = range(1, 5)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent measure`."""
    parser.add_argument("--name", metavar="NAME", help="what the window is called; else the command's name")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result there, too, as JSON")
    parser.add_argument(
        "--device", metavar="DEVICE", action="append", default=[], help="only this one (gpu0, a UUID, a PCI address)"
    )
    parser.add_argument("command", metavar="-- COMMAND", nargs=argparse.REMAINDER, help="what to run, with arguments")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run the command, then ask and print.

    Raises:
        InputError: there is no command.
    """
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise InputError("nothing to run: eagent measure -- COMMAND [ARGUMENTS]")
    if args.run_dir is not None:
        os.environ["EAGENT_RUN_DIR"] = str(context.paths.run)  # for our windows, and for those in the command
    window = eagent.measure(args.name or Path(command[0]).name, args.device)
    try:
        with window:
            code = run_child(command)
    except CommandError as problem:
        print(f"eagent: {problem}", file=sys.stderr)
        return problem.code
    joules = window.energy()
    print("\n".join(report(window.name, window.seconds or 0.0, joules)), file=sys.stderr)
    if args.json is not None:
        _write(args.json, document(window, command, code))
    return code


def report(name: str, seconds: float, joules: Joules) -> list[str]:
    """The lines that tell a person what a window drew."""
    took = f"eagent: {name}: {seconds:.3f} s"
    lines = [f"{took}, {_sum(joules, seconds)}"]
    if joules.simulated and joules.devices:
        lines.append("SIMULATED: no hardware is behind these numbers; every joule and watt is simulated.")
    if joules.devices:
        lines += table(HEADINGS, RIGHT, [_row(device, seconds) for device in joules.devices])
    lines += [f"{device.device}: {device.why}" for device in joules.devices if device.why]
    if joules.others:
        lines.append("Shared: the joules are the board's, whoever used it; they are not divided.")
    return lines


def _sum(joules: Joules, seconds: float) -> str:
    energy_j = joules.energy_j
    if energy_j is None:
        return "no joules" if joules.devices else f"no joules: {joules.why}"
    kind = " simulated" if joules.simulated else ""
    mean = f", {energy_j / seconds:.1f} W on average" if seconds > 0 else ""
    boards = f"boards' own error: +- {joules.gain_j:.2f} J more"
    return f"{energy_j:.2f} J +- {joules.half_width_j:.2f} J{kind}{mean} ({boards})"


def _row(device: DeviceJoules, seconds: float) -> Sequence[str]:
    energy_j = device.energy_j
    shared = "nobody" if not device.others else f"{device.others} other process{'es' if device.others > 1 else ''}"
    doubts = ", ".join(device.flags) or "none"
    if energy_j is None:
        return (device.device, "—", "—", "—", "—", device.source, shared, doubts)
    mean = f"{energy_j / seconds:.1f} W" if seconds > 0 else "—"
    error, board = f"{device.half_width_j:.2f} J", f"{device.gain_j:.2f} J"
    return (device.device, f"{energy_j:.2f} J", error, board, mean, device.source, shared, doubts)


def document(window: eagent.Window, command: Sequence[str], code: int) -> dict[str, Any]:
    """The same for a program."""
    joules = window.energy()
    return {
        "name": window.name,
        "command": list(command),
        "exit_code": code,
        "simulated": joules.simulated,
        "begin_ns": window.begin_ns,
        "end_ns": window.end_ns,
        "seconds": window.seconds,
        "energy_j": joules.energy_j,
        "half_width_j": joules.half_width_j,
        "gain_j": joules.gain_j,
        "flags": list(joules.flags),
        "why": joules.why or None,
        "devices": [_as_json(device) for device in joules.devices],
    }


def _as_json(device: DeviceJoules) -> dict[str, Any]:
    known = device.energy_j is not None
    return {
        "device": device.device,
        "uuid": device.uuid,
        "energy_j": device.energy_j,
        "half_width_j": device.half_width_j if known else None,
        "gain_j": device.gain_j if known else None,
        "source": device.source,
        "flags": list(device.flags),
        "others": device.others,
        "why": device.why or None,
    }


def _write(path: Path, told: dict[str, Any]) -> None:
    """Write it; that it can't be is told, and the command's exit code stands."""
    try:
        path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as problem:
        print(f"eagent: {path}: {problem.strerror}: the result is not written", file=sys.stderr)
