"""What the demo with several hosts came to: as a table for people and as JSON for programs."""

from __future__ import annotations

from typing import Any

from eagent.demo.rack import BOOT_S
from eagent.demo.report import table
from eagent.demo.together import Outcome, Side

Json = dict[str, Any]

ROWS = (
    ("requests answered", "requests_done", "{:.0f}", 1.0),
    ("energy at the wall, simulated (kJ)", "energy_j", "{:.1f}", 1e-3),
    ("energy per request, simulated (J)", "energy_per_request_j", "{:.1f}", 1.0),
    ("hosts off or booting (s)", "not_on_s", "{:.1f}", 1.0),
    ("latency p50 (s)", "p50_latency_s", "{:.2f}", 1.0),
    ("latency p95 (s)", "p95_latency_s", "{:.2f}", 1.0),
    ("latency p99 (s)", "p99_latency_s", "{:.2f}", 1.0),
    ("first token p99 (s)", "p99_first_token_s", "{:.2f}", 1.0),
)


def document(outcome: Outcome) -> Json:
    """The JSON of `eagent demo --hosts N --json`. All watts and joules in it are simulated.

    Its keys:
        simulated: true.
        hosts: In each of the two racks.
        trace: Where the requests come from, and what was made of them.
        requests: Their number, for each rack.
        measured_s: From the first request to the last answer of either rack; all below is of this time.
        rack_budget_w: What all hosts of a rack may draw together, at the wall.
        reserve_w: What a host may draw at its safe caps: the least that it holds, also while it is off or boots.
        nameplate_w: What it may draw with all limits at their greatest.
        limits_over_budget_s: For how long what eagent's hosts were allowed, by their drivers' logs, summed above the
            budget.
        exposed_s: For how long, of all its hosts together, limits stood as a boot leaves them, and eagent had not
            lowered them yet. No work ran, so a host counts as one at its reserve.
        watts_moved_w: By how much the most that one host was allowed was above an equal share of the budget.
        slept: The hosts that were switched off.
        woken: Those of them that were on again.
        no_sleep: Why no host could sleep here; null if they could.
        boot_s: How long a boot takes; a real server's takes minutes.
        static: The rack whose hosts have an equal share each, see `_side`.
        eagent: The rack with eagent.
    """
    share_w = outcome.budget_w / outcome.hosts
    moved_w = max(0.0, outcome.greatest_w - share_w)
    return {
        "simulated": True,
        "hosts": outcome.hosts,
        "trace": outcome.trace.source,
        "requests": len(outcome.trace.requests),
        "measured_s": outcome.seconds,
        "rack_budget_w": outcome.budget_w,
        "reserve_w": outcome.watts.reserve_w,
        "nameplate_w": outcome.watts.nameplate_w,
        "limits_over_budget_s": outcome.over_budget_s,
        "exposed_s": outcome.exposed_s,
        "watts_moved_w": moved_w,
        "slept": list(outcome.slept),
        "woken": list(outcome.woken),
        "no_sleep": outcome.no_sleep,
        "boot_s": BOOT_S,
        "static": _side(outcome.static),
        "eagent": _side(outcome.governed),
    }


def _side(side: Side) -> Json:
    """One rack.

    Its keys:
        energy_j: Of all its hosts, at the wall.
        requests_done: How many were answered.
        requests_lost: How many were lost by switching a host off.
        energy_per_request_j: Of those that were answered; null without any.
        not_on_s: For how long hosts were off or booting, of all together.
        p50_latency_s, p95_latency_s, p99_latency_s: From when a request reached the front door to its last token; null
            without an answer.
        p99_first_token_s: To its first token.
        wall: For each host, seconds and joules in each state of its power, as of `WallUse`.
    """
    done = side.latency.finished
    return {
        "energy_j": side.energy_j,
        "requests_done": done,
        "requests_lost": side.lost,
        "energy_per_request_j": side.energy_j / done if done else None,
        "not_on_s": sum(each.off_s + each.booting_s for each in side.wall.values()),
        "p50_latency_s": side.latency.p50_s,
        "p95_latency_s": side.latency.p95_s,
        "p99_latency_s": side.latency.p99_s,
        "p99_first_token_s": side.first_token.p99_s,
        "wall": {name: each.as_dict() for name, each in side.wall.items()},
    }


def is_kept(told: Json) -> bool:
    """Whether all that was promised was kept: no watt above the budget, no request lost; and a host slept and woke."""
    return (
        told["limits_over_budget_s"] == 0
        and told["eagent"]["requests_done"] == told["requests"]
        and told["watts_moved_w"] > 0
        and (bool(told["woken"]) or told["no_sleep"] is not None)
    )


def summary(told: Json) -> list[str]:
    """The same for a person, a line each."""
    return [
        f"{told['requests']} requests, a rack budget of {told['rack_budget_w']:.0f} W for {told['hosts']} hosts. "
        f"All watts and joules are simulated, a boot takes {told['boot_s']:g} s.",
        "",
        *table(ROWS, f"static 1/{told['hosts']}", told["static"], told["eagent"]),
        "",
        f"limits above the rack's budget: {told['limits_over_budget_s']:.3f} s; one host had up to "
        f"{told['watts_moved_w']:.0f} W more than its share; {told['eagent']['requests_lost']} requests lost",
        f"{_slept(told)}; {told['exposed_s']:.1f} s from boots to limits, in which no work ran",
        *([f"no host could sleep: {told['no_sleep']}"] if told["no_sleep"] is not None else []),
    ]


def _slept(told: Json) -> str:
    if not told["slept"]:
        return "no host slept"
    still = [name for name in told["slept"] if name not in told["woken"]]
    parts = [f"{', '.join(told['woken'])} slept and woke"] if told["woken"] else []
    parts += [f"{', '.join(still)} slept {'on' if told['woken'] else 'and DID NOT WAKE'}"] if still else []
    return "; ".join(parts)
