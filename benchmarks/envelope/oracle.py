"""The best split of an envelope by one who knows, at every moment, what runs on every GPU and what watts are to it.

How fast each kind of work goes under each limit is measured on the plant itself, once it is warm. The split then gives
each lot of watts, one after another, to the GPU whose work gains the most by it: with gains that only shrink that is
the optimum of the total work, and where a measured gain grows by a trifle it is off by less than a lot's worth. The
limits are set on the plant at the moment at which the demand changes, all at once, without order, pace or read-back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.envelope.demand import GPUS, KINDS
from benchmarks.virtual import Ungoverned

LEAST_W, MOST_W, LOT_W = 200, 700, 10
GRID_W = 20  # between measured limits speeds are interpolated
WARM_S, MEASURED_S = 40.0, 10.0

Speeds = Mapping[str, Sequence[float]]  # per kind: at LEAST_W, LEAST_W + LOT_W, ..., as a share of full speed


def measure(directory: Path, gpu_model: str, seed: int) -> Speeds:
    """How fast each kind of work goes under each limit."""
    limits_w = [*range(LEAST_W, MOST_W, GRID_W), MOST_W]
    speeds = {}
    for kind in KINDS.values():
        found: list[float] = []
        for start in range(0, len(limits_w), GPUS):
            host = Ungoverned(directory, f"table-{kind.name}-{start}", seed, gpu_model)
            some_w = limits_w[start : start + GPUS]
            for gpu, limit_w in enumerate(some_w):
                host.plant.set_power_limit(gpu, limit_w)
                kind.load.start(host.plant, [gpu])
            host.advance(WARM_S)
            before = [load["units"][0] for load in host.plant.progress()]
            host.advance(WARM_S + MEASURED_S)
            after = [load["units"][0] for load in host.plant.progress()]
            found += [(b - a) / MEASURED_S for a, b in zip(before, after, strict=True)]
            host.close()
        speeds[kind.name] = _filled(found)
    return speeds


def _filled(found: Sequence[float]) -> list[float]:
    """Speeds at every lot, from those on the grid."""
    between = [(a + (b - a) * k * LOT_W / GRID_W) for a, b in pairwise(found) for k in range(GRID_W // LOT_W)]
    return [*between, found[-1]]


def split(names: Sequence[str | None], envelope_w: float, speeds: Speeds) -> list[int]:
    """The limits in watts for the most work, within the envelope; a GPU on which nothing runs keeps the least."""
    limits_w = [LEAST_W] * len(names)
    left_w = envelope_w - sum(limits_w)
    while left_w >= LOT_W:
        gains = [_gain(name, limit_w, speeds) for name, limit_w in zip(names, limits_w, strict=True)]
        best = max(range(len(names)), key=lambda gpu: gains[gpu])
        if gains[best] <= 0:
            break
        limits_w[best] += LOT_W
        left_w -= LOT_W
    return limits_w


def _gain(name: str | None, limit_w: int, speeds: Speeds) -> float:
    """Of the next lot; looks some lots ahead, so that noise on a step of the clock does not stop it."""
    if name is None or limit_w >= MOST_W:
        return 0.0
    table, place = speeds[name], (limit_w - LEAST_W) // LOT_W
    ahead = range(place + 1, min(place + 4, len(table)))
    return max((table[k] - table[place]) / (k - place) for k in ahead)
