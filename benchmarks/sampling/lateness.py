"""How late the loop wakes up beside a busy Python thread in its process, against a bare C loop's and a Python loop's.

Like for like: a library that is loaded before the C library sees each sleep with an absolute deadline, and takes the
time when it ends, whoever sleeps; so eagent's loop is measured as it is, with its own deadlines, and the bare loop,
which does nothing else, sleeps as often a second. Both are threads of a Python process whose main thread never rests.
They run one after the other, in pairs whose order is swapped, so that what else the machine does meets both alike.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from benchmarks.sampling.rig import Rig, rig

MODEL = "v100-pcie-16gb"  # whose sensors publish most often
PAIRS, SECONDS, PYTHONS = 15, 5.0, 5
GOAL = 1.3
SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of one run, in microseconds."""

    p50_us: float
    p99_us: float
    hertz: float


def figures() -> list[Figure]:
    """Pairs, and some runs of a Python loop between them."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory, rig(MODEL) as rigged:
        library = compiled(Path(directory))
        period_ns = round(1e9 / run(rigged, library, "eagent").hertz)
        before = psutil.cpu_times()
        pairs, pythons = [], []
        for number in range(PAIRS):
            order = ("eagent", "bare") if number % 2 else ("bare", "eagent")
            pair = {kind: run(rigged, library, kind, period_ns) for kind in order}
            pairs.append(pair)
            if number < PYTHONS:
                pythons.append(run(rigged, library, "python", period_ns))
        idle = idle_share(before, psutil.cpu_times())
    return judge([pair["eagent"] for pair in pairs], [pair["bare"] for pair in pairs], pythons, idle)


def compiled(directory: Path) -> Path:
    """The library that keeps the times of sleeps."""
    library = directory / "wakes.so"
    flags = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, str(SCRIPTS / "wakes.c"), "-o", str(library), "-ldl"], check=True)
    return library


def run(rigged: Rig, library: Path, kind: str, period_ns: int = 0) -> Lateness:
    """One loop in a process of its own; eagent's chooses its deadlines, the others have a period."""
    command = [sys.executable, str(SCRIPTS / "beside_python.py"), kind, str(period_ns), str(SECONDS), str(library)]
    environ = {**rigged.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    late_us = sorted(late_ns / 1000 for late_ns in found["late_ns"])
    return Lateness(rank(late_us, 0.5), rank(late_us, 0.99), found["hertz"])


def rank(ordered: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def idle_share(before: object, after: object) -> float:
    """Of all processors, with what the hypervisor took counted as busy."""
    spent = {
        name: getattr(after, name) - getattr(before, name) for name in ("user", "system", "idle", "iowait", "steal")
    }
    return (spent["idle"] + spent["iowait"]) / sum(spent.values())


def judge(ours: list[Lateness], bare: list[Lateness], pythons: list[Lateness], idle: float) -> list[Figure]:
    """The figures; how far the bare loop's own p99 varied tells how quiet the machine was."""
    ratios = [mine.p99_us / other.p99_us for mine, other in zip(ours, bare, strict=True)]
    ratio = statistics.median(ratios)
    quarters = statistics.quantiles(ratios, n=4)
    noise = [run.p99_us for run in bare]
    return [
        Figure(
            f"lateness p99 / bare C loop's, median of {len(ratios)} pairs",
            ratio,
            "ratio",
            f"<= {GOAL:g}",
            ratio <= GOAL,
            {"first quartile": quarters[0], "third": quarters[2]},
        ),
        Figure(
            "lateness p99 beside a busy Python thread, median",
            statistics.median(run.p99_us for run in ours),
            "us",
            peers={
                "bare C loop": statistics.median(noise),
                "Python loop": statistics.median(run.p99_us for run in pythons),
            },
        ),
        Figure(
            "lateness p50 beside a busy Python thread, median",
            statistics.median(run.p50_us for run in ours),
            "us",
            peers={
                "bare C loop": statistics.median(run.p50_us for run in bare),
                "Python loop": statistics.median(run.p50_us for run in pythons),
            },
        ),
        Figure(
            "wake-ups a second",
            statistics.median(run.hertz for run in ours),
            "Hz",
            peers={"bare C loop": statistics.median(run.hertz for run in bare)},
        ),
        Figure(
            "noise: the bare loop's greatest p99 over its least",
            max(noise) / min(noise),
            "ratio",
            peers={"idle share of all CPUs": idle},
        ),
    ]
