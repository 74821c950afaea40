"""Say what each policy asks for now, whether it may act or only observes.

A policy acts when its mode in the configuration is "act" and nothing is halted. Look at its plan before you let it.

Examples:
  eagent plan
  eagent plan --json
"""

from __future__ import annotations

import argparse
from typing import Any

from eagent.cli.arguments import add_json, print_json
from eagent.cli.dispatch import Context

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent plan`."""
    add_json(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask the agent and print."""
    told = context.client().request("GET", "/v1/plan")
    if args.json:
        print_json(told)
    else:
        print("\n".join(lines(told)))
    return 0


def lines(told: Json) -> list[str]:
    """The plan, a line a proposal."""
    shown = ["SIMULATED"] if told["simulated"] else []
    if told["halted"] is not None:
        shown.append(f"HALTED: {told['halted']}: only the budget acts; `eagent halt --end` ends it")
    asked = [*(_line(proposal) for proposal in told["proposals"]), *_sleep_lines(told["sleep"])]
    return [*shown, *(asked or ["no policy asks for anything"])]


def _sleep_lines(sleep: Json | None) -> list[str]:
    """What the policy sleep asks for the host; nothing while it lets it be awake."""
    if sleep is None or not sleep["wanted"]:
        return []
    does = "acts" if sleep["acts"] else "would, but only observes"
    draws = "" if sleep["draws_w"] is None else f" (its devices draw {sleep['draws_w']:.0f} W now)"
    hindered = f"; not yet: {sleep['hindered']}" if sleep["acts"] and sleep["hindered"] else ""
    return [f"host: sleep {does}: hand its watts over and be switched off, because {sleep['reason']}{draws}{hindered}"]


def _line(proposal: Json) -> str:
    does = "acts" if proposal["acts"] else "would, but only observes"
    draws = "" if proposal["draws_w"] is None else f" (draws {proposal['draws_w']:.0f} W now)"
    what = proposal["knob"].replace("_", " ")
    bound = "exactly" if proposal["low"] == proposal["high"] else "at most"
    wish = f"{what} {bound} {proposal['high']:g} {proposal['unit']}"
    if "ceiling_mhz" in proposal and proposal["ceiling_mhz"] is None:
        wish = f"no ceiling on its {what}"
    if proposal.get("preference"):
        wish = f"{wish} and cpu preference {proposal['preference']}"
    stake = "" if proposal["stake_w"] is None else f"; {proposal['stake_w']:.0f} W at stake"
    return f"{proposal['device']}: {proposal['policy']} {does}: {wish}, because {proposal['reason']}{draws}{stake}"
