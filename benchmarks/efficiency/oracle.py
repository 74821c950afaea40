"""The best that a load allows on its board, known beforehand: all clock ceilings and power limits, each for the hour.

A static setting, or two of them in turns: so the best is the upper hull of what each costs in time and saves in energy.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.calibrate.rig import GPUS, Load, Model, Setting, create
from benchmarks.efficiency.loads import Job
from eagent.sim import _plant, model

LEAST = 0.5  # of the highest clock, and of the limit: nothing below is worth it within any bound
CLOCKS, LIMITS = 40, 16  # settings between that and the top


@dataclass(frozen=True, slots=True)
class Known:
    """A load's truth: at the top, and what each slowdown can save at best."""

    seconds: float  # for which it was looked at
    work_s: float  # done in them at the top
    joules: float  # for each second of work, at the top
    slowdowns: tuple[float, ...]  # ascending, the corners of the hull ...
    savings: tuple[float, ...]  # ... and what they save

    def best(self, slowdown: float) -> float:
        """The greatest share of energy that can be saved at a slowdown."""
        place = bisect_right(self.slowdowns, slowdown)
        if place == len(self.slowdowns):
            return self.savings[-1]
        if place == 0:
            return 0.0
        low, high = self.slowdowns[place - 1], self.slowdowns[place]
        part = (slowdown - low) / (high - low)
        return self.savings[place - 1] + part * (self.savings[place] - self.savings[place - 1])


def settings(gpu_model: str) -> list[Setting]:
    """The top, then all that is tried."""
    numbers = model.load(gpu_model)
    clocks, limits = numbers["clocks"], numbers["limits"]
    step_mhz, top_mhz = float(clocks["step_mhz"]), float(clocks["max_mhz"])
    steps = int((1 - LEAST) * top_mhz / step_mhz)
    locks = sorted({round(number * steps / CLOCKS) for number in range(1, CLOCKS + 1)} | set(range(1, 12)))
    low_w, high_w = max(limits["min_w"], LEAST * limits["max_w"]), limits["max_w"]
    return [
        Setting(),
        *(Setting(lock_mhz=int(top_mhz - number * step_mhz)) for number in locks),
        *(Setting(limit_w=low_w + (high_w - low_w) * number / LIMITS) for number in range(LIMITS)),
    ]


def know(jobs: Sequence[Job], seconds: float) -> list[Known]:
    """The truth about jobs, all on boards of one model, over so long from a cold start."""
    tried = settings(jobs[0].gpu_model)
    runs = [(job.load, setting) for job in jobs for setting in tried]
    seen: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        for first in range(0, len(runs), GPUS):
            path = Path(directory) / f"plant{first}"
            seen += _host(path, jobs[0].gpu_model, runs[first : first + GPUS], seconds)
    size = len(tried)
    return [known(seen[place : place + size], seconds) for place in range(0, len(seen), size)]


def _host(
    path: Path, gpu_model: str, runs: Sequence[tuple[Load, Setting]], seconds: float
) -> list[tuple[float, float]]:
    """Joules and work of each."""
    numbers = model.load(gpu_model)
    create(path, numbers, gpus=len(runs))
    with _plant.Host(path) as host:
        for gpu, (load, setting) in enumerate(runs):
            put(host, gpu, setting, numbers)
            load.square().start(host, [gpu])
        host.advance(seconds)
        work = {one["gpus"][0]: one["units"][0] for one in host.progress()}
        found = [(host.energy_true_j(gpu), work[gpu]) for gpu in range(host.gpu_count)]
    path.unlink()
    return found


def put(host: _plant.Host, gpu: int, setting: Setting, numbers: Model) -> None:
    """Set a GPU so; `numbers` are its model's."""
    if setting.limit_w is not None:
        host.set_power_limit(gpu, setting.limit_w)
    if setting.lock_mhz is not None:
        host.lock_clocks(gpu, numbers["clocks"]["min_mhz"], setting.lock_mhz)


def known(seen: Sequence[tuple[float, float]], seconds: float) -> Known:
    """The truth from the joules and the work at each of the settings, the top first."""
    joules, work = seen[0]
    each_j = joules / work
    points = sorted((work / its_work - 1, 1 - its_joules / its_work / each_j) for its_joules, its_work in seen)
    hull: list[tuple[float, float]] = [(0.0, max((saved for slow, saved in points if slow <= 1e-4), default=0.0))]
    for slow, saved in points:
        if slow <= hull[-1][0] or saved <= max(each for _, each in hull):
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-2], (slow, saved)):
            hull.pop()
        hull.append((slow, saved))
    return Known(seconds, work, each_j, tuple(slow for slow, _ in hull), tuple(saved for _, saved in hull))


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])
