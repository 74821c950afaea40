"""Take GPUs again that were given up by `eagent detach`.

They are taken as the driver has them now: what they had before they were reset is nobody's any more. What eagent holds
is in force again within two seconds. One that does not answer yet stays detached.

Examples:
  eagent attach gpu3
"""

from __future__ import annotations

import argparse

from eagent.cli.detach import ask_warden
from eagent.cli.dispatch import Context
from eagent.client import NoAgentError, device_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent attach`."""
    parser.add_argument("gpus", metavar="GPU", nargs="+")


def run(args: argparse.Namespace, context: Context) -> int:
    """Through the agent if there is one, else by asking the warden."""
    for name in args.gpus:
        try:
            answer = context.client().request("DELETE", device_target(name, "detachment"))
        except NoAgentError:
            answer = ask_warden(context, name, "attach")
        print(f"{answer['device']} {'was not detached' if answer['already'] else 'is governed again'}.")
    return 0
