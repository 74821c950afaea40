"""Run the power role, on a management host, or ask the one that runs there.

It puts hosts to sleep that have yielded and wakes them when there is work, as power.toml says; `--config` names another
file. With mode = "observe" it only says what it would do. A host that has not yielded is not put to sleep by `sleep`
either: its own consent is needed. What is asked with `wake` waits until the tables allow it.

Examples:
  eagent power run                              in the foreground; systemd runs it so
  eagent power status                           who sleeps, and how each host was heard of
  eagent power plan                             what would be done now, and why not more
  eagent power wake n12 --why "maintenance"
  eagent power sleep n12
  eagent power resume                           go on after failures have stopped it
"""

from __future__ import annotations

import argparse
import getpass
from datetime import datetime
from pathlib import Path
from typing import Any

from eagent.cli.arguments import add_json, print_json
from eagent.cli.dispatch import Context
from eagent.cli.logs import log_to_stderr
from eagent.cli.quantities import format_duration
from eagent.client import Client

Json = dict[str, Any]

SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent power`."""
    actions = parser.add_subparsers(dest="action", metavar="run|status|plan|wake|sleep|resume")
    actions.add_parser("run", help="be the power role until a signal")
    for name, what in (
        ("status", "who sleeps, and how each host was heard of"),
        ("plan", "what would be done now, and why not more"),
        ("wake", "want a host awake"),
        ("sleep", "put a host to sleep that has yielded"),
        ("resume", "put hosts to sleep again after failures have stopped that"),
    ):
        action = actions.add_parser(name, help=what)
        add_json(action)
        if name in ("wake", "sleep"):
            action.add_argument("host", metavar="HOST", help="as power.toml names it")
            action.add_argument("--why", metavar="TEXT", default="asked by an operator", help="for the record")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run the role, or ask it and print."""
    if args.action in (None, "run"):
        _run_role(context)
        return 0
    client = Client(context.paths.power_socket, who="power role", start=_START, own=_OWN)
    if args.action in ("status", "plan"):
        told = client.request("GET", f"/v1/{args.action}")
        lines = status_lines(told) if args.action == "status" else plan_lines(told)
    elif args.action == "resume":
        told = client.request("POST", "/v1/resume", {"who": _who(), "why": "resume"})
        lines = [f"Hosts are put to sleep again; {told['failures']} switchings in a row had failed."]
    else:
        target = f"/v1/hosts/{_segment(args.host)}/{args.action}"
        told = client.request("POST", target, {"who": _who(), "why": args.why})
        lines = [f"{told['host']}: {told['answer']}"]
    if args.json:
        print_json(told)
    else:
        print("\n".join(lines))
    return 0


_START = "start it with `eagent power run`"
_OWN = "ask who runs it"


def _run_role(context: Context) -> None:
    from eagent import access
    from eagent.api.gate import Gate
    from eagent.api.power import POWER_ROUTES
    from eagent.api.server import Server
    from eagent.audit import Audit
    from eagent.config import Groups
    from eagent.engines.power.config import DEFAULT_FILE, load
    from eagent.power.main import run as run_power
    from eagent.power.service import Service

    def api(service: Service, path: Path) -> Server:
        gate = Gate(access.POWER, access.of_api(Groups()), audit=audit)
        return Server(service, path, routes=POWER_ROUTES, gate=gate)

    log_to_stderr()
    audit = Audit(context.paths.power_audit)
    try:
        run_power(context.paths, load(context.config_file or DEFAULT_FILE), api)
    finally:
        audit.close()


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "an operator"


def _segment(host: str) -> str:
    """A host's name in a path, whatever was typed."""
    data = host.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if chr(byte) in SAFE else f"%{byte:02X}" for byte in data) or "%00"


def status_lines(told: Json) -> list[str]:
    """Who sleeps, for a person."""
    lines = [f"{told['name']}  {'switches hosts' if told['acts'] else 'observes only'}  power_key {told['power_key']}"]
    if told["halted"] is not None:
        lines.append(f"HALTED: {told['halted']}: nothing is switched; `eagent halt --end` on this host ends it")
    if told["stopped"]:
        lines.append(
            f"STOPPED: {told['failures']} switchings in a row have failed: no host is put to sleep until you have "
            "looked, and `eagent power resume`"
        )
    if told["unrecorded"]:
        lines.append(f"ALARM: {told['unrecorded']} entries could not be written into the record")
    for domain in told["domains"]:
        state = "complete" if domain["complete"] else f"waits for {', '.join(domain['waits_for']) or 'countersigning'}"
        certified = f"; certified off: {', '.join(domain['certified_off'])}" if domain["certified_off"] else ""
        lines.append(
            f"{domain['domain']}: table {domain['epoch']} {state}{certified}; {domain['awake']} hosts awake, "
            f"{domain['busy']} of {domain['devices']} devices busy"
        )
    return [*lines, *(_host_line(host) for host in told["hosts"])]


def _host_line(host: Json) -> str:
    heard = "not heard of"
    if host["age_s"] is not None:
        heard = f"says {host['says']}, {format_duration(host['age_s'])} ago, {_watts(host['told_w'])}"
    parts = [heard]
    if host["asleep"]:
        parts.insert(0, f"ASLEEP since {_time(host['put_to_sleep_s'])}")
    elif host["switching"] is not None:
        parts.insert(0, f"is being switched: {host['switching']}")
    elif host["put_to_sleep_s"] is not None:
        parts.insert(
            0, f"was put to sleep {_time(host['put_to_sleep_s'])}; its power is {host['state'] or 'not known'}"
        )
    elif host["awaited"]:
        parts.insert(0, "was woken, and is awaited")
    if host["wanted"] is not None:
        parts.append(f"wanted awake by {host['wanted']}")
    if host["protected"]:
        parts.append("protected")
    return f"{host['host']}: {'; '.join(parts)}"


def plan_lines(told: Json) -> list[str]:
    """What would be done, for a person."""
    if not told["hosts"]:
        return ["power.toml names no host that can be switched"]
    does = "" if told["acts"] else " (would, but only observes)"
    does = does if told["halted"] is None else " (would, but is halted)"
    lines = []
    if told["halted"] is not None:
        lines.append(f"HALTED: {told['halted']}: nothing is switched; `eagent halt --end` on this host ends it")
    for host in told["hosts"]:
        step = "stays as it is" if host["step"] == "none" else f"{host['step']}{does}"
        lines.append(f"{host['host']}: {step}: {host['because']}; {_watts(host['told_w'])}")
    unknown = f", and {told['sleep_not_told']} hosts have not told" if told["sleep_not_told"] else ""
    return [
        *lines,
        f"at stake: {told['sleep_told_w']:.0f} W by what hosts told last{unknown}; what they draw asleep is not known",
    ]


def _watts(told_w: float | None) -> str:
    return "its watts are not told" if told_w is None else f"told {told_w:.0f} W"


def _time(since_s: float) -> str:
    return datetime.fromtimestamp(since_s).astimezone().isoformat(timespec="seconds")
