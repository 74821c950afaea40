"""What a rack was allowed to draw at each moment, by the logs of its plants: limits, and when hosts were off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLACK_W = 0.001


class Moment(NamedTuple):
    """From when on a host had this permission; by the rack's clock."""

    at_s: float
    watts: float


@dataclass(frozen=True, slots=True)
class Log:
    """A host's logs, by the rack's clock."""

    power: Sequence[tuple[float, str]]  # (since when, "off", "booting" or "on")
    limits: Sequence[tuple[float, int, float]]  # (when, GPU, its new limit in watts)
    initial_w: Sequence[float]
    reserve_w: float
    apart_w: float  # what counts beside the limits


def permissions(log: Log) -> tuple[list[Moment], float]:
    """A host's permission over time, at least its reserve, and for how many seconds it was exposed.

    While a host is off or boots it is its reserve. So it is from then on until its limits are where they fall to by
    themselves, for no work runs before that; this time is its exposure.
    """
    limits = list(log.initial_w)
    moments, exposed_s = [Moment(-math.inf, max(log.reserve_w, log.apart_w + sum(limits)))], 0.0
    is_on, is_held, since_s = True, True, 0.0
    for at_s, what in _events(log):
        if isinstance(what, str):
            is_on = what == "on"
            if is_on and not is_held:
                since_s = at_s
            elif not is_on:
                is_held = False
        else:
            limits[what[0]] = what[1]
        watts = log.apart_w + sum(limits)
        if is_on and not is_held and watts <= log.reserve_w + SLACK_W:
            is_held = True
            exposed_s += at_s - since_s
        moments.append(Moment(at_s, max(log.reserve_w, watts) if is_on and is_held else log.reserve_w))
    return moments, exposed_s


def over_budget_s(hosts: Mapping[str, Sequence[Moment]], budget_w: float, start_s: float, end_s: float) -> float:
    """For how long the permissions of all hosts summed above the budget, in seconds."""
    changes = sorted((moment.at_s, name, moment.watts) for name, moments in hosts.items() for moment in moments)
    now_w = {name: moments[0].watts for name, moments in hosts.items()}
    total_s, before_s = 0.0, start_s
    for at_s, name, watts in [*changes, (end_s, "", 0.0)]:
        until_s = min(max(at_s, start_s), end_s)
        if sum(now_w.values()) > budget_w + SLACK_W:
            total_s += until_s - before_s
        before_s = until_s
        if name:
            now_w[name] = watts
    return total_s


def _events(log: Log) -> Iterator[tuple[float, str | tuple[int, float]]]:
    """Both logs in order of time. At one moment limits come first: a boot sets them, and then the host is on."""
    power: list[tuple[float, int, str | tuple[int, float]]] = [(at_s, 1, state) for at_s, state in log.power[1:]]
    limits: list[tuple[float, int, str | tuple[int, float]]] = [
        (at_s, 0, (gpu, watts)) for at_s, gpu, watts in log.limits
    ]
    for at_s, _, what in sorted(power + limits, key=lambda event: event[:2]):
        yield at_s, what
