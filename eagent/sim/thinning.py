"""A trace whose rate is scaled until GPUs are busy for a wanted share of the time: found by serving it, virtually."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eagent.sim import host as simulated
from eagent.sim._plant import Host
from eagent.sim.trace import Trace, assign, scale_rate, zipf_weights
from eagent.sim.workload import Serving, dispatched

BUSY_SLACK = 0.005
MOST = 4.0  # no rate is scaled by more
FINEST = 1e-4  # traces of few requests can't be scaled to just any share


@dataclass(frozen=True, slots=True)
class Thinned:
    """A scaled trace, the GPU that serves each of its requests, and for how much of its time those were busy."""

    trace: Trace
    gpu_of: tuple[int, ...]
    busy_share: float


def thinned(trace: Trace, busy_share: float, *, gpus: int, skew: float, seed: int) -> Thinned:
    """Scale a trace, see `scale_rate`, to a mean utilisation of all GPUs as the driver would tell it at full clocks.

    Args:
        trace: What is to be scaled, at most fourfold.
        busy_share: The mean utilisation wanted, 0 to 1; met to half a percent if there are requests enough.
        gpus: How many serve it.
        skew: Zipf's exponent for the popularity of what each of them serves.
        seed: Of what is left out, and of which GPU serves what.
    """
    low, high = 0.0, MOST
    best = Thinned(trace, (), -1.0)
    while abs(best.busy_share - busy_share) > BUSY_SLACK and high - low >= FINEST:
        factor = (low + high) / 2
        scaled = scale_rate(trace, factor, seed)
        gpu_of = tuple(assign(scaled, zipf_weights(gpus, skew), seed))
        found = Thinned(scaled, gpu_of, _busy_share(scaled, gpu_of, gpus))
        best = min(best, found, key=lambda each: abs(each.busy_share - busy_share))
        low, high = (factor, high) if found.busy_share < busy_share else (low, factor)
    return best


def _busy_share(trace: Trace, gpu_of: Sequence[int], gpus: int) -> float:
    """Mean utilisation over the trace's whole seconds."""
    if not trace.requests:
        return 0.0
    told = []
    with tempfile.TemporaryDirectory(prefix="eagent-") as directory:
        made = simulated.create(Path(directory), "thinning", gpus=gpus, clock="virtual")
        with Host(made.plant) as plant:
            Serving().start(plant, dispatched(trace.requests, gpu_of))
            for second in range(1, max(1, int(trace.duration_s)) + 1):
                plant.advance(second)
                told += [plant.view(gpu)["gpu_utilisation_pct"] for gpu in range(gpus)]
    return sum(told) / len(told) / 100
