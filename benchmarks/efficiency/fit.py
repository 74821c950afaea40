"""Make loads.csv, the benchmark's own small table, from the published measurements.

    python -m benchmarks.efficiency.fit FOLDER        FOLDER as `make calibrate` takes it

Each line is a load on the plant that stands for a measured job: how active it keeps the board, what share of its
time follows the clock, and how long a step of it takes. V100 and A40 jobs are fitted to all of their power limits,
A100 loads to their runs under clock locks. A step of a job is a batch, and an epoch has as many as its data set has
examples for.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.calibrate import data, grid, zeus
from benchmarks.calibrate.loads import Fitted, fitted
from benchmarks.calibrate.rig import Rig
from benchmarks.efficiency.loads import COLUMNS, TABLE
from eagent.sim import model

# Published sizes of the training sets
EXAMPLES = {
    "cifar100": 50_000,
    "imagenet": 1_281_167,
    "librispeech": 281_241,
    "movielens-1m": 4_970_845,
    "sentiment140": 1_600_000,
    "squad": 88_524,
}
A100_STEP_S = 0.25  # S: the grid's loads are no training jobs


def main(arguments: Sequence[str]) -> None:
    """Fit, and write the table."""
    folder = data.folder(arguments)
    rows = [row for board in zeus.BOARDS for row in _jobs(folder, board)] + _grid(folder)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _jobs(folder: Path, board: str) -> list[list[str]]:
    found: dict[str, float] = {}
    for row in data.rows(folder, zeus.BOARDS[board][1]):
        steps = EXAMPLES[row["dataset"]] / int(row["batch_size"])
        name = f"{row['network']} {row['dataset']} {row['batch_size']} {row['optimizer']}"
        found[name] = min(found.get(name, 1e9), float(row["time_per_epoch"]) / steps)
    jobs = zeus.read(folder, board)
    order = sorted(found, key=lambda name: (name.split()[1], name.split()[0], int(name.split()[2]), name.split()[3]))
    loads = fitted(Rig(model.load(zeus.BOARDS[board][0])).quick(), jobs, zeus.SHAPE)
    return [_row(zeus.BOARDS[board][0], name, found[name], one) for name, one in zip(order, loads, strict=True)]


def _grid(folder: Path) -> list[list[str]]:
    numbers = model.load(grid.MODEL)
    runs = grid.read(folder)
    locked = [[run for run in group if grid.is_lock_run(run, numbers["limits"]["max_w"])] for group in runs.values()]
    loads = fitted(Rig(numbers).quick(), locked, grid.SHAPE)
    return [_row(grid.MODEL, name, A100_STEP_S, one) for name, one in zip(runs, loads, strict=True)]


def _row(gpu_model: str, name: str, step_s: float, one: Fitted) -> list[str]:
    load = one.load
    return [gpu_model, name, *(f"{each:.4g}" for each in (load.compute, load.memory, load.compute_fraction, step_s))]


if __name__ == "__main__":
    main(sys.argv[1:])
