"""Recordings of sensors and meters: here made by the plant's own sensor, or by a formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.calibrate import square, step
from eagent.sim import _maker, model

NUMBERS = model.load("a100-pcie-40gb")
POLL_MS = 13.0


def recording(gain: float, offset_w: float, late_ms: float) -> square.Recording:
    """Ten seconds of a wave of 50 ms, as a board of this kind shows it whose clock is late."""
    true_w = np.where(np.arange(10_000) % 97 < 50, 190.0, 60.0)
    board = {"gain": gain, "offset_w": offset_w, "phase_s": 0.03, "seed": 9}
    shown = _maker.sense(NUMBERS, board, true_w.tolist(), 0.001)
    at_ms = np.array([time_s * 1e3 for time_s, _, _ in shown])
    asked_ms = np.arange(at_ms[0] + 1, 10_000, POLL_MS)
    watts = np.array([instant_w for _, instant_w, _ in shown])[np.searchsorted(at_ms, asked_ms, side="right") - 1]
    return square.Recording(true_w, asked_ms - late_ms, watts)


def rms_w(made: square.Recording, board: square.Board) -> float:
    """Over the second half of the readings."""
    there = square.published(made)
    halves = [
        square.second_half(np.stack([square.shown(made.true_w, there, board, NUMBERS, seed), there.watts]))
        for seed in square.SEEDS
    ]
    return float(np.sqrt(np.mean([np.mean((here_w - read_w) ** 2) for here_w, read_w in halves])))


@pytest.mark.parametrize("late_ms", [-20.0, 0.0, 25.0])
def test_a_board_is_found_again_from_half_of_what_it_showed(late_ms: float) -> None:
    made = recording(0.95, -1.5, late_ms)
    there = square.published(made)
    found = square.fitted(made.true_w, there, NUMBERS)
    assert there.period_ms == pytest.approx(101.25, abs=0.1)
    assert found.shift_ms == pytest.approx(late_ms, abs=4)
    assert found.gain == pytest.approx(0.95, abs=0.05)
    assert rms_w(made, found) < 8


def test_a_board_whose_clock_is_taken_for_another_one_is_told_by_its_rms() -> None:
    made = recording(0.95, -1.5, 0.0)
    found = square.fitted(made.true_w, square.published(made), NUMBERS)
    wrong = square.Board(found.shift_ms + 30, found.gain, found.offset_w)
    assert rms_w(made, wrong) > 4 * rms_w(made, found)


def test_each_reading_is_set_against_its_own() -> None:
    made = recording(1.0, 0.0, 0.0)
    there = square.published(made)
    shown = square.shown(made.true_w, there, square.Board(0.0), NUMBERS, seed=9)
    assert np.isnan(shown).sum() <= 2  # at the ends, where the window leaves the truth
    assert np.nanmedian(np.abs(shown - there.watts)) < 4
    moved = np.roll(shown, 1)
    assert np.nanmedian(np.abs(moved - there.watts)) > 4


def test_a_first_order_rise_takes_ln_9_of_its_time_constants() -> None:
    times_ms = np.arange(-200.0, 600.0, 0.5)
    watts = np.where(times_ms < 0, 60.0, 60.0 + 130.0 * (1 - np.exp(-np.maximum(times_ms, 0) / 40.0)))
    assert step.rise_ms((times_ms + 1000).tolist(), watts.tolist(), 1000.0) == pytest.approx(40 * math.log(9), rel=0.02)


@pytest.mark.parametrize("rise_s", [0.0, 0.002, 0.05, 0.15])
def test_the_plant_rises_as_its_model_says(rise_s: float) -> None:
    cool = {**NUMBERS, "power": {**NUMBERS["power"], "rise_s": rise_s, "leak_w_per_k": 0.0}}
    assert step.plant_ms(cool) == pytest.approx(rise_s * 1e3, rel=0.05, abs=0.2)
