"""Just what is needed of spectra, in plain Python: an agent has no numpy, and a few milliseconds for it."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=256)
def taper(count: int) -> tuple[float, ...]:
    """A Hann window of sum 1."""
    raw = [0.5 - 0.5 * math.cos(2 * math.pi * (place + 0.5) / count) for place in range(count)]
    total = sum(raw)
    return tuple(each / total for each in raw)


@lru_cache(maxsize=16)
def _twiddles(count: int) -> tuple[complex, ...]:
    return tuple(cmath.exp(-2j * math.pi * place / count) for place in range(count // 2))


def powers(values: Sequence[float], count: int) -> list[float]:
    """The power at multiples of 1 / `count` of the sampling rate, below half of it; `count` is a power of two.

    Values are tapered, their mean taken off, and as many zeros put behind them as are lacking.
    """
    weights = taper(len(values))
    mean = sum(map(lambda value, weight: value * weight, values, weights))
    tapered = [complex((value - mean) * weight) for value, weight in zip(values, weights, strict=True)]
    found = _transformed(tapered + [0j] * (count - len(tapered)))
    return [each.real * each.real + each.imag * each.imag for each in found[: count // 2]]


def _transformed(values: list[complex]) -> list[complex]:
    """Cooley and Tukey's way, radix 2."""
    count = len(values)
    if count == 1:
        return values
    even, odd = _transformed(values[::2]), _transformed(values[1::2])
    turned = [factor * each for factor, each in zip(_twiddles(count), odd, strict=True)]
    return [a + b for a, b in zip(even, turned, strict=True)] + [a - b for a, b in zip(even, turned, strict=True)]


def line(values: Sequence[float], cycles_per_sample: float) -> complex:
    """Amplitude (half of it, as of a cosine) and phase of one frequency, at the middle of the values."""
    weights = taper(len(values))
    mean = sum(map(lambda value, weight: value * weight, values, weights))
    turn = cmath.exp(-2j * math.pi * cycles_per_sample)
    phasor = cmath.exp(2j * math.pi * cycles_per_sample * (len(values) - 1) / 2)
    total = 0j
    for value, weight in zip(values, weights, strict=True):
        total += (value - mean) * weight * phasor
        phasor *= turn
    return total


def line_of(times_s: Sequence[float], values: Sequence[float], frequency_hz: float) -> float:
    """Its amplitude as `line` has it, of values at times of their own."""
    begin_s, span_s = times_s[0], times_s[-1] - times_s[0]
    weights = [0.5 - 0.5 * math.cos(2 * math.pi * (each - begin_s) / span_s) for each in times_s]
    total = sum(weights)
    mean = sum(map(lambda value, weight: value * weight, values, weights)) / total
    found = sum(
        (value - mean) * weight * cmath.exp(-2j * math.pi * frequency_hz * (time_s - begin_s))
        for time_s, value, weight in zip(times_s, values, weights, strict=True)
    )
    return abs(found) / total
