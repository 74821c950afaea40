"""Say why the knobs of a device stand where they stand: value now, who asked for it, why, who lost, until when.

DEVICE is gpu0, a UUID or the start of one, or a PCI address.

Examples:
  eagent explain gpu0
  eagent explain GPU-6a1b --json
"""

from __future__ import annotations

import argparse
from typing import Any

from eagent.cli.arguments import add_json, print_json
from eagent.cli.client import device_target
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent explain`."""
    parser.add_argument("device", metavar="DEVICE", help="gpu0, a UUID or the start of one, a PCI address")
    add_json(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask the agent and print."""
    explanation = context.client().request("GET", device_target(args.device, "explain"))
    if args.json:
        print_json(explanation)
    else:
        print("\n".join(sentences(explanation)))
    return 0


def sentences(explanation: Json) -> list[str]:
    """The explanation as a person would give it."""
    lines = [str(explanation["device"])]
    for knob in explanation["knobs"]:
        lines.append(f"  {knob['knob'].replace('_', ' ')}: {_now(knob)}")
        if knob["winner"] is not None:
            decided = f"decided {format_watts(knob['decided_w'])}: " if knob["decided_w"] is not None else ""
            lines.append(f"    {decided}{_proposal(knob['winner'])}")
        else:
            lines.append("    nobody asks for anything")
        lines += [f"    {_proposal(loser)}; {loser['fate']}" for loser in knob["losers"]]
        if knob["note"]:
            lines.append(f"    note: {knob['note']}")
    return lines


def _now(knob: Json) -> str:
    value_w, ours_w = knob["value_w"], knob["ours_w"]
    now = f"{format_watts(value_w)} now" if value_w is not None else "cannot be read now"
    if ours_w is None:
        return f"{now}; no setting of eagent's is known"
    by_us = "set by eagent" if value_w == ours_w else f"though eagent set {format_watts(ours_w)}"
    return f"{now}, {by_us}; {_baseline(knob['baseline_w'])}"


def _baseline(baseline_w: float | None) -> str:
    return f"it was {format_watts(baseline_w)} before" if baseline_w is not None else "what it was before is not known"


def _proposal(proposal: Json) -> str:
    low, high = proposal["low"], proposal["high"]
    if low == high:
        bound = f"exactly {format_watts(high)}"
    else:
        bound = f"{format_watts(low)} to {format_watts(high)}" if low else f"at most {format_watts(high)}"
    until = proposal["until_s"]
    ends = f" for {format_duration(until)} more" if until is not None else ""
    return f"{proposal['policy']} ({proposal['priority']}) asked for {bound}{ends}, because {proposal['reason']}"
