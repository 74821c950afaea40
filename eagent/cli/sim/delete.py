"""Remove a simulated host and all that is in its directory. One on which eagent runs is not removed."""

from __future__ import annotations

import argparse
import os

SUMMARY = "remove a host"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim delete`."""
    parser.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> list[str]:
    """Remove it."""
    from eagent.sim import host

    host.delete(host.root(os.environ), args.name)
    return [f"Simulated host {args.name} is gone."]
