"""Say why the knobs of a device stand where they stand: value now, who asked for it, why, who lost, until when.

DEVICE is gpu0, cpu0, a UUID or the start of one, or a PCI address.

Examples:
  eagent explain gpu0
  eagent explain cpu0
  eagent explain GPU-6a1b --json
"""

from __future__ import annotations

import argparse
from typing import Any

from eagent.cli.arguments import add_json, print_json
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration, format_watts
from eagent.cli.status import job_line
from eagent.client import device_target

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent explain`."""
    parser.add_argument("device", metavar="DEVICE", help="gpu0, cpu0, a UUID or the start of one, a PCI address")
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
    lines += [f"  job: {job_line(job)}" for job in explanation.get("jobs", [])]
    for knob in explanation["knobs"]:
        lines.append(f"  {knob['knob'].replace('_', ' ')}: {_now(knob)}")
        if knob["winner"] is not None:
            decided = f"decided {_value(knob['decided'], knob)}: " if knob["decided"] is not None else ""
            lines.append(f"    {decided}{_proposal(knob['winner'], knob)}")
        else:
            lines.append("    nobody asks for anything")
        lines += [f"    {_proposal(loser, knob)}; {loser['fate']}" for loser in knob["losers"]]
        if knob["note"]:
            lines.append(f"    note: {knob['note']}")
    return lines + _efficiency(explanation.get("efficiency"))


def _efficiency(known: Json | None) -> list[str]:
    """What the efficiency policy knows of the job: what was tried, what came of it, what may be lost, what is next."""
    if known is None:
        return []
    if known["left_alone"] is not None:
        return [f"  efficiency: {known['left_alone']}"]
    unit = known["setting_unit"]
    observed = "" if known["in_force"] else ", which is not in force"
    lines = [
        f"  efficiency: {known['job']}: may take {known['bound']:.1%} longer in all{_by(known)}, "
        f"{known['slack_s']:.1f} s to spend",
        f"    {known['stage']} at {known['setting']:g} {unit}{observed}, {known['next_s']:.0f} s more: {known['why']}",
    ]
    if known["happened"]:
        lines.append(f"    {known['happened']} (phase {known['phase']} of {known['phases']} known)")
    return lines + [_point(point, unit, known["unit"]) for point in known["curve"]]


def _by(known: Json) -> str:
    """Who has said so; an older agent does not tell."""
    return f" ({by})" if (by := known.get("bound_by")) else ""


def _point(point: Json, setting_unit: str, unit: str) -> str:
    return (
        f"    {point['setting']:g} {setting_unit}: {point['rate']:.4g} {unit}s/s at {format_watts(point['power_w'])}, "
        f"{point['slowdown']:+.1%} +-{point['slowdown_error']:.1%} of time, energy {point['energy']:.1%} "
        f"+-{point['energy_error']:.1%}, over {point['seconds']:.0f} s"
    )


def _now(knob: Json) -> str:
    if knob["knob"] == "gpu_clock":  # the driver does not tell it
        return f"held at {_value(knob['ours'], knob)}" if knob["ours"] is not None else "no ceiling of eagent's"
    value, ours = knob["value"], knob["ours"]
    now = f"{_value(value, knob)} now" if value is not None else "cannot be read now"
    foreign = knob.get("foreign")  # an older agent does not tell
    if foreign and foreign["stands"]:
        would = f"; eagent would have it at {_value(ours, knob)}" if ours is not None else ""
        return f"{now}, set by somebody else{would}"
    if ours is None:
        return f"{now}; no setting of eagent's is known"
    by_us = "set by eagent" if value == ours else f"though eagent set {_value(ours, knob)}"
    return f"{now}, {by_us}; {_baseline(knob)}"


def _baseline(knob: Json) -> str:
    baseline = knob["baseline"]
    return f"it was {_value(baseline, knob)} before" if baseline is not None else "what it was before is not known"


def _value(value: float | str, knob: Json) -> str:
    if isinstance(value, str):
        return value
    return format_watts(value) if knob["unit"] == "W" else f"{value:g} {knob['unit']}"


def _proposal(proposal: Json, knob: Json) -> str:
    low, high = proposal["low"], proposal["high"]
    if low is None:
        bound = _value(high, knob)
    elif low == high:
        bound = f"exactly {_value(high, knob)}"
    else:
        bound = f"{_value(low, knob)} to {_value(high, knob)}" if low else f"at most {_value(high, knob)}"
    until = proposal["until_s"]
    ends = f" for {format_duration(until)} more" if until is not None else ""
    return f"{proposal['policy']} ({proposal['priority']}) asked for {bound}{ends}, because {proposal['reason']}"
