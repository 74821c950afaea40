"""Many small least-squares problems at once."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calibrate.fit import Array, fit

X = np.linspace(0.0, 3.0, 12)
LOW, HIGH = np.array([0.0, 0.1]), np.array([5.0, 4.0])


def decays(rows: Array) -> Array:
    """A row of a * exp(-b * x) for each (a, b)."""
    return rows[:, :1] * np.exp(-rows[:, 1:] * X)


def test_each_problem_finds_its_own_parameters() -> None:
    truth = np.random.default_rng(1).uniform(LOW + 0.2, HIGH - 0.2, size=(30, 2))
    measured = decays(truth)
    found = fit(lambda which, rows: decays(rows) - measured[which], np.tile([2.0, 1.0], (30, 1)), LOW, HIGH)
    assert found == pytest.approx(truth, abs=1e-3)


def test_what_lies_beyond_a_bound_ends_at_it() -> None:
    measured = decays(np.array([[7.0, 1.0]]))
    found = fit(lambda which, rows: decays(rows) - measured[which], np.array([[2.0, 1.0]]), LOW, HIGH)
    assert found[0, 0] == HIGH[0]
    assert LOW[1] < found[0, 1] < 1.0  # the other makes up for it


def test_a_parameter_that_changes_nothing_stays_and_spoils_nothing() -> None:
    measured = np.array([[3.0, 3.0]])

    def residuals(which: np.ndarray, rows: Array) -> Array:
        return np.tile(rows[:, :1], (1, 2)) - measured[which]

    found = fit(residuals, np.array([[1.0, 2.0]]), LOW, HIGH)
    assert found[0] == pytest.approx([3.0, 2.0], abs=1e-6)


def test_no_try_is_out_of_bounds() -> None:
    def residuals(_which: np.ndarray, rows: Array) -> Array:
        assert ((rows >= LOW) & (rows <= HIGH)).all()
        return rows - 10.0

    assert fit(residuals, np.array([[9.0, -9.0]]), LOW, HIGH)[0] == pytest.approx(HIGH)
