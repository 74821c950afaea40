"""Ask for less power on a GPU that your own processes hold: a limit in watts, a highest clock in MHz, or both.

Or say how much longer your job may take where that saves energy: --slowdown 10%, for each GPU that it runs on. Then it
is governed within that bound, where the operator's own is tighter and the efficiency policy acts (docs/efficiency.md).

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

from eagent.cli.arguments import duration, megahertz, share, watts
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts
from eagent.client import Client, device_target
from eagent.errors import InputError


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
    ask.add_argument("--for", metavar="TIME", dest="for_s", type=duration, help="90s, 10m, 2h; else an hour")
    drop = actions.add_parser("clear", help="ask no more")
    drop.add_argument("device", metavar="DEVICE")


def run(args: argparse.Namespace, context: Context) -> int:
    """Set or clear."""
    client, target = Client(context.paths.measure_socket), device_target(args.device, "hint")
    if args.action == "clear":
        client.request("DELETE", target)
        print(f"Nothing is asked of {args.device} any more.")
        return 0
    wish = {name: getattr(args, name) for name in ("limit_w", "clock_mhz", "slowdown", "for_s")}
    if args.limit_w is None and args.clock_mhz is None and args.slowdown is None:
        raise InputError("a hint needs --cap WATTS, --clock MHZ, --slowdown SHARE, or several of them")
    told = client.request("PUT", target, {name: value for name, value in wish.items() if value is not None})
    clock = f"{told['clock_mhz']:g} MHz" if told["clock_mhz"] is not None else None
    cap = format_watts(told["limit_w"]) if told["limit_w"] is not None else None
    bounds = " and ".join(each for each in (cap, clock) if each)
    longer = f"your job may take {100 * told['slowdown']:.3g} % longer" if told["slowdown"] is not None else ""
    asked = ", and ".join(each for each in (f"at most {bounds}" if bounds else "", longer) if each)
    print(f"{told['device']}: {asked} for {format_duration(told['for_s'])}, or until your job ends.")
    if told["waits_for"]:
        print(f"It counts when {told['waits_for']} more of its users ask, too.")
    if not told["acts"]:
        print('It is only noted: the operator of this host has not set [policy] mode_hint = "act".')
    return 0
