"""Ask for less power on a GPU that your own processes hold: a limit in watts, a highest clock in MHz, or both.

Or say how much longer your job may take where that saves energy: --slowdown 10%, for each GPU that it runs on. Then it
is governed within that bound, where the operator's own is tighter and the efficiency policy acts (docs/efficiency.md).
A server that answers requests is held to its latencies instead: --first-token-p99 3s --between-tokens-p99 300ms
(docs/serving.md).

A hint can only lower. It is weaker than the budget and an operator's pin, ends with your job, after --for (an hour by
default) or when you clear it, and needs no privilege. On a GPU with processes of several users it counts when all of
them ask, and goes no lower than each of them asks. Where the operator has not set `[policy] mode_hint = "act"` it is
only noted.

Examples:
  eagent hint set gpu0 --cap 250W
  eagent hint set gpu0 --clock 1200 --for 20m
  eagent hint set gpu0 --slowdown 10%
  eagent hint clear gpu0
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from eagent.cli.arguments import duration, megahertz, share, watts
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts
from eagent.client import Client, device_target
from eagent.errors import InputError
from eagent.wish import Wish

Json = dict[str, Any]
WISH = [each.name for each in fields(Wish)]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent hint`."""
    actions = parser.add_subparsers(dest="action", metavar="set|clear", required=True)
    ask = actions.add_parser("set", help="ask for less")
    ask.add_argument("device", metavar="DEVICE", help="gpu0, a UUID or the start of one, a PCI address")
    ask.add_argument("--cap", metavar="WATTS", dest="limit_w", type=watts, help="the most that its limit is to be")
    ask.add_argument(
        "--clock", metavar="MHZ", dest="clock_mhz", type=megahertz, help="the most that its clock is to be"
    )
    ask.add_argument(
        "--slowdown", metavar="SHARE", type=share, help="how much longer your job may take to save energy: 10%%, or 0.1"
    )
    for of, what in (("first-token", "to the first token"), ("between-tokens", "between two tokens")):
        ask.add_argument(
            f"--{of}-p99",
            metavar="TIME",
            dest=f"{of.replace('-', '_')}_p99_s",
            type=duration,
            help=f"what the p99 of your server's time {what} may be: 2.5s, 200ms",
        )
    ask.add_argument("--for", metavar="TIME", dest="for_s", type=duration, help="90s, 10m, 2h; else an hour")
    drop = actions.add_parser("clear", help="ask no more")
    drop.add_argument("device", metavar="DEVICE")


def _latency(told: Json, name: str, what: str) -> str:
    return f"its p99 {what} may be {told[name]:g} s" if told.get(name) is not None else ""


def run(args: argparse.Namespace, context: Context) -> int:
    """Set or clear."""
    client, target = Client(context.paths.measure_socket), device_target(args.device, "hint")
    if args.action == "clear":
        client.request("DELETE", target)
        print(f"Nothing is asked of {args.device} any more.")
        return 0
    wish = {name: value for name in WISH if (value := getattr(args, name)) is not None}
    if not wish:
        raise InputError("a hint needs --cap WATTS, --clock MHZ, --slowdown SHARE, --first-token-p99 TIME, or several")
    told = client.request("PUT", target, wish if args.for_s is None else {**wish, "for_s": args.for_s})
    clock = f"{told['clock_mhz']:g} MHz" if told["clock_mhz"] is not None else None
    cap = format_watts(told["limit_w"]) if told["limit_w"] is not None else None
    bounds = " and ".join(each for each in (cap, clock) if each)
    longer = f"your job may take {100 * told['slowdown']:.3g} % longer" if told["slowdown"] is not None else ""
    late = [
        _latency(told, "first_token_p99_s", "to the first token"),
        _latency(told, "between_tokens_p99_s", "between two tokens"),
    ]
    asked = ", and ".join(each for each in (f"at most {bounds}" if bounds else "", longer, *late) if each)
    print(f"{told['device']}: {asked} for {format_duration(told['for_s'])}, or until your job ends.")
    if told["waits_for"]:
        print(f"It counts when {told['waits_for']} more of its users ask, too.")
    if not told["acts"]:
        print('It is only noted: the operator of this host has not set [policy] mode_hint = "act".')
    return 0
