"""The loads of the benchmark: what stands for measured jobs on the plant, from its own table (fit.py makes it)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from benchmarks.calibrate.rig import Load

TABLE = Path(__file__).with_name("loads.csv")
COLUMNS = ("model", "name", "compute", "memory", "compute_fraction", "step_s")


@dataclass(frozen=True, slots=True)
class Job:
    """A job that runs on one GPU of a model."""

    gpu_model: str
    name: str
    load: Load
    step_s: float  # how long a step takes at full clock


def read() -> list[Job]:
    """All loads of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Job(
                row["model"],
                row["name"],
                Load(*(float(row[key]) for key in ("compute", "memory", "compute_fraction"))),
                float(row["step_s"]),
            )
            for row in csv.DictReader(file)
        ]


def chosen(every: int) -> list[Job]:
    """Every so many-th job of each board; of a board with few, all."""
    jobs: dict[str, list[Job]] = {}
    for job in read():
        jobs.setdefault(job.gpu_model, []).append(job)
    return [job for board in jobs.values() for job in (board if len(board) <= every else board[::every])]
