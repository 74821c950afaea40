"""Metered square waves: what the plant's sensor makes of the truth, against what the board's own sensor showed.

When the board published is read off its series. Its gain and offset, and how far its clock and the meter's are apart,
are fitted to the first half of a recording; the second half is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibrate import data
from benchmarks.figures import Figure
from eagent.sim import _plant, model

Array = NDArray[np.float64]
BOARDS = {"A100": ("a100-pcie-40gb", 13.0), "3090": ("rtx-3090", 1.0)}  # its model, the greatest RMS in watts
METER_S = 0.001
SHIFTS_MS = np.arange(-60.0, 60.5, 0.5)
SEED = 1


@dataclass(frozen=True, slots=True)
class Recording:
    """True watts of each millisecond from time 0, and what was read when, on the same clock but for a shift."""

    true_w: Array
    read_ms: Array
    read_w: Array


@dataclass(frozen=True, slots=True)
class Board:
    """One board's sensor: when it publishes on the readings' clock, and what of the truth."""

    period_ms: float
    first_ms: float
    shift_ms: float = 0.0  # of the readings' clock against the meter's
    gain: float = 1.0
    offset_w: float = 0.0


def read(folder: Path, name: str) -> Recording:
    """One board's recording."""
    truth = data.columns(folder, f"sensor/square_{name}_truth_1ms.csv", "t_ms", "true_w")
    readings = data.columns(folder, f"sensor/square_{name}_nvidia_smi.csv", "t_ms", "power_instant_w")
    read_ms, read_w = np.array(readings).T
    return Recording(np.array([watts for _, watts in truth]), read_ms, read_w)


def publishing(recording: Recording, period_ms: float) -> Board:
    """When the board published, from the readings that differ from the one before; half a poll late on average."""
    changed = np.flatnonzero(np.diff(recording.read_w)) + 1
    seen_ms = (recording.read_ms[changed] + recording.read_ms[changed - 1]) / 2
    number = np.round((seen_ms - seen_ms[0]) / period_ms)
    slope, start = np.polyfit(number, seen_ms, 1)
    return Board(float(slope), float(start))


def shown(recording: Recording, board: Board, numbers: Mapping[str, Any]) -> tuple[Array, Array]:
    """(which readings lie within the truth, what the plant's sensor would have shown at each of them)."""
    sensor = {**numbers["sensor"], "period_s": board.period_ms / 1e3}
    phase_s = (board.first_ms + board.shift_ms) % board.period_ms / 1e3
    made = {"gain": board.gain, "offset_w": board.offset_w, "phase_s": phase_s, "seed": SEED}
    published = _plant.sense({**numbers, "sensor": sensor}, made, recording.true_w.tolist(), METER_S)
    at_ms = np.array([time_s * 1e3 for time_s, _, _ in published])
    watts = np.array([instant_w for _, instant_w, _ in published])
    asked_ms = recording.read_ms + board.shift_ms
    last = np.searchsorted(at_ms, asked_ms, side="right") - 1
    within = np.flatnonzero((last >= 0) & (asked_ms <= len(recording.true_w) * METER_S * 1e3))
    return within, watts[last[within]]


def fitted(recording: Recording, numbers: Mapping[str, Any]) -> Board:
    """The board that comes nearest to the readings of the first half."""
    clock = publishing(recording, numbers["sensor"]["period_s"] * 1e3)
    best: tuple[float, Board] | None = None
    for shift_ms in SHIFTS_MS:
        board = Board(clock.period_ms, clock.first_ms, float(shift_ms))
        within, watts = shown(recording, board, numbers)
        half = len(within) // 2
        (gain, offset_w), left, *_ = np.polyfit(watts[:half], recording.read_w[within[:half]], 1, full=True)
        if best is None or left[0] < best[0]:
            best = left[0], Board(clock.period_ms, clock.first_ms, float(shift_ms), float(gain), float(offset_w))
    assert best is not None
    return best[1]


def judge(folder: Path) -> list[Figure]:
    """Figures of this goal."""
    return [_judge(name, read(folder, name)) for name in BOARDS]


def _judge(name: str, recording: Recording) -> Figure:
    stem, goal_w = BOARDS[name]
    numbers = model.load(stem)
    board = fitted(recording, numbers)
    within, watts = shown(recording, board, numbers)
    error_w = (watts - recording.read_w[within])[len(within) // 2 :]
    rms_w = float(np.sqrt(np.mean(error_w**2)))
    found = {"bias": float(np.mean(error_w)), "gain": board.gain, "offset W": board.offset_w}
    swing_w = float(np.ptp(recording.read_w))
    return Figure(
        f"{name} square waves through the sensor, second half: RMS",
        rms_w,
        "W",
        f"<= {goal_w:g}",
        rms_w <= goal_w,
        {**found, "shift ms": board.shift_ms, "readings' swing": swing_w},
    )
