"""What the hosts of a benchmark serve, and what came of it: from the plant's own logs, not from what eagent says.

All joules are simulated.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim.account import Percentiles, PowerLog, energy_j, first_token_percentiles, latency_percentiles
from eagent.sim.trace import Trace
from eagent.sim.workload import Serving, dispatched

LEAD_S = 12.0  # before the first request
TAIL_S = 30.0  # after the last one came: until all are answered

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Work:
    """A trace, and the GPU that serves each of its requests."""

    trace: Trace
    gpu_of: Sequence[int]

    @property
    def end_s(self) -> float:
        """When it is over, on the host's clock."""
        return LEAD_S + self.trace.duration_s + TAIL_S

    def start(self, plant: Host) -> None:
        """Let the requests come, at their time; this process is said to serve them."""
        Serving().start(plant, dispatched(self.trace.requests, self.gpu_of), at_s=LEAD_S, pid=os.getpid())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one host did and drew from `LEAD_S` to the end of the work."""

    latency: Percentiles
    first_token: Percentiles
    gpu_j: float
    cpu_j: float  # packages and DRAM
    wall_j: float  # of the whole host
    at_work_j: float  # of the GPUs, while they had requests
    busy: tuple[tuple[Span, ...], ...]  # per GPU: when it had requests

    @property
    def energy_j(self) -> float:
        """Of the parts that do the work."""
        return self.gpu_j + self.cpu_j


def outcome(name: str, plant: Host, bmc: Bmc, work: Work) -> Outcome:
    """The account of a host whose time is past the end of the work.

    Raises:
        SystemExit: some requests were not answered by then.
    """
    served = plant.served()
    latency = latency_percentiles(served)
    if latency.unfinished or latency.p99_s is None:
        raise SystemExit(f"{name}: {latency.unfinished} requests were not answered: too much load for these GPUs")
    power, cpu_power = PowerLog(plant.power_log()), PowerLog(plant.cpu_power_log())
    busy = tuple(_spans(served, work.gpu_of, gpu) for gpu in range(plant.gpu_count))
    at_work_j = math.fsum(
        seconds * watts[gpu]
        for gpu, spans in enumerate(busy)
        for span in spans
        for seconds, watts in power.pieces(*span)
    )
    return Outcome(
        latency=latency,
        first_token=first_token_percentiles(served),
        gpu_j=energy_j(power, LEAD_S, work.end_s),
        cpu_j=energy_j(cpu_power, LEAD_S, work.end_s),
        wall_j=energy_j(PowerLog(bmc.power_log()), LEAD_S, work.end_s),
        at_work_j=at_work_j,
        busy=busy,
    )


def _spans(
    served: Sequence[tuple[float, float | None, float | None]], gpu_of: Sequence[int], gpu: int
) -> tuple[Span, ...]:
    """When a GPU had requests."""
    return merged(
        (arrival_s, done_s)
        for (arrival_s, _, done_s), its in zip(served, gpu_of, strict=True)
        if its == gpu and done_s is not None
    )


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans of time as few that do not touch, in order."""
    whole: list[Span] = []
    for begin_s, end_s in sorted(spans):
        if whole and begin_s <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(whole[-1][1], end_s)
        else:
            whole.append((begin_s, end_s))
    return tuple(whole)


def between(spans: Sequence[Span], begin_s: float, end_s: float) -> tuple[Span, ...]:
    """What lies between spans that do not touch, from a time to a time."""
    edges = [begin_s, *(edge for span in spans for edge in span), end_s]
    return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)
