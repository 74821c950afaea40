"""Show this host's part in the mesh, its peers and their budgets; make and sign what a mesh needs.

Peers share the budget of a rack or a site: who needs little lends to who needs much, and the sum never exceeds it. A
domain's budget is changed by a new table, which the site signs (`draft` writes one); copy it with its signature into
the directory of tables of any host, and gossip tells all others. docs/mesh.md shows how a mesh is set up.

Examples:
  eagent mesh                                      as status
  eagent mesh status --json
  eagent mesh peers                                every host that was heard of
  eagent mesh budget                               each domain's budget, and who holds up a change
  eagent mesh draft rack7 --budget 40kW --reserve 900W --others 1.2kW > rack7.toml   the next table, to be signed
  eagent mesh site-key /root/eagent-site.key       make the site's key (once; keep it off the hosts)
  eagent mesh host-key /etc/eagent/mesh/host.key   make this host's key; prints its public half for the roster
  eagent mesh sign roster.toml --key /root/eagent-site.key
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from eagent.cli.arguments import add_json, print_json, site_watts, site_watts_or_none, watts
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts
from eagent.cli.table import table

Json = dict[str, Any]

PEER_HEADINGS = ("HOST", "HEARD", "POWER", "BUSY", "DRAWS", "LIMITS", "DOMAIN", "EPOCH", "STAGE", "RIGHTS", "DUTY")
PEER_RIGHT = (1, 3, 4, 5, 7, 9, 10)
NAMED_MAX = 8  # hosts in one line; `--json` has all


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent mesh`."""
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="status|peers|budget|draft|site-key|host-key|sign")
    for name, text in (
        ("status", "what this host may draw, and why"),
        ("peers", "every host that was heard of"),
        ("budget", "how each domain's budget is held, and who holds up a change of it"),
    ):
        add_json(actions.add_parser(name, help=text), default=argparse.SUPPRESS)
    _configure_draft(actions.add_parser("draft", help="print the next table of a domain, for the site to sign"))
    for name, text in (
        ("site-key", "make the key that signs rosters and tables; prints its public half"),
        ("host-key", "make a host's key; prints its public half"),
    ):
        actions.add_parser(name, help=text).add_argument("file", type=Path, help="where to put the secret half")
    sign = actions.add_parser("sign", help="sign a roster or a table; writes FILE.sig")
    sign.add_argument("file", type=Path, metavar="FILE")
    sign.add_argument("--key", type=Path, required=True, help="the site's key, or the power role's")


def _configure_draft(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", help="whose table; this host must be in it")
    parser.add_argument("--budget", metavar="W", type=site_watts, required=True, help="of the domain, at the wall")
    parser.add_argument(
        "--reserve", metavar="W", type=watts, required=True, help="of each host; one that needs more says so, and waits"
    )
    parser.add_argument(
        "--others", metavar="W", type=site_watts_or_none, default=0.0, help="what draws without eagent, at nameplate"
    )
    parser.add_argument(
        "--duty", metavar="N", type=_count, help="tokens, one a host from the first on; else as they are"
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of duty tokens")
    return int(text)


def run(args: argparse.Namespace, context: Context) -> int:
    """Show, make or sign."""
    if args.action in MAKERS:
        print(MAKERS[args.action](args))
        return 0
    told = context.client().request("GET", "/v1/mesh")
    if args.action == "draft":
        print(_draft(told, args))
    elif args.json:
        print_json(told)
    else:
        print("\n".join([*(["SIMULATED"] if told["simulated"] else []), *SHOWN[args.action or "status"](told)]))
    return 0


def status_lines(told: Json) -> list[str]:
    """This host's part."""
    if not told["joined"]:
        return [f"{told['name']} has not joined the mesh", *_alarms(told)]
    sleep = told["sleep"]
    does = "may act" if sleep["acts"] else "only observes"
    hindered = f"; before it can be switched off: {sleep['hindered']}" if sleep["wanted"] and sleep["hindered"] else ""
    return [
        f"{told['name']} may draw {format_watts(told['permission_w'])} at the wall "
        f"(reserve {format_watts(told['reserve_w'])}, nameplate {format_watts(told['nameplate_w'])}) "
        f"and needs {format_watts(told['need_w'])}",
        *(line for each in told["domains"] for line in _own_lines(each)),
        f"sleep {does}: {'would sleep' if sleep['wanted'] else 'stays awake'}, because {sleep['reason']}{hindered}",
        *_alarms(told),
    ]


def _own_lines(each: Json) -> list[str]:
    head = f"{each['domain']}: epoch {each['epoch']}, {each['stage']}"
    if each["stage"] == "out":
        return [
            f"{each['domain']}: no table of it is known here, so the host keeps to its reserve (life {each['life']})"
        ]
    if each["rights_w"] is None:
        return [f"{head}: its reserve is being brought into force"]
    trade = [f"{word} {format_watts(each[key])}" for key, word in (("offers_w", "offers"), ("wants_w", "asks for"))]
    parts = [f"holds {format_watts(each['rights_w'])}", *(part for part in trade if not part.endswith(" 0 W"))]
    if each["duty"]:
        parts.append(f"{each['duty']} duty token{'s' if each['duty'] > 1 else ''}: stays awake")
    waits = [f"  waits for {_named(each['unsealed'])} to seal it"] if each.get("unsealed") else []
    return [f"{head}: {', '.join(parts)} (life {each['life']})", *waits]


def peer_lines(told: Json) -> list[str]:
    """A line for each host and domain."""
    rows = [row for peer in told["peers"] for row in _peer_rows(peer)]
    return table(PEER_HEADINGS, PEER_RIGHT, rows) if rows else ["nobody was heard of"]


def _peer_rows(peer: Json) -> list[tuple[str, ...]]:
    about = (
        peer["host"],
        f"{format_duration(peer['age_s'])}{' (stale)' if peer['stale'] else ''}",
        peer["power"],
        f"{peer['busy']} of {peer['devices']}",
        format_watts(peer["power_w"]),
        format_watts(peer["limits_w"]),
    )
    nowhere: tuple[str, ...] = ("—", "—", "—", "—", "—")
    return [
        (*about, each["domain"], str(each["epoch"]), each["stage"], format_watts(each["rights_w"]), str(each["duty"]))
        for each in peer["domains"]
    ] or [(*about, *nowhere)]


def budget_lines(told: Json) -> list[str]:
    """Each domain's budget and how far a change of it has got."""
    lines = []
    for each in told["domains"]:
        if each["budget_w"] is None:
            lines.append(f"{each['domain']}: no table is in force here; this host keeps to its reserve")
            lines += _refused(each)
            continue
        lines += [
            f"{each['domain']}: budget {format_watts(each['budget_w'])} in epoch {each['epoch']}: "
            f"by what was heard hosts may draw {format_watts(each['promised_w'])}, "
            f"others {format_watts(each['others_w'])}",
            f"  {each['heard']} of {each['members']} members heard of lately; "
            "the others count as they told last, or with their grants",
        ]
        if each["silent"]:
            lines.append(f"  silent: {_named(each['silent'])}")
        if each["unsealed"]:
            lines.append(f"  epoch {each['epoch']} waits for {_named(each['unsealed'])}: until then nobody raises")
        lines += _refused(each)
    return [*lines, *_alarms(told)] or ["this host is in no domain"]


def _refused(each: Json) -> list[str]:
    return [f"  refused: {each['refused']}"] if each["refused"] else []


def _alarms(told: Json) -> list[str]:
    return [f"ALARM: {line}" for line in told["alarms"]]


def _named(hosts: list[str]) -> str:
    more = f" and {len(hosts) - NAMED_MAX} more" if len(hosts) > NAMED_MAX else ""
    return f"{', '.join(hosts[:NAMED_MAX])}{more}"


def _draft(told: Json, args: argparse.Namespace) -> str:
    from eagent.cli.draft import Wish, draft

    budget_mw, reserve_mw, others_mw = (round(each_w * 1000) for each_w in (args.budget, args.reserve, args.others))
    return draft(told, Wish(args.domain, budget_mw, reserve_mw, others_mw, args.duty))


def _make_site_key(args: argparse.Namespace) -> str:
    from eagent.mesh import signer

    return signer.make(args.file).public_key.hex()


def _make_host_key(args: argparse.Namespace) -> str:
    from eagent.mesh import keys

    pair = keys.make()
    keys.store(pair, args.file)
    return pair.public


def _sign(args: argparse.Namespace) -> str:
    from eagent.mesh import membership

    return str(membership.sign(args.file, args.key))


MAKERS = {"site-key": _make_site_key, "host-key": _make_host_key, "sign": _sign}
SHOWN = {"status": status_lines, "peers": peer_lines, "budget": budget_lines}
