"""Put every knob back to what it was before eagent first wrote it.

If an agent runs, it drops its pins and gives everything back; it goes on measuring. If only a warden runs, it is asked
directly. If neither runs, the journal on disk tells what each knob held, and it is written back from here (as root).

While a budget is in force it is kept: with an agent nothing is given back, without one every limit goes to its safe
cap. Clear it first, or in one go with --clear-budget; one that comes from the mesh is not cleared here.

It ends with exit code 1 if a knob did not go back, and says for each what is wrong: the driver's reason, or an entry of
the journal that is damaged or can't be right on this host. Such a value is never written.

Examples:
  eagent restore
  eagent restore --clear-budget
  eagent restore --offline        from the journal, while no warden runs and whatever runs else: systemd does this
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from eagent.cli import direct_budget
from eagent.cli.arguments import add_why
from eagent.cli.direct_budget import takes_budget
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_watts
from eagent.client import NoAgentError
from eagent.errors import RefusedError

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent restore`."""
    parser.add_argument("--clear-budget", action="store_true", help="end the budget too, if there is one")
    parser.add_argument(
        "--offline", action="store_true", help="go by the journal alone: do not ask an agent or a warden"
    )
    add_why(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Through the agent if there is one, else from the journal."""
    client = context.client()
    try:
        if args.offline:
            raise NoAgentError
        if args.clear_budget:
            if takes_budget(client):
                client.request("DELETE", "/v1/budget", why=args.why)
            else:
                direct_budget.clear(context, args.why)
        answer = client.request("POST", "/v1/restore", why=args.why)
        lines, kept = _told(answer), answer.get("kept", [])
    except NoAgentError:
        if args.clear_budget:
            direct_budget.refuse_beside_mesh(context.config())
        from eagent.warden import restore  # only here: a client of the agent needs none of it

        if not args.offline and restore.is_alive(context.paths):
            outcome = restore.restore_through_warden(context.paths, context.config(), clear_budget=args.clear_budget)
        else:
            outcome = restore.restore_offline(context.paths, context.config(), clear_budget=args.clear_budget)
        lines, kept = outcome.back, outcome.kept
    print("\n".join(lines))
    for line in kept:
        print(f"not back: {line}", file=sys.stderr)
    if kept:
        raise RefusedError(f"{len(kept)} not back, see above; what the journal keeps is put back by `eagent restore`")
    return 0


def _told(answer: Json) -> list[str]:
    """What the agent says that it gave back."""
    lines = ["Pins are dropped, and the warden gives every knob back (see `eagent status`):"]
    for device in answer["devices"]:
        before_w, before_mhz = device["baseline_w"], device.get("baseline_mhz")
        what = "was not set by eagent" if before_w is None else f"back to {format_watts(before_w)}"
        lines.append(f"{device['device']}: power limit {what}")
        if before_mhz is not None:
            lines.append(f"{device['device']}: frequency ceiling back to {before_mhz} MHz")
        if device.get("baseline_preference") is not None:
            lines.append(f"{device['device']}: energy preference back to {device['baseline_preference']}")
    return lines if answer["devices"] else ["Pins are dropped. There is no knob here to give back."]
