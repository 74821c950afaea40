"""What a binding power cap holds, and what it lets through: against the published shares of the limit.

No data file is needed: the shares are those of the grid and of the Zeus tables. A cap holds the mean of a second, from
some time after a load's edge on; for milliseconds a burst goes beyond it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.calibrate.rig import FOREVER_S, Model, create
from benchmarks.figures import Figure
from eagent.sim import model
from eagent.sim._plant import Host
from eagent.sim.workload import Square

# Where the mean of a capped run lay, as shares of the limit
PUBLISHED = {"a100-pcie-80gb": (0.978, 0.984), "a100-sxm4-80gb": (0.978, 0.984), "v100-pcie-16gb": (0.92, 0.97)}
MARGIN = 0.01
LIMITS = (0.6, 0.7, 0.8, 0.9)  # of the greatest: all bind
EDGE_S, SETTLED_S, END_S = 1.0, 3.0, 60.0  # the last two after the edge
TICK_S = 0.005

KERNELS = {
    "dense": Square(FOREVER_S, 1.0, compute=1.0, memory=0.0, compute_fraction=0.96),
    "mixed": Square(FOREVER_S, 1.0, compute=0.9, memory=0.6, compute_fraction=0.65),
}
BURSTS = Square(period_s=0.5, duty=0.1, compute=1.0, memory=0.0)  # 50 ms, so seldom that a second's mean is far below
BURST_LIMIT = 0.5  # of the greatest


@dataclass(frozen=True, slots=True)
class Capped:
    """What a capped load drew, in shares of the limit."""

    mean: float  # from three seconds after the load's edge on
    worst_second: float  # likewise, of all that begin then or later
    first_second: float
    worst_5ms: float
    worst_50ms: float


def watch(numbers: Model, load: Square, limit_w: float, seconds: float = END_S) -> Capped:
    """One GPU under a cap, looked at in every tick for so long after the load's beginning."""
    with tempfile.TemporaryDirectory(prefix="eagent-calibrate-") as directory:
        path = Path(directory) / "plant"
        create(path, numbers)
        with Host(path) as host:
            host.set_power_limit(0, limit_w)
            load.start(host, [0], at_s=EDGE_S)
            host.advance(EDGE_S)
            joules = [host.energy_true_j(0)]
            for tick in range(1, round(seconds / TICK_S) + 1):
                host.advance(EDGE_S + tick * TICK_S)
                joules.append(host.energy_true_j(0))
    after_edge_j = np.array(joules)
    second, settled = round(1 / TICK_S), after_edge_j[round(SETTLED_S / TICK_S) :]

    def worst(ticks: int) -> float:
        return float(np.max(settled[ticks:] - settled[:-ticks]) / (ticks * TICK_S) / limit_w)

    return Capped(
        mean=float((settled[-1] - settled[0]) / ((len(settled) - 1) * TICK_S) / limit_w),
        worst_second=worst(second),
        first_second=float((after_edge_j[second] - after_edge_j[0]) / limit_w),
        worst_5ms=worst(1),
        worst_50ms=worst(round(0.05 / TICK_S)),
    )


def judge(_folder: Path) -> list[Figure]:
    """Figures of this goal."""
    return [figure for name in PUBLISHED for figure in _judge(name)]


def _judge(name: str) -> list[Figure]:
    numbers = model.load(name)
    greatest_w, least_w = numbers["limits"]["max_w"], numbers["limits"]["min_w"]
    limits_w = [share * greatest_w for share in LIMITS if share * greatest_w >= least_w]
    held = [watch(numbers, load, limit_w) for load in KERNELS.values() for limit_w in limits_w]
    low, high = PUBLISHED[name][0] - MARGIN, PUBLISHED[name][1] + MARGIN
    means = [one.mean for one in held]
    second = max(one.worst_second for one in held)
    bursts = watch(numbers, BURSTS, max(least_w, BURST_LIMIT * greatest_w))
    return [
        Figure(
            f"{name}: mean under a binding cap / limit",
            float(np.median(means)),
            "ratio",
            f"{low:.3f} to {high:.3f}",
            all(low <= mean <= high for mean in means),
            {"least": min(means), "most": max(means)},
        ),
        Figure(
            f"{name}: worst second from 3 s after the edge / limit",
            second,
            "ratio",
            "<= 1",
            second <= 1,
            {"the first second": max(one.first_second for one in held)},
        ),
        Figure(
            f"{name}: burst of 5 ms / limit",
            bursts.worst_5ms,
            "ratio",
            "> 1",
            bursts.worst_5ms > 1 and bursts.worst_second <= 1,
            {"50 ms": bursts.worst_50ms, "its worst second": bursts.worst_second},
        ),
    ]
