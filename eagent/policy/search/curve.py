"""What is known of one phase of a job: how fast it goes and what it draws at each setting tried, and between them.

The physics of it: of the time that work takes, a share beta follows the clock, T = T0 (1 + beta (top/f - 1)), and
power is convex in the clock, P = P0 (1 - a (1 - y) - b (1 - y^3)) with y = f/top and a, b >= 0. The same forms
serve for power limits, which bend the curves elsewhere: so nothing is believed far from where it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from eagent.policy.search.trial import Block, Noise

RATE_NOISE, POWER_NOISE = Noise(3 * 0.02**2), Noise(3 * 0.03**2)
BETA, BETA_ERROR = 0.6, 0.5  # before anything is measured: anything from 0 to 1
LINEAR, CUBIC, SHAPE_ERROR = 0.2, 0.4, 0.3  # likewise a and b
MODEL_ERROR = 0.1  # of a slowdown that the form tells
KEPT_S = 1800.0  # of work at one setting; what is older fades
POWER_KEPT_S = 120.0  # of power: boards get warm, and then draw more
DISAGREE = 2.0  # standard errors: a measure so far above the form is believed alone
IDLE = 0.02  # of time and of power: so little is no change
BEND = 0.015  # a slowdown so far above the form's: below that setting something else holds the work up


@dataclass(frozen=True, slots=True)
class Point:
    """All blocks at one setting."""

    setting: float
    blocks: int = 0
    seconds: float = 0.0
    units: float = 0.0
    energy_s: float = 0.0
    joules: float = 0.0

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / self.seconds

    @property
    def power_w(self) -> float:
        """Mean watts."""
        return self.joules / self.energy_s

    def add(self, block: Block) -> Point:
        """With one more block."""
        fade = min(1.0, KEPT_S / (self.seconds + block.seconds))
        cool = min(1.0, POWER_KEPT_S / (self.energy_s + block.energy_s))
        return Point(
            self.setting,
            self.blocks + 1,
            fade * (self.seconds + block.seconds),
            fade * (self.units + block.units),
            cool * (self.energy_s + block.energy_s),
            cool * (self.joules + block.joules),
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """What the forms make of the points; shares of what is at the top."""

    top: float  # or the lowest setting that changed nothing, where a board's power limit holds it down anyway
    beta: float = BETA
    beta_error: float = BETA_ERROR
    linear: float = LINEAR
    cubic: float = CUBIC
    floor: float = 0.0  # somewhere below, something else than the clock was seen to hold the work up ...
    bent: float = 0.0  # ... here at the latest

    def slowdown(self, setting: float) -> tuple[float, float]:
        """How much longer work takes, and the error of that."""
        stretch = max(0.0, self.top / setting - 1)
        longer = self.beta * stretch
        return longer, math.hypot(self.beta_error * stretch, MODEL_ERROR * longer)

    def power(self, setting: float) -> float:
        """Watts as a share."""
        y = min(1.0, setting / self.top)
        return max(0.05, 1 - self.linear * (1 - y) - self.cubic * (1 - y**3))


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one phase; the one at the top setting, with no ceiling of ours, is the measure of all others."""

    top: float
    points: tuple[Point, ...] = ()  # ascending by setting
    rate_noise: Noise = field(default=RATE_NOISE)
    power_noise: Noise = field(default=POWER_NOISE)

    def at(self, setting: float) -> Point | None:
        """What was measured at a setting."""
        for point in self.points:
            if point.setting == setting:
                return point
        return None

    @property
    def base(self) -> Point | None:
        """What was measured at the top."""
        return self.points[-1] if self.points and self.points[-1].setting == self.top else None

    @property
    def base_error(self) -> float:
        """The standard error of the rate at the top, as a share; infinite: not measured."""
        base = self.base
        return math.inf if base is None else self.rate_noise.over(base.seconds)

    @property
    def lowest(self) -> float:
        """The lowest setting that was measured; the top if none was."""
        return self.points[0].setting if self.points else self.top

    def add(self, setting: float, block: Block) -> Curve:
        """With one more block at a setting."""
        point = self.at(setting)
        rate_noise, power_noise = self.rate_noise, self.power_noise
        if point is not None:
            even = point.blocks / (point.blocks + 1)  # the mean it is compared with has noise of its own
            rate_noise = rate_noise.add((block.rate / point.rate - 1) * math.sqrt(even), block.seconds)
            power_noise = power_noise.add((block.power_w / point.power_w - 1) * math.sqrt(even), block.energy_s)
        added = (point or Point(setting)).add(block)
        others = [each for each in self.points if each.setting != setting]
        points = tuple(sorted([*others, added], key=lambda each: each.setting))
        return replace(self, points=points, rate_noise=rate_noise, power_noise=power_noise)

    def measured(self, point: Point) -> tuple[float, float]:
        """The slowdown that was measured at a point, and its error."""
        base = self.base
        assert base is not None
        error = math.hypot(self.rate_noise.over(base.seconds), self.rate_noise.over(point.seconds))
        return base.rate / point.rate - 1, error

    def is_idle(self, point: Point) -> bool:
        """Whether a setting changed nothing: a board at its power limit goes slower than that by itself."""
        base = self.base
        if base is None or not point.units:
            return False
        longer, error = self.measured(point)
        return abs(longer) <= max(IDLE, 2 * error) and abs(point.power_w / base.power_w - 1) <= IDLE

    def slowdown(self, setting: float, fit: Fit) -> tuple[float, float]:
        """How much longer work takes at a setting and the error of that: by form, and by measure where there is one."""
        if setting == self.top:
            return 0.0, 0.0
        by_form = fit.slowdown(setting)
        point = self.at(setting)
        if point is None or self.base is None:
            return by_form
        by_measure = self.measured(point)
        if by_measure[0] - by_form[0] > DISAGREE * math.hypot(by_form[1], by_measure[1]):
            return by_measure
        weights = [1 / max(error, 1e-6) ** 2 for _, error in (by_form, by_measure)]
        mean = (weights[0] * by_form[0] + weights[1] * by_measure[0]) / sum(weights)
        return mean, 1 / math.sqrt(sum(weights))

    def energy(self, setting: float, fit: Fit) -> float:
        """Energy for each unit as a share of that at the top: what is to be small."""
        return fit.power(setting) * (1 + self.slowdown(setting, fit)[0])

    def fit(self) -> Fit:
        """The forms, fitted to all points but those below a bend."""
        if self.base is None:
            return Fit(self.top)
        others = [point for point in reversed(self.points) if point.setting != self.top and point.units > 0]
        idle = list(takewhile(self.is_idle, others))
        top, others = (idle[-1].setting, others[len(idle) :]) if idle else (self.top, others)
        fit, floor, bent = Fit(top), 0.0, 0.0
        weight, total = 1 / BETA_ERROR**2, BETA / BETA_ERROR**2
        for place, point in enumerate(others):
            stretch = top / point.setting - 1
            longer, error = self.measured(point)
            if place:
                by_form, form_error = fit.slowdown(point.setting)
                if longer > by_form + BEND + 3 * math.hypot(form_error, error):
                    others, floor, bent = others[:place], others[place - 1].setting, point.setting
                    break
            weight += (stretch / error) ** 2
            total += stretch * longer / error**2
            fit = Fit(top, min(max(total / weight, 0.0), 1.5), 1 / math.sqrt(weight))
        linear, cubic = self._power(others, top) if others else (LINEAR, CUBIC)
        return Fit(top, fit.beta, fit.beta_error, linear, cubic, floor, bent)

    def _power(self, others: Sequence[Point], top: float) -> tuple[float, float]:
        """Least squares of two numbers, neither below 0, held loosely by what is usual."""
        base = self.base
        assert base is not None
        base_error = self.power_noise.over(base.energy_s)
        hold = 1 / SHAPE_ERROR**2
        aa, ab, bb, a_sum, b_sum = hold, 0.0, hold, hold * LINEAR, hold * CUBIC
        for point in others:
            y = point.setting / top
            error = math.hypot(self.power_noise.over(point.energy_s), base_error) + 0.003
            a, b, less = 1 - y, 1 - y**3, 1 - point.power_w / base.power_w
            weight = 1 / error**2
            aa, ab, bb = aa + weight * a * a, ab + weight * a * b, bb + weight * b * b
            a_sum, b_sum = a_sum + weight * a * less, b_sum + weight * b * less
        slope = aa * bb - ab * ab
        linear, cubic = (a_sum * bb - b_sum * ab) / slope, (b_sum * aa - a_sum * ab) / slope
        if linear < 0:
            return 0.0, max(0.0, b_sum / bb)
        if cubic < 0:
            return max(0.0, a_sum / aa), 0.0
        return linear, cubic
