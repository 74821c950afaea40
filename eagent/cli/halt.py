"""Freeze all policies but the budget: what they hold is given back, and nothing new is done until the halt ends.

It is a file in eagent's state directory, so it works without an agent and without a network, and it outlives a reboot.
A budget is a promise and stays in force.

Examples:
  eagent halt --why "jobs are slow since noon, looking into it"
  eagent halt --end
"""

from __future__ import annotations

import argparse

from eagent.cli.dispatch import Context
from eagent.errors import UnavailableError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent halt`."""
    parser.add_argument("--why", metavar="TEXT", default="halted by an operator", help="shown by status and plan")
    parser.add_argument("--end", action="store_true", help="let the policies go on")


def run(args: argparse.Namespace, context: Context) -> int:
    """Write the file, or remove it.

    Raises:
        UnavailableError: the state directory can't be written.
    """
    path = context.paths.halt
    try:
        if args.end:
            path.unlink(missing_ok=True)
            print("The policies go on.")
        else:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            path.write_text(f"{args.why}\n", encoding="utf-8")
            print("Halted: all policies but the budget stand still until `eagent halt --end`.")
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}: run as the user that runs eagent, or as root") from None
    return 0
