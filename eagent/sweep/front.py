"""From runs to points with errors, and which of them nobody beats. Errors are half widths of 95 %, as shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eagent.sweep.run import Run
from eagent.sweep.setting import Setting

# Student's t, 97.5 %, by degrees of freedom from 1; beyond, the last but one, then the normal's.
T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120)
T_LATER = ((30, 2.12), (60, 2.05), (math.inf, 2.0))


@dataclass(frozen=True, slots=True)
class Point:
    """The mean of a setting's runs, for one unit. An error is infinite where no two runs tell the noise."""

    setting: Setting
    runs: int
    time_s: float
    time_error: float
    energy_j: float
    energy_error: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the default moved from its first run to its last, as shares of the first."""

    time: float
    energy: float


def points_of(runs: Iterable[Run]) -> list[Point]:
    """One for each setting with a run that counts. The noise is that of all settings together.

    The spread of repeats holds what the sensor errs from run to run; where it is smaller than what the windows' own
    error says, by luck, that stands.
    """
    by_setting: dict[Setting, list[Run]] = {}
    for run in runs:
        if run.time_s and run.joules:
            by_setting.setdefault(run.setting, []).append(run)
    groups = list(by_setting.values())
    time_noise = _noise([[run.time_s or 0.0 for run in group] for group in groups])
    energy_noise = _noise([[run.joules or 0.0 for run in group] for group in groups])
    points = []
    for setting, group in by_setting.items():
        count = len(group)
        measured = math.fsum(run.half_width_j / (run.energy_j or 1.0) for run in group) / count
        points.append(
            Point(
                setting,
                count,
                math.fsum(run.time_s or 0.0 for run in group) / count,
                time_noise / math.sqrt(count),
                math.fsum(run.joules or 0.0 for run in group) / count,
                max(energy_noise, measured) / math.sqrt(count),
            )
        )
    return points


def _noise(groups: Sequence[Sequence[float]]) -> float:
    """The half width of a single run, as a share: what repeats of the same setting differ by."""
    squares, freedom = 0.0, 0
    for values in groups:
        mean = math.fsum(values) / len(values)
        squares += math.fsum((value / mean - 1) ** 2 for value in values)
        freedom += len(values) - 1
    if not freedom:
        return math.inf
    t = T[freedom - 1] if freedom <= len(T) else next(value for most, value in T_LATER if freedom <= most)
    return t * math.sqrt(squares / freedom)


def drift_of(runs: Iterable[Run], default: Setting) -> Drift | None:
    """None where the default did not run twice."""
    own = [run for run in runs if run.setting == default and run.time_s and run.joules]
    if len(own) < 2:
        return None
    first, last = own[0], own[-1]
    return Drift((last.time_s or 0.0) / (first.time_s or 1.0) - 1, (last.joules or 0.0) / (first.joules or 1.0) - 1)


def less(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether the first of two values with errors, as shares, is less, and not just by chance."""
    (value, error), (beyond, its_error) = one, other
    return beyond - value > math.hypot(value * error, beyond * its_error)


def beats(one: Point, other: Point) -> bool:
    """Whether one is better in time or energy, surely, and no worse in the other."""
    faster = less((one.time_s, one.time_error), (other.time_s, other.time_error))
    thriftier = less((one.energy_j, one.energy_error), (other.energy_j, other.energy_error))
    return (faster and one.energy_j <= other.energy_j) or (thriftier and one.time_s <= other.time_s)


def front_of(points: Sequence[Point]) -> list[Point]:
    """Those that nobody beats, the fastest first."""
    unbeaten = [point for point in points if not any(beats(other, point) for other in points)]
    return sorted(unbeaten, key=lambda point: (point.time_s, point.energy_j))
