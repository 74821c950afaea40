"""Hold one device's power limit, its clock ceiling, or both, by hand.

A pin is weaker than safety and the budget, which may keep the limit under it, and stronger than all that other policies
and jobs want. It takes the place of the device's pin of before, and ends after --for, or when it is cleared, or when
the agent ends. A ceiling is the highest clock that the device may take, not one that it is held at.

DEVICE is gpu0, cpu0, a UUID or the start of one, or a PCI address.

Examples:
  eagent pin set gpu0 250W
  eagent pin set gpu0 250W --for 10m
  eagent pin set gpu0 --clock 1200 --for 2h
  eagent pin clear gpu0
"""

from __future__ import annotations

import argparse

from eagent.cli.arguments import add_why, duration, megahertz, watts
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts
from eagent.client import device_target
from eagent.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent pin`."""
    actions = parser.add_subparsers(dest="action", metavar="set|clear", required=True)
    hold = actions.add_parser("set", help="pin a device's power limit, its clock ceiling, or both")
    hold.add_argument("device", metavar="DEVICE")
    hold.add_argument("limit_w", metavar="WATTS", nargs="?", type=watts, help="its limit: 250, 250W or 0.25kW")
    hold.add_argument(
        "--clock", metavar="MHZ", dest="clock_mhz", type=megahertz, help="the highest clock that it may take"
    )
    hold.add_argument(
        "--for", metavar="TIME", dest="for_s", type=duration, help="90s, 10m, 2h; without it until it is cleared"
    )
    drop = actions.add_parser("clear", help="drop a device's pin")
    drop.add_argument("device", metavar="DEVICE")
    for each in (hold, drop):
        add_why(each)


def run(args: argparse.Namespace, context: Context) -> int:
    """Set or clear."""
    client, target = context.client(), device_target(args.device, "pin")
    if args.action == "clear":
        client.request("DELETE", target, why=args.why)
        print(f"{args.device} is not pinned any more.")
        return 0
    if args.limit_w is None and args.clock_mhz is None:
        raise InputError("a pin needs WATTS, --clock MHZ, or both")
    wish = {name: getattr(args, name) for name in ("limit_w", "clock_mhz", "for_s")}
    client.request("PUT", target, {name: value for name, value in wish.items() if value is not None}, why=args.why)
    limit = [] if args.limit_w is None else [format_watts(args.limit_w)]
    clock = [] if args.clock_mhz is None else [f"at most {args.clock_mhz:g} MHz"]
    held = " and ".join([*limit, *clock])
    until = "until `eagent pin clear`" if args.for_s is None else f"for {format_duration(args.for_s)}"
    print(f"{args.device} is pinned to {held} {until}.")
    return 0
