"""Two servers of four GPUs each, what they tell of themselves, and minute by minute whether they kept their goals.

The goals are bounds of the servers' histograms, so that whether a minute kept them is known exactly. They are chosen so
that on the public trace full clocks keep them all the time, and no lower clock does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eagent.model import Latencies, Progress, ProgressSource
from eagent.sim._plant import Host
from eagent.sim.account import POWER_STEP_S, PowerLog
from eagent.sim.trace import Trace, assign
from eagent.sim.workload import Serving, dispatched

GOALS_S: Mapping[str, float] = {"first token": 2.5, "between tokens": 0.2}  # on the p99
SERVERS: Mapping[str, tuple[int, ...]] = {"a": (0, 1, 2, 3), "b": (4, 5, 6, 7)}
GPUS = 8
LEAD_S = 12.0  # before the first request
TAIL_S = 30.0  # after the last one came
MINUTE_S = 60.0
PERCENT = 0.01
SCRAPE_NS = 1_000_000_000
SEED = 1

Window = tuple[str, int]  # which server, which minute
Counts = Mapping[str, Sequence[int]]  # by kind: of each bucket alone


@dataclass(frozen=True, slots=True)
class Work:
    """A trace, and the GPU that serves each of its requests: all alike, as behind a router that balances."""

    trace: Trace
    gpu_of: Sequence[int]

    @property
    def minutes(self) -> int:
        """Whole minutes of requests."""
        return int(self.trace.duration_s / MINUTE_S)

    @property
    def end_s(self) -> float:
        """When it is over, on the host's clock."""
        return LEAD_S + self.trace.duration_s + TAIL_S

    def start(self, plant: Host) -> None:
        """Let the requests come, at their time."""
        requests = dispatched(self.trace.requests, self.gpu_of)
        Serving().start(plant, requests, at_s=LEAD_S, gpus=range(GPUS))


def work_of(trace: Trace) -> Work:
    """The trace on these servers."""
    return Work(trace, assign(trace, [1.0] * GPUS, SEED))


@dataclass(frozen=True, slots=True)
class Minute:
    """What one server did in one minute."""

    kept: bool  # its goals
    requests: int
    energy_j: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a way of running them came to. All joules are simulated."""

    minutes: Mapping[Window, Minute]
    energy_j: float  # of all GPUs, from the first request to the end
    changes: int  # of a GPU's clock lock

    @property
    def kept(self) -> frozenset[Window]:
        """The minutes that kept the goals."""
        return frozenset(window for window, minute in self.minutes.items() if minute.kept)


def latencies(plant: Host, gpus: Sequence[int]) -> tuple[Latencies, ...]:
    """What the engines of a server have counted, together."""
    engines = [plant.engine(gpu)["latencies"] for gpu in gpus]
    return tuple(
        Latencies(
            kind,
            (*engines[0][kind][0], math.inf),
            tuple(sum(counts) for counts in zip(*(engine[kind][1] for engine in engines), strict=True)),
        )
        for kind in GOALS_S
    )


class Scraper:
    """The servers' progress as somebody learns it who looks once a second."""

    def __init__(self) -> None:
        """Nobody has looked yet."""
        self._seen: tuple[Progress, ...] = ()

    def __call__(self, plant: Host, now_ns: int) -> tuple[Progress, ...]:
        """What was seen last, at the plant's time `now_ns`."""
        if not self._seen or now_ns - self._seen[0].at_ns >= SCRAPE_NS:
            self._seen = tuple(self._look(plant, now_ns, *server) for server in SERVERS.items())
        return self._seen

    def _look(self, plant: Host, now_ns: int, name: str, gpus: Sequence[int]) -> Progress:
        uuids = frozenset(plant.view(gpu)["uuid"] for gpu in gpus)
        tokens = sum(plant.engine(gpu)["tokens"] for gpu in gpus)
        told = latencies(plant, gpus)
        return Progress(name, uuids, ProgressSource.COUNTER, float(tokens), now_ns, "token", told)


class Passing(Protocol):
    """A host whose time passes."""

    @property
    def plant(self) -> Host:
        """Its plant."""

    def advance(self, to_s: float) -> None:
        """Let time pass, or see it pass, until its clock shows `to_s`."""


def watch(host: Passing, minutes_of_it: int, start_s: float, end_s: float) -> Outcome:
    """See the host's time pass, and look after each of so many minutes from `start_s` on; energy counts to `end_s`."""
    host.advance(start_s)
    looks = [_look(host.plant)]
    for minute in range(1, minutes_of_it + 1):
        host.advance(start_s + minute * MINUTE_S)
        looks.append(_look(host.plant))
    host.advance(end_s + POWER_STEP_S)
    power = PowerLog(host.plant.power_log())
    minutes = {
        (name, minute): Minute(
            *_judged(before[name], after[name]), _energy_j(power, gpus, start_s + minute * MINUTE_S, MINUTE_S)
        )
        for minute, (before, after) in enumerate(itertools.pairwise(looks))
        for name, gpus in SERVERS.items()
    }
    energy_j = _energy_j(power, range(GPUS), start_s, end_s - start_s)
    return Outcome(minutes, energy_j, len(host.plant.lock_log()))


def _look(plant: Host) -> Mapping[str, tuple[Latencies, ...]]:
    return {name: latencies(plant, gpus) for name, gpus in SERVERS.items()}


def _judged(before: Sequence[Latencies], after: Sequence[Latencies]) -> tuple[bool, int]:
    """Whether what came between two looks kept both goals, and how many requests that were."""
    kept, requests = True, 0
    for was, now in zip(before, after, strict=True):
        counts = [new - old for old, new in zip(was.counts, now.counts, strict=True)]
        over = sum(counts[now.bounds_s.index(GOALS_S[now.kind]) + 1 :])
        kept = kept and over <= PERCENT * sum(counts)
        requests = sum(counts) if now.kind == "first token" else requests
    return kept, requests


def _energy_j(power: PowerLog, gpus: Sequence[int], start_s: float, seconds: float) -> float:
    pieces = power.pieces(start_s, start_s + seconds)
    return math.fsum(span_s * watts[gpu] for span_s, watts in pieces for gpu in gpus)
