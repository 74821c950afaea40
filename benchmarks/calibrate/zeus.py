"""Training jobs on a V100 and an A40 under power limits: each is fitted at two limits, and predicted at the others.

Two points fix three numbers: how active a job is, what share of its time follows the clock, and how long it takes at
full clock. That the memory is the busier the less a job's time follows the clock is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.calibrate import data
from benchmarks.calibrate.loads import Observed, Shape, errors, fitted, median
from benchmarks.calibrate.rig import Load, Rig, Setting
from benchmarks.figures import Figure
from eagent.sim import model

BOARDS = {"V100": ("v100-pcie-16gb", "zeus/summary_power_v100.csv"), "A40": ("a40", "zeus/summary_power_a40.csv")}
TIME_GOAL_PCT, ENERGY_GOAL_PCT = 5.0, 8.0

SHAPE = Shape(
    lambda row: Load(float(row[0]), float(row[0] * (1 - row[1])), float(row[1])),  # activity, beta
    start=(0.4, 0.6, 1.0),
    low=(0.0, 0.0, 0.7),
    high=(1.0, 1.0, 1.3),
)


def read(folder: Path, board: str) -> list[list[Observed]]:
    """The jobs that ran on that board: what was measured of each, the greatest limit last."""
    jobs: dict[tuple[str, ...], list[Observed]] = {}
    for row in data.rows(folder, BOARDS[board][1]):
        job = tuple(row[key] for key in ("dataset", "network", "batch_size", "optimizer"))
        limit_w, power_w, time_s = (float(row[key]) for key in ("power_limit", "average_power", "time_per_epoch"))
        jobs.setdefault(job, []).append(Observed(Setting(limit_w), power_w, time_s))
    return [sorted(points, key=_limit_w) for _, points in sorted(jobs.items())]


def two_points(job: Sequence[Observed]) -> list[Observed]:
    """Those that a job is fitted to: under the greatest limit, and under half of it."""
    half_w = _limit_w(job[-1]) / 2
    return [min(job, key=lambda point: abs(_limit_w(point) - half_w)), job[-1]]


def judge(folder: Path) -> list[Figure]:
    """Figures of this goal."""
    return [figure for board in BOARDS for figure in _judge(board, read(folder, board))]


def _judge(board: str, jobs: Sequence[Sequence[Observed]]) -> list[Figure]:
    rig = Rig(model.load(BOARDS[board][0]))
    known = [two_points(job) for job in jobs]
    unknown = [[point for point in job if point not in pair] for job, pair in zip(jobs, known, strict=True)]
    loads = fitted(rig.quick(), known, SHAPE)
    found = [error for group in errors(rig, unknown, loads) for error in group]
    label = f"Zeus {board}, {len(jobs)} jobs, {len(found)} points predicted: median error of"
    return [
        median(f"{label} time", [error.time_pct for error in found], TIME_GOAL_PCT),
        median(f"{label} energy", [error.energy_pct for error in found], ENERGY_GOAL_PCT),
    ]


def _limit_w(point: Observed) -> float:
    assert point.setting.limit_w is not None
    return point.setting.limit_w
