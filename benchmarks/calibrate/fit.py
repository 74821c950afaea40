"""Least squares for many small problems of one shape at once, since the plant runs many loads at once.

Levenberg and Marquardt's method with differences for derivatives, kept within bounds. It only chooses parameters: how
good they are is judged elsewhere, on the plant and on runs that were not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# (which problem, its parameters), a row for each try -> its residuals, a row for each
Residuals = Callable[[NDArray[np.int64], Array], Array]

DIFFERENCE = 0.01  # of a parameter's range
ROUNDS = 25


def fit(residuals: Residuals, start: Array, low: Array, high: Array, rounds: int = ROUNDS) -> Array:
    """The parameters, a row for each problem, that make each one's sum of squares small.

    Args:
        residuals: Given any number of tries, what is left of each.
        start: A row for each problem.
        low: Of each parameter, the same for all problems.
        high: Likewise.
        rounds: How often all problems are tried again.
    """
    problems, span = np.arange(len(start)), high - low
    best = np.clip(start, low, high)
    left = residuals(problems, best)
    damping = np.full(len(best), 1e-2)
    for _ in range(rounds):
        slopes = _slopes(residuals, problems, best, left, high, span)
        step = _steps(slopes, left, damping)
        tried = np.clip(best + step * span, low, high)
        after = residuals(problems, tried)
        better = np.sum(after**2, axis=1) < np.sum(left**2, axis=1)
        best[better], left[better] = tried[better], after[better]
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-6, 1e6)
    return best


def _slopes(
    residuals: Residuals, problems: NDArray[np.int64], at: Array, left: Array, high: Array, span: Array
) -> Array:
    """Derivatives by the parameters as shares of their range: problem, residual, parameter."""
    count, parameters = at.shape
    tries = np.repeat(at[:, None, :], parameters, axis=1)
    for i in range(parameters):
        inward = np.where(at[:, i] + DIFFERENCE * span[i] > high[i], -1.0, 1.0)
        tries[:, i, i] += inward * DIFFERENCE * span[i]
    moved = (tries - at[:, None, :])[:, range(parameters), range(parameters)] / span
    found = residuals(np.repeat(problems, parameters), tries.reshape(-1, parameters))
    change = found.reshape(count, parameters, -1) - left[:, None, :]
    return np.swapaxes(change / moved[:, :, None], 1, 2)


def _steps(slopes: Array, left: Array, damping: Array) -> Array:
    normal = np.swapaxes(slopes, 1, 2) @ slopes
    size = np.trace(normal, axis1=1, axis2=2) / normal.shape[1]
    ridge = (damping * (size + 1e-12))[:, None, None] * np.eye(normal.shape[1])
    downhill = -np.swapaxes(slopes, 1, 2) @ left[:, :, None]
    return np.linalg.solve(normal + ridge, downhill)[:, :, 0]
