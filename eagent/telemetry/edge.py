"""How much had been drawn at a moment between two refreshes, and how wrong that may be.

A total is known only at refreshes, and when those were only to a millisecond or two. Between two of them the power's
mean is known, its course is not. So a window's edge is placed by one of two guesses:

- a line through the refreshes around it, where power is as steady as their uncertain times let us tell: many uncertain
  times make one good one
- else between its two neighbours, with a step of power in between where the means before and after tell its place

Either has its own error bar. The weights below were fitted on simulated boards so that some 95 of 100 windows hold the
truth, and are judged on others (`benchmarks/sampling/energy.py`). docs/energy.md tells how, and has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from eagent.telemetry.drawn import GAP_NS, Drawn
from eagent.telemetry.track import Track

REACHES = (16, 8, 4, 2)  # refreshes to either side that a line may go through; the longest on which it is straight
STRAIGHT = 1.3  # residuals may be so much greater than what neighbouring ones differ by: else they wander, not jitter
STEADY_BLURS = 2.2  # how far the power of a steady stretch may seem to change, in times by which refreshes are blurred
SWING_REACH = 10  # intervals to either side that tell how much power changes hereabouts
SIGMA_OF_BLUR = 1 / 3  # a refresh's time is off by no more than its blur
KNOWN_NS = 3_000_000  # refreshes that are blurred by more were not learnt, only seen to have been
THINNED_NS = 500_000_000  # refreshes farther apart that were learnt are what is left of a distant past
THINNED_SHARE = 0.04
WANDER_NS = 2_000_000_000  # the loop's idea of a sensor's phase is another after so long
GAIN_SHARE = 0.02  # of the mean: what is left between counter and power once one is fitted to the other
ALL_SEEN = 0.35  # power that differs from the mean by less than this share of the mean's own changes has no blind time

WEIGHTS = {
    "line": 4.0,
    "line_swing": 0.33,
    "line_blind": 1.5,
    "blur": 12,
    "step": 0.5,
    "restless": 0.033,
    "change": 0.06,
    "changes": 0.06,
    "blind": 0.6,
    "seen_change": 0.05,
    "seen_changes": 0.077,
    "bias": 0.7,
    "wander": 0.36,
    "unknown": 0.9,
    "gap": 1.0,
    "thinned": 0.2,
}


@dataclass(frozen=True, slots=True)
class Edge:
    """A total at one moment.

    `terms` are squares of energies, by the names of WEIGHTS: their weighted sum is the square of the half-width. `rate`
    is the power there, in microjoules a nanosecond.
    """

    total_uj: float
    rate: float
    terms: dict[str, float]
    is_unseen: bool = False


def half_width_uj(first: Edge, last: Edge, bias_ns: float, window_ns: int) -> float:
    """Of the difference of two totals, `window_ns` apart.

    All refreshes may be thought `bias_ns` too late or too early: those of a moment together, those of later ones anew.
    """
    apart = 1 - math.exp(-window_ns / WANDER_NS)
    square = WEIGHTS["bias"] * ((last.rate - first.rate) * bias_ns) ** 2
    for edge in (first, last):
        square += WEIGHTS["wander"] * apart * (edge.rate * bias_ns) ** 2
        square += sum(WEIGHTS[name] * term for name, term in edge.terms.items())
    return math.sqrt(square)


def at(track: Track, time_ns: int, powers: Drawn | None = None) -> Edge:
    """The total at a time.

    Args:
        track: The counter's, or that of integrated power: two entries or more.
        time_ns: Between the first and the last of them.
        powers: Power as read at the same refreshes, which shows what happens within them.
    """
    near = _Near(track, time_ns)
    if near.span_ns > GAP_NS:
        return near.unseen()
    blind = near.blind(powers) if powers is not None else 0.0
    return near.by_line(blind) or near.between(blind)


class _Near:
    """The refreshes around a moment, from which times and totals count."""

    def __init__(self, track: Track, time_ns: int) -> None:
        times = track.times
        place = min(max(track.place(time_ns), 1), len(times) - 1)
        first, last = max(0, place - REACHES[0] - 1), min(len(times), place + REACHES[0] + 1)
        self.base_uj = track.totals_uj[place - 1]
        self.times_ns = [each - time_ns for each in times[first:last]]
        self.totals_uj = [each - self.base_uj for each in track.totals_uj[first:last]]
        self.place = place - first
        self.absolute_ns = time_ns
        self.span_ns = self.times_ns[self.place] - self.times_ns[self.place - 1]
        self.blur_ns = max(track.blurs_ns[place - 1], track.blurs_ns[place])
        # Of the interval that ends with each refresh; the first has none.
        self.rates = [
            (self.totals_uj[i] - self.totals_uj[i - 1]) / (self.times_ns[i] - self.times_ns[i - 1]) if i else math.nan
            for i in range(len(self.times_ns))
        ]
        self.rate = self.rates[self.place]
        self.share = min(1.0, max(0.0, -self.times_ns[self.place - 1] / self.span_ns))
        self.within = 4 * self.share * (1 - self.share)  # nothing is unknown at a refresh, most halfway
        near = self.rates[max(1, self.place - SWING_REACH) : self.place + SWING_REACH]
        self.changes_uj = _median([abs(b - a) for a, b in pairwise(near)]) * self.span_ns

    def blind(self, powers: Drawn) -> float:
        """By how many microjoules an interval's mean and the power read at its end differ hereabouts.

        Power is read through other errors than the counter: it is first fitted to it. 0 where nothing is known.
        """
        first, last = max(1, self.place - SWING_REACH), min(len(self.times_ns), self.place + SWING_REACH)
        means, readings = [], []
        for i in range(first, last):
            reading = _reading(powers, self.times_ns[i] + self.absolute_ns, self.span_ns)
            if reading is not None:
                means.append(self.rates[i])
                readings.append(reading * 1e-6)
        if len(means) < 3:
            return 0.0
        gain, offset = _fitted(means, readings)
        off = [abs(mean - (reading - offset) / gain) for mean, reading in zip(means, readings, strict=True)]
        return _median(off) * self.span_ns

    def by_line(self, blind_uj: float) -> Edge | None:
        """By a straight line through the steady stretch around the moment, if there is one."""
        most = STEADY_BLURS * self.blur_ns * abs(self.rate) / self.span_ns
        for reach in REACHES:
            first, last = self._steady(reach, most)
            if last - first < 3:
                return None
            line = _line(self.times_ns[first : last + 1], self.totals_uj[first : last + 1])
            rates = self.rates[first + 1 : last + 1]
            jitter = sum((b - a) ** 2 for a, b in pairwise(rates)) / (len(rates) - 1) / 6
            if line.residual_square <= STRAIGHT**2 * jitter * self.span_ns**2:
                timing = (self.rate * self.blur_ns * SIGMA_OF_BLUR) ** 2
                terms = {
                    "unknown": self._unknown_uj() ** 2,
                    "thinned": self._thinned_uj() ** 2 * self.within,
                    "line": line.residual_square * line.leverage,
                    "line_swing": max(0.0, line.residual_square - timing),
                    "line_blind": self._beyond_gain(blind_uj) ** 2 * self.within,
                }
                return Edge(self.base_uj + line.value, line.slope, terms)
        return None

    def _steady(self, reach: int, most: float) -> tuple[int, int]:
        """The first and the last refresh of the stretch in which power stays what it is at the moment."""
        first, last = self.place - 1, self.place
        while first > 0 and self.place - 1 - first < reach and abs(self.rates[first] - self.rate) <= most:
            first -= 1
        end = len(self.times_ns) - 1
        while last < end and last - self.place < reach and abs(self.rates[last + 1] - self.rate) <= most:
            last += 1
        return first, last

    def between(self, blind_uj: float) -> Edge:
        """Between the two refreshes around the moment, at the mean power or with one step of it."""
        into_ns = self.share * self.span_ns
        before_uj = self.totals_uj[self.place - 1]
        straight_uj = before_uj + self.rate * into_ns
        share, sigma_ns = self.share, min(self.blur_ns, KNOWN_NS) * SIGMA_OF_BLUR
        terms = {
            "unknown": self._unknown_uj() ** 2,
            "thinned": self._thinned_uj() ** 2 * self.within,
            "blur": (self.rate * sigma_ns) ** 2 * (share**2 + (1 - share) ** 2),
        }
        left = self.rates[self.place - 1] if self.place > 1 else self.rate
        right = self.rates[self.place + 1] if self.place + 1 < len(self.rates) else self.rate
        total_uj = straight_uj
        change_uj = max(abs(self.rate - left), abs(right - self.rate)) * self.span_ns
        stepped = self._stepped(left, right, into_ns)
        if stepped is not None:
            total_uj = before_uj + stepped
            terms["step"] = (total_uj - straight_uj) ** 2
            terms["restless"] = min(change_uj, self.changes_uj) ** 2 * self.within  # there may have been more than one
            change_uj = 0.0
        if blind_uj < ALL_SEEN * self.changes_uj:
            terms["seen_change"] = change_uj**2 * self.within
            terms["seen_changes"] = self.changes_uj**2 * self.within
        else:
            terms["change"] = change_uj**2 * self.within
            terms["changes"] = self.changes_uj**2 * self.within
            terms["blind"] = self._beyond_gain(blind_uj) ** 2 * self.within
        return Edge(self.base_uj + total_uj, self.rate, terms)

    def unseen(self) -> Edge:
        """Where nobody looked for long: all may have been drawn before the moment, or all after."""
        added_uj = self.rate * self.span_ns
        total_uj = self.totals_uj[self.place - 1] + added_uj * self.share
        return Edge(self.base_uj + total_uj, self.rate, {"gap": (added_uj / 2) ** 2 * self.within}, is_unseen=True)

    def _unknown_uj(self) -> float:
        """A refresh was somewhere in a stretch of time, and its neighbours, looked at alike, in the same place."""
        return abs(self.rate) * self.blur_ns / 2 if self.blur_ns > KNOWN_NS else 0.0

    def _thinned_uj(self) -> float:
        """Between thinned refreshes power went up and down unseen: by as much as seconds differ, or a share of it."""
        if self.span_ns < THINNED_NS or self.blur_ns > KNOWN_NS:
            return 0.0
        return max(self.changes_uj, THINNED_SHARE * abs(self.rate) * self.span_ns)

    def _stepped(self, left: float, right: float, into_ns: float) -> float | None:
        """What was drawn since the refresh before, if power went in one step from what it was to what it is after.

        None if the mean in between says that it did not.
        """
        if not (min(left, right) <= self.rate <= max(left, right)) or left == right:
            return None
        until_ns = (right - self.rate) / (right - left) * self.span_ns
        return left * min(into_ns, until_ns) + right * max(0.0, into_ns - until_ns)

    def _beyond_gain(self, blind_uj: float) -> float:
        return max(0.0, blind_uj - GAIN_SHARE * abs(self.rate) * self.span_ns)


@dataclass(frozen=True, slots=True)
class _Line:
    value: float  # at time 0
    slope: float
    residual_square: float  # mean square of what is left
    leverage: float  # what share of it the value has


def _line(xs: Sequence[float], ys: Sequence[float]) -> _Line:
    """The straight line of least squares through three points or more."""
    count = len(xs)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    value = mean_y - slope * mean_x
    left = sum((y - value - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    return _Line(value, slope, left / (count - 2), 1 / count + mean_x**2 / spread)


def _fitted(means: Sequence[float], readings: Sequence[float]) -> tuple[float, float]:
    """Gain and offset of power readings over the counter's means; where those hardly change, a gain only."""
    count = len(means)
    mean_x, mean_y = sum(means) / count, sum(readings) / count
    ratio = mean_y / mean_x if mean_x > 0 else 1.0
    spread = sum((x - mean_x) ** 2 for x in means)
    common = sum((x - mean_x) * (y - mean_y) for x, y in zip(means, readings, strict=True))
    doubt = count * _LEVELS_APART**2
    gain = min(_GAINS[1], max(_GAINS[0], (common + doubt * ratio) / (spread + doubt)))
    return gain, mean_y - gain * mean_x


_LEVELS_APART = 0.01  # microjoules a nanosecond: 10 W
_GAINS = (0.8, 1.25)


def _reading(powers: Drawn, time_ns: int, span_ns: int) -> int | None:
    """The power that was read at a refresh, in mW."""
    place = powers.place(time_ns + span_ns // 4) - 1
    if place < 0 or powers.times[place] < time_ns - span_ns // 4:
        return None
    return powers.readings_mw[place]


def _median(values: Sequence[float]) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
