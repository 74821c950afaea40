"""Loads on the plant that behave as measured ones did: fitted to some observations, and set against others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.calibrate.fit import Array, fit
from benchmarks.calibrate.rig import Load, Rig, Seen, Setting
from benchmarks.figures import Figure


@dataclass(frozen=True, slots=True)
class Observed:
    """One measured run of a load: what was set, the mean power, and how long the work took."""

    setting: Setting
    power_w: float
    time_s: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """What stands for a measured load on the plant, and how long its work takes at full clock."""

    load: Load
    time_s: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What is fitted of a load: `load` makes one of all parameters but the last, which is its time at full clock.

    The time is in shares of the shortest that was observed.
    """

    load: Callable[[Array], Load]
    start: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Error:
    """How far the plant is from one observation, in percent of what was observed."""

    power_pct: float
    time_pct: float

    @property
    def energy_pct(self) -> float:
        """What follows from both."""
        return 100 * ((1 + self.power_pct / 100) * (1 + self.time_pct / 100) - 1)


def fitted(rig: Rig, groups: Sequence[Sequence[Observed]], shape: Shape) -> list[Fitted]:
    """For each group of observations of one load, what comes nearest to them on the plant."""
    fastest = [min(one.time_s for one in group) for group in groups]
    widest = 2 * max(map(len, groups))

    def made(group: int, row: Array) -> Fitted:
        return Fitted(shape.load(row), float(row[-1]) * fastest[group])

    def residuals(which: np.ndarray, rows: Array) -> Array:
        pairs = [(groups[group], made(group, row)) for group, row in zip(which, rows, strict=True)]
        left = np.zeros((len(rows), widest))
        for row, found in zip(left, errors(rig, [group for group, _ in pairs], [one for _, one in pairs]), strict=True):
            row[: 2 * len(found)] = [part for error in found for part in (error.power_pct, error.time_pct)]
        return left

    best = fit(residuals, np.tile(shape.start, (len(groups), 1)), np.array(shape.low), np.array(shape.high))
    return [made(group, row) for group, row in enumerate(best)]


def errors(rig: Rig, groups: Sequence[Sequence[Observed]], loads: Sequence[Fitted]) -> list[list[Error]]:
    """The plant's errors, for each group its own load's, in order."""
    asked = [(one.load, observed.setting) for group, one in zip(groups, loads, strict=True) for observed in group]
    seen = iter(rig.measure(asked))
    return [[_error(observed, one, next(seen)) for observed in group] for group, one in zip(groups, loads, strict=True)]


def _error(observed: Observed, one: Fitted, seen: Seen) -> Error:
    time_s = one.time_s / seen.pace
    return Error(100 * (seen.power_w / observed.power_w - 1), 100 * (time_s / observed.time_s - 1))


def median(name: str, signed_pct: Sequence[float], goal_pct: float | None = None) -> Figure:
    """The figure of some errors: the median of their sizes."""
    sizes = np.abs(signed_pct)
    middle = float(np.median(sizes))
    rest = {"mean": float(np.mean(sizes)), "p90": float(np.quantile(sizes, 0.9)), "bias": float(np.median(signed_pct))}
    goal = "" if goal_pct is None else f"<= {goal_pct:g}"
    return Figure(name, middle, "%", goal, None if goal_pct is None else middle <= goal_pct, rest)
