"""When a job says that a step is done: from the plant's work, with step times that differ as real ones do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eagent.model import Progress, ProgressSource

JITTER = 0.03  # S: standard deviation of a step's time, as a share
SLOW_SHARE, SLOW = 0.01, 1.3  # S: so many steps take so many times as long: a batch that was not there yet
BEAT_S = 0.05  # a job with shorter steps beats once for many
DRAWN = 1000  # steps at once


@dataclass(slots=True)
class Beats:
    """The beats of one job; its work is in seconds at full clock."""

    job: str
    uuids: frozenset[str]
    seed: int
    jitter: float
    step_s: float
    done: int = 0
    at_s: float = 0.0  # when the last one was
    _lengths: list[float] = field(default_factory=list)  # of the steps to come, as shares of the usual, backwards
    _left_s: float = 0.0  # of the present step's work
    _work_s: float = 0.0
    _time_s: float = 0.0
    _rng: np.random.Generator | None = None

    def advance(self, time_s: float, work_s: float, step_s: float) -> None:
        """The job has done so much by that time, evenly since the last call; its steps take so much work now."""
        if self._rng is None or step_s != self.step_s:
            self.step_s, self._lengths = step_s, []
            self._left_s = self._next_s()
        span_s, did_s, at_s = time_s - self._time_s, work_s - self._work_s, 0.0
        while did_s - at_s >= self._left_s:
            at_s += self._left_s
            self.at_s = self._time_s + at_s / did_s * span_s
            self.done += 1
            self._left_s = self._next_s()
        self._left_s -= did_s - at_s
        self._time_s, self._work_s = time_s, work_s

    def progress(self) -> Progress:
        """As the agent is told."""
        return Progress(self.job, self.uuids, ProgressSource.BEATS, float(self.done), round(self.at_s * 1e9))

    def _next_s(self) -> float:
        beat_s = max(self.step_s, BEAT_S)
        if self._rng is None:
            self._rng = np.random.default_rng(self.seed)
        if not self._lengths:
            sigma = self.jitter * (beat_s / self.step_s) ** -0.5
            lengths = self._rng.lognormal(-(sigma**2) / 2, sigma, DRAWN)
            lengths[self._rng.random(DRAWN) < SLOW_SHARE] *= SLOW
            self._lengths = (lengths / (1 + SLOW_SHARE * (SLOW - 1))).tolist()
        return self._lengths.pop() * beat_s
