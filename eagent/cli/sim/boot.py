"""Run COMMAND on the host while it is on, in this shell until Ctrl-C or SIGTERM, which end COMMAND in order.

When the host goes off, COMMAND and all that it has started are killed at once, and the host's run directory is emptied;
its state directory stays, as a disk does. When it has booted, COMMAND is started anew. A COMMAND that fails is started
again after a second, then after two, up to 30; one that ends with status 0 runs again in the next boot.
"""

from __future__ import annotations

import argparse
import os

from eagent.errors import InputError

SUMMARY = "run a command in each boot of a host, as init does"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim boot`."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="a program and its arguments")


def run(args: argparse.Namespace) -> list[str]:
    """Be the host's init.

    Raises:
        InputError: there is nothing to run.
    """
    from eagent.sim import boot, host

    found = host.find(host.root(os.environ), args.name)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise InputError(f"what to run is missing: eagent sim boot {found.name} -- eagent up")
    boot.run(found, command, os.environ, lambda line: print(f"eagent sim boot: {line}", flush=True))
    return [f"eagent sim boot: nothing of {command[0]} runs on {found.name} any more."]
