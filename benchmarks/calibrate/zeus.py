"""Training jobs on a V100 and an A40 under power limits: each is fitted at two limits, and predicted at the others.

Two points fix three numbers: how active a job is, what share of its time follows the clock, and how long it takes at
full clock. That the memory is the busier the less a job's time follows the clock is assumed. Some numbers of the boards
come from every second job, so the others are told apart: nothing of them but their two points was ever fitted to.
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
    jobs: dict[tuple[str, str, int, str], list[Observed]] = {}
    for row in data.rows(folder, BOARDS[board][1]):
        job = row["dataset"], row["network"], int(row["batch_size"]), row["optimizer"]
        limit_w, power_w, time_s = (float(row[key]) for key in ("power_limit", "average_power", "time_per_epoch"))
        jobs.setdefault(job, []).append(Observed(Setting(limit_w), power_w, time_s))
    return [sorted(points, key=_limit_w) for _, points in sorted(jobs.items())]


def two_points(job: Sequence[Observed]) -> list[Observed]:
    """Those that a job is fitted to: under the greatest limit, and under half of it."""
    half_w = _limit_w(job[-1]) / 2
    return [min(job, key=lambda point: abs(_limit_w(point) - half_w)), job[-1]]


def judge(folder: Path) -> list[Figure]:
    """Figures of this goal."""
    return [figure for board in BOARDS for figure in judged(board, read(folder, board))]


def judged(board: str, jobs: Sequence[Sequence[Observed]]) -> list[Figure]:
    """Figures of some jobs, as `read` orders them."""
    rig = Rig(model.load(BOARDS[board][0]))
    known = [two_points(job) for job in jobs]
    unknown = [[point for point in job if point not in pair] for job, pair in zip(jobs, known, strict=True)]
    loads = fitted(rig.quick(), known, SHAPE)
    found = errors(rig, unknown, loads)
    figures = []
    for which, groups in (("all", found), ("new to the board's numbers", found[1::2])):
        several = [error for group in groups for error in group]
        label = f"Zeus {board}, {len(groups)} jobs, {which}, {len(several)} points predicted: median error of"
        figures.append(median(f"{label} time", [error.time_pct for error in several], TIME_GOAL_PCT))
        figures.append(median(f"{label} energy", [error.energy_pct for error in several], ENERGY_GOAL_PCT))
    return figures


def _limit_w(point: Observed) -> float:
    assert point.setting.limit_w is not None
    return point.setting.limit_w
