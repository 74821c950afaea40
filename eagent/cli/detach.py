"""Give GPUs up, so that they can be reset: no driver resets a GPU that anybody has open.

Its knobs go back to what they were before eagent, under a budget to its safe cap. Then nothing of eagent's has it open:
it is neither read nor set, and says so, until `eagent attach`, or a boot of the host. All else is governed on.

Under a budget it then counts at its greatest limit, because a reset may put it there: the others make room for that,
and where they can't, it is refused and says how many watts are missing.

GPU is gpu0, a UUID or the start of one, or a PCI address. Boards whose GPUs are reset together need all of them named.

Examples:
  eagent detach gpu3 --why "XID 79, to be reset"
  nvidia-smi --gpu-reset -i 3
  eagent attach gpu3
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from eagent.cli.dispatch import Context
from eagent.client import NoAgentError, device_target
from eagent.errors import UnavailableError
from eagent.peer import user_name

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent detach`."""
    parser.add_argument("gpus", metavar="GPU", nargs="+")
    parser.add_argument("--why", metavar="TEXT", default="to be reset", help="shown by status and explain")


def run(args: argparse.Namespace, context: Context) -> int:
    """Through the agent if there is one, else by asking the warden."""
    why = " ".join(args.why.split())[:200]
    for name in args.gpus:
        try:
            answer = context.client().request("PUT", device_target(name, "detachment"), {"why": why})
        except NoAgentError:
            answer = ask_warden(context, name, "detach", by=user_name(os.getuid()), why=why)
        label = answer["device"]
        if answer["already"]:
            print(f"{label} was {answer['why']}")
        else:
            print(f"{label} is detached: nothing of eagent's has it open. Reset it, then `eagent attach {label}`.")
    return 0


def ask_warden(context: Context, name: str, op: str, **fields: str) -> Json:
    """The answer of a warden without an agent, in the form of an agent's."""
    from eagent.agent.names import find_device  # only here: a client of the agent needs none of it
    from eagent.direct import Direct
    from eagent.warden.restore import is_alive
    from eagent.wire import unpack_device

    if not is_alive(context.paths):
        raise UnavailableError("neither an agent nor a warden runs here, so nothing of eagent's is open")
    with Direct(context.paths.warden_socket) as warden:
        devices = [unpack_device(each) for each in warden.ask("hello")["devices"]]
        device = find_device(devices, name)
        return {"device": device.label, **warden.ask(op, uuid=device.uuid, **fields)}
