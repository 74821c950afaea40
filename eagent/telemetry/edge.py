"""How much had been drawn at a moment between two refreshes, and how wrong that may be.

A total is known only at refreshes. Between two of them the power's mean is known, its course is not: a window's edge
that falls there is interpolated, and the error bar says how much the power changes hereabouts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from eagent.telemetry.track import Track


@dataclass(frozen=True, slots=True)
class Edge:
    """A total at one moment and its error's standard deviation; `span_ns` lies between the refreshes around it."""

    total_uj: float
    sigma_uj: float
    span_ns: int


def at(track: Track, time_ns: int) -> Edge:
    """The total at a time between the first and the last entry of a track, which has two or more."""
    times, totals = track.times, track.totals_uj
    place = min(max(track.after(time_ns), 1), len(times) - 1)
    begin_ns, span_ns = times[place - 1], times[place] - times[place - 1]
    share = (time_ns - begin_ns) / span_ns
    added_uj = totals[place] - totals[place - 1]
    mean = added_uj / span_ns
    left = mean if place < 2 else (totals[place - 1] - totals[place - 2]) / (begin_ns - times[place - 2])
    right = (totals[place + 1] - totals[place]) / (times[place + 1] - times[place]) if place + 1 < len(times) else left
    change = max(abs(mean - left), abs(right - mean)) * span_ns
    blur_uj = mean * max(track.blurs_ns[place - 1], track.blurs_ns[place])
    sigma_uj = math.hypot(change * 0.3, blur_uj / math.sqrt(3))
    return Edge(totals[place - 1] + added_uj * share, sigma_uj, span_ns)
