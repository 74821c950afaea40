"""What a histogram of latencies says of their tail, always read to the side that does not flatter.

A server counts its latencies in buckets. Where within its bucket a latency lies nobody knows: a quantile is therefore
told as its bucket's upper end, and a goal acts at the greatest bound that is not above it.

What a lower clock would make of the tail is asked of `over`: if each latency took `stretch` times as long, those above
the goal divided by it would be over. Of the bucket in which that lies, a share is taken as if the latencies in it were
spread evenly; as a tail gets thinner towards its end, they are rather at the lower end, and that share is too great.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PERCENT = 0.01  # of the latencies may be above a goal on the 99th percentile
# A minute that would on average be just within its goal is over it every second time. So many standard deviations of
# a count below that, it is over once in a hundred.
SIGMAS = 2.33


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

    def over(self, goal_s: float, stretch: float = 1.0) -> float:
        """How many would be above the goal if each took `stretch` times as long; with 1, never less than truly are."""
        cut_s = acting_goal_s(self.bounds_s, goal_s) / stretch
        bucket = bisect_right(self.bounds_s, cut_s)  # the first whose upper end is above the cut
        if bucket == len(self.bounds_s):
            return 0.0
        lower_s = self.bounds_s[bucket - 1] if bucket else 0.0
        upper_s = self.bounds_s[bucket]
        within = _above(cut_s, lower_s, upper_s)
        return self.counts[bucket] * within + math.fsum(self.counts[bucket + 1 :])


def _above(cut_s: float, lower_s: float, upper_s: float) -> float:
    """The share of a bucket that lies above the cut."""
    if math.isinf(upper_s) or cut_s <= lower_s:
        return 1.0
    if lower_s == 0:
        return (upper_s - cut_s) / upper_s
    return math.log(upper_s / cut_s) / math.log(upper_s / lower_s)


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
    """How many of so many latencies may be above a goal on their p99. One, of less than a hundred: they have none."""
    return max(1, math.floor(PERCENT * total))


def holds(expected: float, total: float, clump: float) -> bool:
    """Whether a stretch of time with `total` latencies, `expected` of them over the goal, is safe to be within it.

    Args:
        expected: On average.
        total: Likewise.
        clump: How many come over it together, if one does.
    """
    return expected + SIGMAS * math.sqrt(expected * clump) <= allowed(total)
