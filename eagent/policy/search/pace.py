"""How fast a job goes with so many watts: what its curve says of that, whatever the setting that leads to them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from eagent.policy.search.curve import Curve
from eagent.policy.search.searcher import STEP

SURE = 0.2  # the standard error of beta: with more it is not known how a job's pace follows its clock
LEAST, STEPS = 0.3, 35  # of the top: how far down the form is looked at, and how finely


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of a job, as a share of its full one, by the watts of each of its GPUs.

    Concave, whatever was measured: each watt more buys no more than the one before. So what is best by gains of single
    watts is best in all.
    """

    knots: tuple[tuple[float, float], ...]  # watts and pace, ascending from 0 to where more watts buy nothing
    known_w: float  # with fewer watts nothing was measured, nor near there
    full_w: float  # what it draws at full clock

    def at(self, power_w: float) -> float:
        """The pace with so many watts."""
        place = bisect_right(self.knots, power_w, key=lambda knot: knot[0])
        if place == len(self.knots):
            return self.knots[-1][1]
        (low_w, low), (high_w, high) = self.knots[place - 1], self.knots[place]
        return low + (power_w - low_w) * (high - low) / (high_w - low_w)

    def power_w(self, pace: float) -> float:
        """The fewest watts with which it is so fast; if it never is, those with which it is fastest."""
        for (low_w, low), (high_w, high) in pairwise(self.knots):
            if pace <= high:
                return low_w + (pace - low) * (high_w - low_w) / (high - low)
        return self.knots[-1][0]


@lru_cache(maxsize=64)  # of a curve that has not changed it is asked at every turn
def pace_of(curve: Curve, gpus: int) -> Pace | None:
    """What a curve says of watts; None: too little was measured to tell. Its own watts are those of all `gpus`."""
    base, fit = curve.base, curve.fit()
    if base is None or not base.units or len(curve.points) < 2 or fit.beta_error > SURE:
        return None
    looked_at = {curve.top * (1 - (1 - LEAST) * step / STEPS) for step in range(STEPS + 1)}
    full_w = base.power_w / gpus
    points = (
        (full_w * fit.power(setting), 1 / (1 + max(0.0, curve.slowdown(setting, fit)[0])))
        for setting in looked_at | {point.setting for point in curve.points if point.units}
    )
    return Pace(_concave(points), full_w * fit.power(max(fit.floor, STEP * curve.lowest)), full_w)


def _concave(points: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The upper hull of some points and of nothing, as far as it rises."""
    hull = [(0.0, 0.0)]
    for watts, pace in sorted(points, key=lambda point: (point[0], -point[1])):
        if pace <= hull[-1][1] or watts <= hull[-1][0]:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-2], (watts, pace)):
            hull.pop()
        hull.append((watts, pace))
    return tuple(hull)


def _slope(low: tuple[float, float], high: tuple[float, float]) -> float:
    return (high[1] - low[1]) / (high[0] - low[0])


@dataclass(frozen=True, slots=True)
class JobPace:
    """A job whose pace is known by its watts."""

    job: str
    run: str  # tells it from other runs of the same job
    uuids: frozenset[str]  # of its GPUs, which all get the same
    pace: Pace
