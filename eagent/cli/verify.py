"""Read every knob through the driver's own interface, and compare it with what eagent says that it holds.

Independent of the warden: the live value comes from NVML, and for CPUs from the kernel's files, read here. LIVE is that
value, HELD what the warden is to keep it at; the last row is the sum of live limits and the fixed draw, against the
budget. A GPU's clock lock can't be read from any driver: the clock itself is compared with its ceiling. What differs
is looked at twice more, because limits move. Exit code 0 if all agree, 1 otherwise.

Examples:
  eagent verify
  eagent verify --json | jq '.rows[] | select(.verdict == "DIFFERS")'
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from eagent import __version__
from eagent.cli.arguments import add_json, print_json
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_watts
from eagent.client import Client
from eagent.doctor.checks.library import unusable
from eagent.doctor.driver import Driver, ask
from eagent.doctor.host import Roots, has_kernel_driver
from eagent.doctor.packages import look_at_packages
from eagent.doctor.verify import Row, compare
from eagent.errors import DriverError, EagentError

Json = dict[str, Any]

LOOKS = 3
LOOK_AGAIN_S = 1.2  # a raise, and the warden's look at a limit, may take a second
AGENT_TIMEOUT_S = 5.0
HEADINGS = ("DEVICE", "KNOB", "LIVE", "HELD", "VERDICT")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent verify`."""
    add_json(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Look, compare and print.

    Raises:
        DriverError: NVML can't be asked.
    """
    driver, rows, problem = _look(context)
    for _ in range(LOOKS - 1):
        if problem or all(row.verdict.is_good for row in rows):
            break
        time.sleep(LOOK_AGAIN_S)
        driver, rows, problem = _look(context)
    if args.json:
        print_json(document(driver, rows, problem))
    else:
        print("\n".join(report(driver, rows, problem)))
    return int(bool(problem) or not all(row.verdict.is_good for row in rows))


def _look(context: Context) -> tuple[Driver, tuple[Row, ...], str]:
    """One look: NVML, the comparison, and why the warden can't be asked, if so."""
    sysfs = context.paths.sysfs
    driver = ask(context.config().library, (), kernel_driver=has_kernel_driver(Roots(sysfs)))
    fault = unusable(driver)
    if fault is not None:
        raise DriverError(f"nothing can be read: {fault.subject}: {fault.what}; {fault.fix}")
    try:
        status = Client(context.paths.api_socket, AGENT_TIMEOUT_S).request("GET", "/v1/status")
    except EagentError as error:
        return driver, compare(driver, look_at_packages(sysfs), None), str(error)
    problem = "" if status["warden"]["connected"] else "the agent runs, but no warden answers it"
    return driver, compare(driver, look_at_packages(sysfs), status), problem


def report(driver: Driver, rows: Sequence[Row], problem: str) -> list[str]:
    """The table, and a last line that says how it went."""
    lines = [f"{socket.gethostname()}  eagent {__version__}"]
    if driver.simulated:
        lines.append("SIMULATED: no hardware is behind these numbers; every watt below is simulated.")
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    lines += ["", *(_line(row, widths) for row in cells), ""]
    bad = sum(not row.verdict.is_good for row in rows)
    if problem:
        return [*lines, f"The warden can't be asked what it holds: {problem}."]
    return [*lines, f"{bad} of {len(rows)} {'does' if bad == 1 else 'do'} not agree." if bad else "All agree."]


def _cells(row: Row) -> tuple[str, ...]:
    verdict = f"{row.verdict}: {row.why}" if row.why else row.verdict.value
    return row.subject, row.knob, _value(row.live, row.unit), _value(row.held, row.unit), verdict


def _value(value: float | str | None, unit: str) -> str:
    if isinstance(value, str):
        return value
    return format_watts(value) if unit == "W" or value is None else f"{value:g} {unit}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if column in (2, 3) else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def document(driver: Driver, rows: Sequence[Row], problem: str) -> Json:
    """The same for a program."""
    return {
        "host": socket.gethostname(),
        "version": __version__,
        "simulated": driver.simulated,
        "agrees": not problem and all(row.verdict.is_good for row in rows),
        "problem": problem,
        "rows": [asdict(row) for row in rows],
    }
