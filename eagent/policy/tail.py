"""What a histogram of latencies says of their tail, always read to the side that does not flatter.

A server counts its latencies in buckets. Where within its bucket a latency lies nobody knows: a quantile is therefore
told as its bucket's upper end, and a goal acts at the greatest bound that is not above it.

What a lower clock would make of the tail is asked of `over`: if each latency took `stretch` times as long, those above
the goal divided by it would be over. Of the bucket in which that lies, a share is taken as if the tail went on to thin
out in it as it did just below it, by a power law; as tails get thinner towards their end than that, the share is rather
too great.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

PERCENT = 0.01  # of the latencies may be above a goal on the 99th percentile
# A minute that would on average be just within its goal is over it every second time. So many standard deviations of
# a count below that, it is over twice in a thousand. It has two goals, and what is seen is not all that comes.
MISSES, SIGMAS = 0.002, 2.88
MANY = 25.0  # events that come together: of more, a count is as good as normal
FEW = 1000  # latencies: of more, one hundred more or less hardly counts
TERMS = 200  # of Poisson's law, far beyond what counts for that many
SLIGHT = 1e-6  # a fall that is none


@dataclass(frozen=True, slots=True)
class Counts:
    """Latencies by bucket: all since a server began, or a difference of two of these, or a sum of such."""

    bounds_s: tuple[float, ...]  # upper, ascending; the last is infinite
    counts: tuple[float, ...]  # of each bucket alone

    @property
    def total(self) -> float:
        """How many there are."""
        return math.fsum(self.counts)

    def quantile_s(self, share: float) -> float | None:
        """What that share of the latencies is at most, by nearest rank; never less than it truly is. None: no counts.

        Infinite where it is beyond the last bound that the server has.
        """
        total = self.total
        if total <= 0:
            return None
        rank, seen = share * total, 0.0
        for bound_s, count in zip(self.bounds_s, self.counts, strict=True):
            seen += count
            if seen >= rank and count:
                return bound_s
        return math.inf

    def over(self, goal_s: float, stretch: float = 1.0, thinning: Sequence[float] = ()) -> float:
        """How many would be above the goal if each took `stretch` times as long; with 1, never less than truly are.

        Args:
            goal_s: It.
            stretch: At least 1.
            thinning: By bucket, as of more latencies of the same buckets. Without, they are spread evenly in each.
        """
        cut_s = acting_goal_s(self.bounds_s, goal_s) / stretch
        bucket = bisect_right(self.bounds_s, cut_s)  # the first whose upper end is above the cut
        if bucket == len(self.bounds_s):
            return 0.0
        lower_s = self.bounds_s[bucket - 1] if bucket else 0.0
        upper_s = self.bounds_s[bucket]
        within = _above(cut_s, lower_s, upper_s, thinning[bucket] if thinning else 0.0)
        return self.counts[bucket] * within + math.fsum(self.counts[bucket + 1 :])

    @property
    def thinning(self) -> tuple[float, ...]:
        """For each bucket the power of the latency with which the tail falls over the one before; 0: can't be told.

        Of few latencies it is told less than it is: one more is added to those above either end.
        """
        above = list(accumulate(reversed(self.counts)))[::-1]
        return tuple(
            _power(above[place - 1], above[place], *self.bounds_s[place - 2 : place]) if place >= 2 else 0.0
            for place in range(len(above))
        )


def _power(before: float, after: float, lower_s: float, upper_s: float) -> float:
    if lower_s <= 0 or not (span := math.log(upper_s) - math.log(lower_s)):
        return 0.0
    return math.log((before + 1) / (after + 1)) / span


def _above(cut_s: float, lower_s: float, upper_s: float, power: float) -> float:
    """The share of a bucket that lies above the cut, in a tail that falls with a power of the latency."""
    if math.isinf(upper_s) or cut_s <= max(lower_s, 0.0):
        return 1.0
    if lower_s <= 0:
        return (upper_s - cut_s) / upper_s
    # Differences of logarithms: a quotient of what somebody else has told may be beyond what a float holds.
    whole, part = (math.log(upper_s) - math.log(each) for each in (lower_s, cut_s))
    if power * whole < SLIGHT:
        return part / whole if whole else 1.0
    return math.exp(power * (part - whole)) * math.expm1(-power * part) / math.expm1(-power * whole)


def acting_goal_s(bounds_s: Sequence[float], goal_s: float) -> float:
    """The greatest bound that is not above the goal; 0: there is none, and nobody can tell whether it is met."""
    place = bisect_right(bounds_s, goal_s)
    return bounds_s[place - 1] if place else 0.0


def since(before: Counts, now: Counts) -> Counts | None:
    """What was counted between two looks; None: the server has begun anew, or counts otherwise."""
    if before.bounds_s != now.bounds_s or any(b > n for b, n in zip(before.counts, now.counts, strict=True)):
        return None
    return Counts(now.bounds_s, tuple(n - b for b, n in zip(before.counts, now.counts, strict=True)))


def summed(parts: Iterable[Counts]) -> Counts | None:
    """All of them together; they must have the same bounds. None: there are none."""
    parts = list(parts)
    if not parts:
        return None
    return Counts(parts[0].bounds_s, tuple(map(math.fsum, zip(*(part.counts for part in parts), strict=True))))


def allowed(total: float) -> int:
    """How many of so many latencies may be above a goal on their p99. None, of less than a hundred."""
    return math.floor(PERCENT * total)


def holds(expected: float, total: float, clump: float) -> bool:
    """Whether a minute with `total` latencies, `expected` of them over the goal, misses it twice in a thousand at most.

    Both are what comes on average. By chance there are more of them over it, and of few latencies one more or less of
    the whole hundreds of which each lets one be over it.

    Args:
        expected: On average.
        total: Likewise.
        clump: How many come over it together, if one does.
    """
    if expected > MANY * clump:
        return expected + SIGMAS * math.sqrt(expected * clump) <= allowed(total)
    if total > FEW:
        return _more_than(math.floor(allowed(total) / clump), expected / clump) <= MISSES
    spread = max(1.0, math.sqrt(total))
    chance = 0.0
    for may in range(allowed(total + 3 * spread) + 1):
        share = _below((may + 1) / PERCENT - total, spread) - _below(may / PERCENT - total, spread)
        chance += share * _more_than(math.floor(may / clump), expected / clump)
    return chance <= MISSES


def _below(distance: float, spread: float) -> float:
    """The chance to be less than that far above what a normal law expects."""
    return 0.5 * math.erfc(-distance / (spread * math.sqrt(2)))


def _more_than(most: int, expected: float) -> float:
    """The chance that more than so many come, of what comes by Poisson's law."""
    term = math.exp(-expected)
    chance = 1.0 - term
    for number in range(1, min(most, TERMS) + 1):
        term *= expected / number
        chance -= term
    return max(0.0, chance)
