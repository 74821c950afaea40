"""Print what a simulated host was made from, as the TOML file that makes the same host again.

`eagent sim describe lab | eagent sim create other --from -` makes its twin.
"""

from __future__ import annotations

import argparse
import os

from eagent.errors import InputError

SUMMARY = "print what a host was made from, as a file for `create --from`"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim describe`."""
    parser.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> list[str]:
    """The lines of the file.

    Raises:
        InputError: there is none, as with a host of an older version.
    """
    from eagent.sim import host

    found = host.find(host.root(os.environ), args.name)
    try:
        return found.description.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(
            f"simulated host {found.name!r} has no host.toml: delete it and make it anew to have one"
        ) from None
