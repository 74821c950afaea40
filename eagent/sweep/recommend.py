"""The setting to use for so much slowdown, and where to look more closely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eagent.sweep.front import Point, front_of, less
from eagent.sweep.setting import Setting, Space

BOUNDS = (0.0, 0.02, 0.05, 0.10)
# Times scatter, so that of two equally fast settings one looks slower: as much as the noise, and no more than this,
# still counts as no slowdown.
NOTHING = 0.005
GAP = 0.03  # ladders get no finer than this share of the highest clock
FINER_MAX = 3  # new settings in a round


@dataclass(frozen=True, slots=True)
class Advice:
    """What to use at a bound. Slowdown, saving and their errors are shares, against the default."""

    bound: float
    point: Point
    slowdown: float
    slowdown_error: float
    saved: float
    saved_error: float
    equals: tuple[
        Setting, ...
    ] = ()  # others on the front within the bound that need as much energy, as far as is known


def advise(points: Sequence[Point], default: Setting, bounds: Sequence[float] = BOUNDS) -> list[Advice]:
    """One for each bound; none if the default has no point.

    Of those on the front within the bound the one that needs the least energy, or of those that need as much as it as
    far as the noise tells, the one that changes least.
    """
    base = next((point for point in points if point.setting == default), None)
    if base is None:
        return []
    return [_advise(front_of(points), base, bound) for bound in bounds]


def slowdown(point: Point, base: Point) -> tuple[float, float]:
    """How much longer a unit takes, and the error of that."""
    return _against(point.time_s / base.time_s, point.time_error, base.time_error, point is base)


def saving(point: Point, base: Point) -> tuple[float, float]:
    """How much less energy a unit takes, and the error of that."""
    change, error = _against(point.energy_j / base.energy_j, point.energy_error, base.energy_error, point is base)
    return 0.0 - change, error


def _against(ratio: float, error: float, base_error: float, same: bool) -> tuple[float, float]:
    return (0.0, 0.0) if same else (ratio - 1, ratio * math.hypot(error, base_error))


def _advise(front: Sequence[Point], base: Point, bound: float) -> Advice:
    most = max(bound, min(NOTHING, base.time_error * math.sqrt(2)))
    within = [point for point in front if point.time_s <= base.time_s * (1 + most)] or [base]
    best = min(within, key=lambda point: (point.energy_j, point.time_s))
    ours = (best.energy_j, best.energy_error)
    equal = [point for point in within if point is best or not less(ours, (point.energy_j, point.energy_error))]
    chosen = min(equal, key=lambda point: (*_surprise(point.setting, base.setting), point.energy_j, point.time_s))
    others = tuple(point.setting for point in equal if point is not chosen)
    return Advice(bound, chosen, *slowdown(chosen, base), *saving(chosen, base), others)


def _surprise(setting: Setting, default: Setting) -> tuple[int, float, float]:
    """How much a setting changes: how many things, then how far the knobs are turned down."""
    words = sum(ours != theirs for ours, theirs in zip(setting.words, default.words, strict=True))
    knobs = sum(value is not None for value in (setting.clock_mhz, setting.cap_w))
    return words + knobs, -(setting.clock_mhz or 0.0), -(setting.cap_w or 0.0)


def finer(points: Sequence[Point], space: Space, highest: float, knob: str = "clock_mhz") -> list[Setting]:
    """Steps of a knob halfway between what is advised and its neighbours, where they lie far enough apart.

    Args:
        points: So far.
        space: What is tried; only with its default words and one knob alone.
        highest: Where the knob is without eagent.
        knob: Of a setting: "clock_mhz" or "cap_w".
    """
    ladders: dict[tuple[tuple[str, str], ...], set[float]] = {}
    for point in points:
        other = point.setting.cap_w if knob == "clock_mhz" else point.setting.clock_mhz
        if other is None:
            ladders.setdefault(point.setting.words, set()).add(getattr(point.setting, knob) or highest)
    found: list[Setting] = []
    for advice in advise(points, space.default):
        chosen = advice.point.setting
        steps = sorted(ladders.get(chosen.words, ()))
        at = getattr(chosen, knob) or highest
        if at not in steps:
            continue
        place = steps.index(at)
        for near in steps[max(0, place - 1) : place] + steps[place + 1 : place + 2]:
            if abs(near - at) > 2 * GAP * highest:
                middle: dict[str, float] = {knob: round((near + at) / 2)}
                new = replace(Setting(words=chosen.words), **middle)  # type: ignore[arg-type]
                found += [new] if new not in found else []
    return found[:FINER_MAX]
