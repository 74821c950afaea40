"""Show who did what to this host's knobs, why, and what came of it; those who were refused, too.

It reads the logs of warden, agent and power role in eagent's state directory, and needs none of them to run. Who reads
must be root, or the user that runs them.

Examples:
  eagent audit
  eagent audit --since 2h
  eagent audit --since 48h --json
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from eagent.audit import read
from eagent.cli.arguments import duration
from eagent.cli.dispatch import Context
from eagent.errors import UnavailableError
from eagent.peer import printable

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent audit`."""
    parser.add_argument("--since", metavar="TIME", dest="since_s", type=duration, help="only of the last 10m, 2h, 48h")
    parser.add_argument("--json", action="store_true", help="print the lines as they are kept, for a program")


def run(args: argparse.Namespace, context: Context) -> int:
    """Read and print.

    Raises:
        UnavailableError: the logs may not be read.
    """
    lines: list[Json] = []
    for directory in (context.paths.warden_audit, context.paths.agent_audit, context.paths.power_audit):
        try:
            lines += read(directory)
        except OSError as problem:
            raise UnavailableError(f"{problem.filename}: {problem.strerror}: run as root") from None
    lines = since(sorted(lines, key=lambda line: str(line["at"])), args.since_s, datetime.now(UTC))
    for line in lines:
        print(json.dumps(line, ensure_ascii=False) if args.json else sentence(line))
    return 0


def since(lines: list[Json], since_s: float | None, now: datetime) -> list[Json]:
    """Those of the last seconds; all without."""
    if since_s is None:
        return lines
    begin = (now - timedelta(seconds=since_s)).isoformat(timespec="milliseconds")
    return [line for line in lines if str(line["at"]) >= begin]  # all are in UTC and of one form


def sentence(line: Json) -> str:
    """A line as a person would tell it."""
    who = line.get("who", {})
    name = f"{who.get('comm') or 'a process'} (uid {who.get('uid')}, pid {who.get('pid')}, {who.get('role')})"
    parts = [f"{line['at']}  {name}: {line.get('what')}"]
    before, after = line.get("before") or {}, line.get("after") or {}
    parts += [f"{key}: {_shown(before.get(key))} -> {_shown(after.get(key))}" for key in after]
    if line.get("why"):
        parts.append(f"why: {line['why']}")
    parts.append(str(line.get("outcome")))
    if line.get("unwritten"):
        parts.append(f"{line['unwritten']} more before it were not kept")
    return printable("; ".join(parts))


def _shown(value: object) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
