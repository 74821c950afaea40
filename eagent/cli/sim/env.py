"""Print a simulated host's environment as lines for `eval` in a POSIX shell."""

from __future__ import annotations

import argparse
import os

SUMMARY = "print the host's environment, for eval in a shell"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim env`."""
    parser.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> list[str]:
    """The lines."""
    from eagent.sim import host

    found = host.find(host.root(os.environ), args.name)
    found.show_boot()
    return found.shell_lines()
