"""Metered square waves: what the plant's sensor makes of the truth, against what the board's own sensor showed.

When the board published is read off its series. Its gain and offset, and how far its clock and the meter's are apart,
are fitted to the first half of a recording; the second half is predicted. Readings are compared one by one, by several
boards that differ by chance alone.
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
from eagent.sim import _maker, model

Array = NDArray[np.float64]
BOARDS = {"A100": ("a100-pcie-40gb", 13.0), "3090": ("rtx-3090", 1.0)}  # its model, the greatest RMS in watts
METER_S = 0.001
SHIFTS_MS = np.arange(-40.0, 40.5, 0.5)  # less than half a period: else readings could be taken for their neighbours
SEEDS = range(1, 6)


@dataclass(frozen=True, slots=True)
class Recording:
    """True watts of each millisecond from time 0, and what was polled when, on the same clock but for a shift."""

    true_w: Array
    polled_ms: Array
    polled_w: Array


@dataclass(frozen=True, slots=True)
class Published:
    """A board's readings, and when they came: `first_ms` and then regularly."""

    watts: Array
    first_ms: float
    period_ms: float


@dataclass(frozen=True, slots=True)
class Board:
    """What a board's sensor makes of the truth; `shift_ms` is how late its clock is against the meter's."""

    shift_ms: float
    gain: float = 1.0
    offset_w: float = 0.0


def read(folder: Path, name: str) -> Recording:
    """One board's recording."""
    truth = data.columns(folder, f"sensor/square_{name}_truth_1ms.csv", "t_ms", "true_w")
    polled_ms, polled_w = np.array(
        data.columns(folder, f"sensor/square_{name}_nvidia_smi.csv", "t_ms", "power_instant_w")
    ).T
    return Recording(np.array([watts for _, watts in truth]), polled_ms, polled_w)


def published(recording: Recording) -> Published:
    """The polls that differ from the one before; they come half a poll late on average."""
    changed = np.flatnonzero(np.diff(recording.polled_w)) + 1
    seen_ms = (recording.polled_ms[changed] + recording.polled_ms[changed - 1]) / 2
    period_ms, first_ms = np.polyfit(np.arange(len(seen_ms)), seen_ms, 1)
    return Published(recording.polled_w[changed], float(first_ms), float(period_ms))


def shown(true_w: Array, there: Published, board: Board, numbers: Mapping[str, Any], seed: int) -> Array:
    """What the plant's sensor shows in place of each of the readings; NaN: not within the truth."""
    first_ms = there.first_ms + board.shift_ms
    early = int(first_ms // there.period_ms)  # whole periods before the first reading that is asked for
    made = {"gain": board.gain, "offset_w": board.offset_w, "phase_s": first_ms % there.period_ms / 1e3, "seed": seed}
    sensor = {**numbers["sensor"], "period_s": there.period_ms / 1e3}
    watts = np.full(len(there.watts), np.nan)
    for time_s, instant_w, _ in _maker.sense({**numbers, "sensor": sensor}, made, true_w.tolist(), METER_S):
        place = round((time_s * 1e3 - made["phase_s"] * 1e3) / there.period_ms) - early
        if 0 <= place < len(watts):
            watts[place] = instant_w
    return watts


def fitted(true_w: Array, there: Published, numbers: Mapping[str, Any]) -> Board:
    """The board that comes nearest to the first half of the readings."""
    best: tuple[float, Board] | None = None
    for shift_ms in SHIFTS_MS.tolist():
        pairs = [np.stack([shown(true_w, there, Board(shift_ms), numbers, seed), there.watts]) for seed in SEEDS]
        here_w, read_w = np.concatenate([first_half(pair) for pair in pairs], axis=1)
        (gain, offset_w), left, *_ = np.polyfit(here_w, read_w, 1, full=True)
        if best is None or left[0] < best[0]:
            best = left[0], Board(shift_ms, float(gain), float(offset_w))
    assert best is not None
    return best[1]


def first_half(pair: Array) -> Array:
    """Of the readings that both have."""
    both = pair[:, ~np.isnan(pair[0])]
    return both[:, : both.shape[1] // 2]


def second_half(pair: Array) -> Array:
    """Likewise."""
    both = pair[:, ~np.isnan(pair[0])]
    return both[:, both.shape[1] // 2 :]


def judge(folder: Path) -> list[Figure]:
    """Figures of this goal."""
    return [_judge(name, read(folder, name)) for name in BOARDS]


def _judge(name: str, recording: Recording) -> Figure:
    stem, goal_w = BOARDS[name]
    numbers = model.load(stem)
    there = published(recording)
    board = fitted(recording.true_w, there, numbers)
    halves = [
        second_half(np.stack([shown(recording.true_w, there, board, numbers, seed), there.watts])) for seed in SEEDS
    ]
    rms_w = [float(np.sqrt(np.mean((here_w - read_w) ** 2))) for here_w, read_w in halves]
    mean_w = float(np.sqrt(np.mean(np.square(rms_w))))
    return Figure(
        f"{name} square waves through the sensor, second half: RMS",
        mean_w,
        "W",
        f"<= {goal_w:g}",
        mean_w <= goal_w,
        {
            "least": min(rms_w),
            "most": max(rms_w),
            "gain": board.gain,
            "offset W": board.offset_w,
            "shift ms": board.shift_ms,
            "readings' swing": float(np.ptp(there.watts)),
        },
    )
