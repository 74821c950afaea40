"""Look for what is missing or wrong on this host, and say what to do about each. Nothing is written.

It looks at the driver and its library, at what may be set and by whom, at limits that somebody else changes, at the
CPU's knobs, at a running eagent, at its part in the mesh and at what a dead one has left. Exit code 1 if there is a
problem; notes and warnings do not count.

Examples:
  eagent doctor
  sudo eagent doctor --watch 1m           longer, for who changes limits now and then
  eagent doctor --json | jq '.findings[] | select(.severity == "problem")'
"""

from __future__ import annotations

import argparse
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

from eagent import __version__
from eagent.cli.arguments import add_json, duration, print_json
from eagent.cli.dispatch import Context
from eagent.client import Client
from eagent.config import DEFAULT_FILE, Config
from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host, Roots, gather
from eagent.doctor.registry import Group, examine
from eagent.errors import ConfigError

Json = dict[str, Any]

AGENT_TIMEOUT_S = 5.0
WATCH_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent doctor`."""
    parser.add_argument(
        "--watch",
        dest="watch_s",
        type=duration,
        default=WATCH_S,
        metavar="TIME",
        help="how long to look for limits that somebody changes; default 1s",
    )
    add_json(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Look at all, and print it."""
    host = _look(context, args.watch_s)
    groups = examine(host)
    if args.json:
        print_json(document(socket.gethostname(), host, groups))
    else:
        print("\n".join(report(socket.gethostname(), host, groups)))
    return int(_count(groups)[Severity.PROBLEM] > 0)


def _look(context: Context, watch_s: float) -> Host:
    config, problem = Config(), ""
    try:
        config = context.config()
    except ConfigError as error:
        problem = str(error)
    client = Client(context.paths.api_socket, AGENT_TIMEOUT_S)
    return gather(
        context.paths,
        Roots(sysfs=context.paths.sysfs),
        config,
        lambda: client.request("GET", "/v1/status"),
        config_file=context.config_file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None),
        config_problem=problem,
        watch_s=watch_s,
    )


def report(name: str, host: Host, groups: Sequence[Group]) -> list[str]:
    """The lines for a person: one a finding, and one below it for what to do."""
    lines = [f"{name}  eagent {__version__}"]
    if host.driver.simulated:
        lines.append("SIMULATED: the GPUs below are a simulated host's.")
    for group in groups:
        if group.findings:
            lines += ["", group.name]
        for finding in group.findings:
            lines += _lines(finding)
    counts = _count(groups)
    told = [_counted(counts[severity], severity) for severity in (Severity.PROBLEM, Severity.WARNING, Severity.NOTE)]
    return [*lines, "", ", ".join(told)]


def _counted(count: int, severity: Severity) -> str:
    return f"{count} {severity}{'' if count == 1 else 's'}"


def _lines(finding: Finding) -> list[str]:
    severity = finding.severity.upper() if finding.severity is Severity.PROBLEM else finding.severity
    lines = [f"  {severity:<8} {finding.subject}: {finding.what}"]
    return [*lines, f"{'':11}to do: {finding.fix}"] if finding.fix else lines


def document(name: str, host: Host, groups: Sequence[Group]) -> Json:
    """The same for a program."""
    counts = _count(groups)
    return {
        "host": name,
        "version": __version__,
        "simulated": host.driver.simulated,
        "counts": {severity.value: counts[severity] for severity in Severity},
        "findings": [
            {
                "check": group.name,
                "subject": finding.subject,
                "severity": finding.severity.value,
                "what": finding.what,
                "fix": finding.fix,
            }
            for group in groups
            for finding in group.findings
        ],
    }


def _count(groups: Sequence[Group]) -> Counter[Severity]:
    return Counter(finding.severity for group in groups for finding in group.findings)
