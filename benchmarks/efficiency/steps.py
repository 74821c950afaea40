"""Jobs that work in steps which show in the power: the plant does a part of each on the board, and a part that waits.

The plant's own loads draw the same all the time, or by the clock on the wall. Here each step is so much work, whatever
that takes at the clock that stands; its length varies as a real job's does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.calibrate.rig import Load
from benchmarks.efficiency.beats import DRAWN, JITTER, SLOW, SLOW_SHARE
from benchmarks.efficiency.loads import Job
from eagent.sim._plant import Host

TICK_S = 0.005  # the plant's
WAIT_SHARE = 0.1  # S: of a step, at full clock: the next batch is copied, gradients are exchanged, the host catches up
WAIT_COMPUTE, WAIT_MEMORY = 0.15, 0.2  # S: what goes on then, at no clock's pace
SHORTEST_S = 1e-4  # of work: less is none


@dataclass(slots=True)
class Worker:
    """One job on one GPU. Work is in seconds at full clock."""

    plant: Host
    gpu: int
    job: Job
    seed: int
    steps: int = 0  # done
    at_s: float = 0.0  # when the last one was
    _before_s: float = 0.0  # work in parts that are done
    _done_s: float = 0.0  # in the present part, ...
    _left_s: float = 0.0  # ... what is left of it, ...
    _waits: bool = True  # ... and which it is
    _pace: float = 1.0
    _step_s: float = 0.0
    _looked_s: float = 0.0
    _lengths: list[float] = field(default_factory=list)
    _rng: np.random.Generator | None = None

    @property
    def work_s(self) -> float:
        """All that it has done."""
        return self._before_s + self._done_s

    def start(self) -> None:
        """Begin with a step."""
        self._begin()

    def look(self, now_s: float, units: float) -> None:
        """The plant says that so much is done of the part; the next part is begun when it is whole."""
        did_s, span_s = units - self._done_s, now_s - self._looked_s
        if span_s > 0 and did_s > 0:
            self._pace = did_s / span_s
        self._done_s, self._left_s, self._looked_s = units, self._left_s - did_s, now_s
        if self._left_s <= SHORTEST_S:
            if self._waits:
                self.steps, self.at_s = self.steps + 1, now_s
            self._before_s, self._done_s = self._before_s + self._done_s, 0.0
            self._begin()

    def due_s(self) -> float:
        """When the part is done if it goes on as it does; no sooner than the plant's next tick."""
        return self._looked_s + max(TICK_S, math.ceil(self._left_s / self._pace / TICK_S - 1e-6) * TICK_S)

    def _begin(self) -> None:
        self._waits = not self._waits
        if not self._waits:
            self._step_s = self._next_s()
        self.plant.stop_load([self.gpu])
        load = Load(WAIT_COMPUTE, WAIT_MEMORY, 0.0) if self._waits else self.job.load
        self._left_s += self._step_s * (WAIT_SHARE if self._waits else 1 - WAIT_SHARE)  # what was too much is taken off
        load.square().start(self.plant, [self.gpu], pid=os.getpid())

    def _next_s(self) -> float:
        if self._rng is None:
            self._rng = np.random.default_rng(self.seed)
        if not self._lengths:
            lengths = self._rng.lognormal(-(JITTER**2) / 2, JITTER, DRAWN)
            lengths[self._rng.random(DRAWN) < SLOW_SHARE] *= SLOW
            self._lengths = (lengths / (1 + SLOW_SHARE * (SLOW - 1))).tolist()
        return self._lengths.pop() * self.job.step_s


class Workers:
    """One on each of the first GPUs of a host."""

    def __init__(self, plant: Host, jobs: Sequence[Job], seed: int) -> None:
        """All begin at once."""
        self.each = [Worker(plant, gpu, job, 100 * seed + gpu) for gpu, job in enumerate(jobs)]
        self._plant = plant
        for worker in self.each:
            worker.start()

    def advance(self, to_s: float) -> None:
        """Let the plant's time pass, and begin each part of each step when the one before is done."""
        while True:
            next_s = min(to_s, *(worker.due_s() for worker in self.each))
            self._plant.advance(next_s)
            units = {one["gpus"][0]: one["units"][0] for one in self._plant.progress() if one["running"]}
            for worker in self.each:
                worker.look(next_s, units[worker.gpu])
            if next_s >= to_s:
                return
