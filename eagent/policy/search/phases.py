"""Tells when a job has changed what it does, and whether it does what it did before.

At one setting neither the rate nor the power of a phase moves by more than its noise. A block far off, or two in a row
off to the same side, are another phase: training has become evaluation, or a server has more to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eagent.policy.search.curve import Curve, Point
from eagent.policy.search.trial import Block

ODD, SURE = 5.0, 9.0  # standard errors of one block
ODD_LEAST, SURE_LEAST = 0.06, 0.2  # shares: less is no other phase, however quiet the job
NEW_LEAST = 0.2  # likewise at a setting that was not measured, where the forms may be off
SLOWEST = 0.9  # of the rate at which all of the work follows the setting: slower is another phase
SAME_RATE, SAME_POWER = 0.05, 0.08  # a phase is one of before if it is so near at the top


def oddness(curve: Curve, setting: float, block: Block) -> tuple[int, bool]:
    """How far a block is from a phase: -1, 0 or 1 for the side it is off to, and whether that alone is enough."""
    point = curve.at(setting)
    if point is None or point.blocks < 1 or not point.units:
        return _new(curve, setting, block)
    side, sure = 0, False
    for seen, known, noise, seconds, known_s in (
        (block.rate, point.rate, curve.rate_noise, block.seconds, point.seconds),
        (block.power_w, point.power_w, curve.power_noise, block.energy_s, point.energy_s),
    ):
        off, error = seen / known - 1, noise.over(seconds) + noise.over(known_s)
        if abs(off) > max(ODD_LEAST, ODD * error):
            side = side or (1 if off > 0 else -1)
            sure = sure or abs(off) > max(SURE_LEAST, SURE * error)
    return side, sure


def _new(curve: Curve, setting: float, block: Block) -> tuple[int, bool]:
    if curve.base is None:
        return 0, False
    error = ODD * curve.rate_noise.over(block.seconds)
    pace, y = block.rate / curve.base.rate, setting / curve.top
    if pace < SLOWEST * y - error or pace > 1 + max(ODD_LEAST, error):
        return (-1 if pace < 1 else 1), pace < SLOWEST * y - 2 * error
    off = block.power_w / curve.base.power_w / curve.fit().power(setting) - 1
    if abs(off) > max(NEW_LEAST, ODD * curve.power_noise.over(block.energy_s)):
        return (1 if off > 0 else -1), False
    return 0, False


def match(curves: Sequence[Curve], base: Point) -> int | None:
    """Which of some phases is that which was just measured at the top; the nearest, None: none."""
    best, best_off = None, 1.0
    for place, curve in enumerate(curves):
        known = curve.base
        if known is None:
            continue
        rate = abs(base.rate / known.rate - 1) / max(SAME_RATE, 3 * curve.rate_noise.over(base.seconds))
        power = abs(base.power_w / known.power_w - 1) / max(SAME_POWER, 3 * curve.power_noise.over(base.energy_s))
        if max(rate, power) < best_off:
            best, best_off = place, max(rate, power)
    return best


def rescaled(curve: Curve, base: Point) -> Curve:
    """A curve of another run, with what this run measured at the top in the place of what that one did."""
    assert curve.base is not None
    rate, power = base.rate / curve.base.rate, base.power_w / curve.base.power_w
    points = tuple(
        base if point.setting == curve.top else replace(point, units=point.units * rate, joules=point.joules * power)
        for point in curve.points
    )
    return replace(curve, points=points)
