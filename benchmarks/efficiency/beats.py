"""When a job says that a step is done: from the plant's work, with step times that differ as real ones do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eagent.model import Progress, ProgressSource

JITTER = 0.03  # S: standard deviation of a step's time, as a share
SLOW_SHARE, SLOW = 0.01, 1.3  # S: so many steps take so many times as long: a batch that was not there yet
BEAT_S = 0.05  # a job with shorter steps beats once for many


@dataclass(slots=True)
class Beats:
    """The beats of one job; its work is in seconds at full clock."""

    job: str
    uuids: frozenset[str]
    step_s: float
    seed: int
    jitter: float = JITTER
    done: int = 0
    at_s: float = 0.0  # when the last one was
    _ends_s: list[float] = field(default_factory=list)  # of work, of the steps drawn ahead
    _work_s: float = 0.0
    _time_s: float = 0.0
    _rng: np.random.Generator | None = None

    def advance(self, time_s: float, work_s: float) -> None:
        """The job has done so much by that time, evenly since the last call."""
        span_s, did_s = time_s - self._time_s, work_s - self._work_s
        end_s = self._next_s()
        while did_s > 0 and end_s <= work_s:
            self.at_s = self._time_s + (end_s - self._work_s) / did_s * span_s
            self.done += 1
            end_s = self._next_s()
        self._time_s, self._work_s = time_s, work_s

    def progress(self) -> Progress:
        """As the agent is told."""
        return Progress(self.job, self.uuids, ProgressSource.BEATS, float(self.done), round(self.at_s * 1e9))

    def _next_s(self) -> float:
        """Where in its work the next step ends."""
        if self._rng is None:
            self._rng = np.random.default_rng(self.seed)
        while self.done >= len(self._ends_s):
            sigma = self.jitter * (max(self.step_s, BEAT_S) / self.step_s) ** -0.5
            steps = self._rng.lognormal(-(sigma**2) / 2, sigma, 1000)
            steps[self._rng.random(1000) < SLOW_SHARE] *= SLOW
            steps *= max(self.step_s, BEAT_S) / (1 + SLOW_SHARE * (SLOW - 1))
            last_s = self._ends_s[-1] if self._ends_s else 0.0
            self._ends_s.extend((last_s + np.cumsum(steps)).tolist())
        return self._ends_s[self.done]
