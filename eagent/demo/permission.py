"""What a rack was allowed to draw at each moment, by the logs of its plants: limits, and when hosts were off."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLACK_W = 0.001


class Moment(NamedTuple):
    """From when on a host had this permission; by the rack's clock."""

    at_s: float
    watts: float


class Exposure(NamedTuple):
    """A host was on and its limits stood higher than its permission, for no work ran; without an end it is endless."""

    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Log:
    """A host's logs, by the rack's clock, each in order of time."""

    power: Sequence[tuple[float, str]]  # (since when, "off", "booting" or "on"); the first is where the logs begin
    limits: Sequence[tuple[float, int, float]]  # (when, GPU, its new limit in watts)
    initial_w: Sequence[float]
    reserve_w: float
    apart_w: float  # what counts beside the limits


@dataclass(frozen=True, slots=True)
class Allowed:
    """A host's permission over time: the first moment is since ever. And when it was exposed."""

    moments: tuple[Moment, ...]
    exposures: tuple[Exposure, ...]

    def exposed_s(self, start_s: float, end_s: float) -> float:
        """For how long it was exposed within a time, in seconds."""
        return sum(max(0.0, min(until_s, end_s) - max(from_s, start_s)) for from_s, until_s in self.exposures)

    def greatest_w(self, start_s: float, end_s: float) -> float:
        """The greatest permission that it had for any time at all from `start_s` to `end_s`, which is later."""
        return max(watts for _, watts in _pieces([self], start_s, end_s))


def permissions(log: Log) -> Allowed:
    """A host's permission over time, at least its reserve, and when it was exposed.

    While a host is off or boots it is its reserve. So it is from then on until its limits are where they fall to by
    themselves, for no work runs before that; this time is its exposure. A host that is on as the logs begin is taken
    for one with its limits in force.
    """
    limits = list(log.initial_w)
    is_on = is_held = log.power[0][1] == "on"
    watts = log.apart_w + sum(limits)
    moments = [Moment(-math.inf, max(log.reserve_w, watts) if is_held else log.reserve_w)]
    exposures = []
    exposed_since_s: float | None = None
    for at_s, changes in itertools.groupby(_events(log), key=lambda event: event[0]):
        for _, what in changes:
            if isinstance(what, str):
                is_on = what == "on"
                is_held = is_held and is_on
            else:
                limits[what[0]] = what[1]
        watts = log.apart_w + sum(limits)
        is_held = is_held or (is_on and watts <= log.reserve_w + SLACK_W)
        is_exposed = is_on and not is_held
        if is_exposed and exposed_since_s is None:
            exposed_since_s = at_s
        elif not is_exposed and exposed_since_s is not None:
            exposures.append(Exposure(exposed_since_s, at_s))
            exposed_since_s = None
        moments.append(Moment(at_s, max(log.reserve_w, watts) if is_held else log.reserve_w))
    if exposed_since_s is not None:
        exposures.append(Exposure(exposed_since_s, math.inf))
    return Allowed(tuple(moments), tuple(exposures))


def over_budget_s(hosts: Iterable[Allowed], budget_w: float, start_s: float, end_s: float) -> float:
    """For how long the permissions of all hosts summed above the budget from `start_s` to `end_s`, in seconds."""
    return sum(seconds for seconds, watts in _pieces(hosts, start_s, end_s) if watts > budget_w + SLACK_W)


def _pieces(hosts: Iterable[Allowed], start_s: float, end_s: float) -> Iterator[tuple[float, float]]:
    """The pieces of this time in which no permission changed: (seconds, more than 0, and the sum in watts)."""
    moments = [allowed.moments for allowed in hosts]
    changes = [(moment, host) for host, own in enumerate(moments) for moment in own[1:]]
    changes.sort(key=lambda change: change[0].at_s)  # stable: of one host's at one moment the last stays last
    now_w = [own[0].watts for own in moments]
    since_s = start_s
    for (at_s, watts), host in changes:
        until_s = min(max(at_s, start_s), end_s)
        if until_s > since_s:
            yield until_s - since_s, sum(now_w)
        since_s = until_s
        now_w[host] = watts
    if end_s > since_s:
        yield end_s - since_s, sum(now_w)


def _events(log: Log) -> Iterator[tuple[float, str | tuple[int, float]]]:
    """Both logs in order of time."""
    power: list[tuple[float, str | tuple[int, float]]] = [(at_s, state) for at_s, state in log.power[1:]]
    limits: list[tuple[float, str | tuple[int, float]]] = [(at_s, (gpu, watts)) for at_s, gpu, watts in log.limits]
    return heapq.merge(power, limits, key=lambda event: event[0])
