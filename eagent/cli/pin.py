"""Hold one device's power limit at a number of watts, by hand.

A pin is weaker than safety and the budget, which may keep the limit under it, and stronger than all that other policies
want. It ends after --for, or when it is cleared, or when the agent ends.

DEVICE is gpu0, cpu0, a UUID or the start of one, or a PCI address.

Examples:
  eagent pin set gpu0 250W
  eagent pin set gpu0 250W --for 10m
  eagent pin clear gpu0
"""

from __future__ import annotations

import argparse

from eagent.cli.arguments import add_why, duration, watts
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts
from eagent.client import device_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent pin`."""
    actions = parser.add_subparsers(dest="action", metavar="set|clear", required=True)
    hold = actions.add_parser("set", help="pin a device's power limit")
    hold.add_argument("device", metavar="DEVICE")
    hold.add_argument("limit_w", metavar="WATTS", type=watts, help="250, 250W or 0.25kW")
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
    wish = {"limit_w": args.limit_w} | ({} if args.for_s is None else {"for_s": args.for_s})
    client.request("PUT", target, wish, why=args.why)
    until = "until `eagent pin clear`" if args.for_s is None else f"for {format_duration(args.for_s)}"
    print(f"{args.device} is pinned to {format_watts(args.limit_w)} {until}.")
    return 0
