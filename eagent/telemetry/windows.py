"""Windows over the recent past of one channel: exact, and honest about what is not known.

A sample holds until the next one, but never longer than `hold_ns`: after that the past is unknown, not constant. Means
are weighted by time, so that a sensor that is read more often than it publishes does not count twice. All sums are
whole numbers (value × nanoseconds), so no error builds up over months.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from eagent.model import NEVER, Reading, Status

SECOND_NS = 1_000_000_000

# A mean over a window of which less is known than this would be the mean of something else.
COVERAGE_MIN = 0.5

# The list of runs is cut in bulk: moving it at every sample would cost more than what waits. That must be little, for a
# host has dozens of series, and those of what seldom changes would fill for hours.
_WAITING_LEAST, _WAITING_SHARE = 16, 4


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a series is of, and for how long a look at it speaks."""

    name: str
    scale: float = 1.0  # from the ring's unit to the unit of the reading
    window_s: float = 0.0  # the stretch of time that one value averages
    hold_ns: int = 1_500_000_000
    age_limit_ns: int = 2_000_000_000


@dataclass(slots=True)
class _Run:
    """Looks in a row that gave the same: from `begin_ns`, last confirmed at `last_ns`."""

    begin_ns: int
    last_ns: int
    value: int | None  # None: the looks failed
    integral: int  # value × ns from the beginning of the series to `begin_ns`
    known_ns: int  # how much of that time is known


class Series:
    """The samples of one channel of one device, as far back as `keep_ns`."""

    def __init__(self, sensor: Sensor, keep_ns: int = 0) -> None:
        """An empty series; windows may reach `keep_ns` back."""
        self.sensor = sensor
        self._keep_ns = keep_ns + sensor.hold_ns
        self._begins: list[int] = []  # of the runs, for bisect
        self._runs: list[_Run] = []
        self._cut_at = _WAITING_LEAST
        self._status = Status.MISSING
        self.supported = False  # whether it ever gave a value

    def __len__(self) -> int:
        """How many runs of looks that gave the same are held."""
        return len(self._runs)

    def add(self, time_ns: int, value: int, status: int) -> None:
        """Take one look at the sensor. A look no newer than the newest is dropped: a ring that was opened again."""
        runs = self._runs
        if runs and time_ns <= runs[-1].last_ns:
            return
        if status == Status.SAME:  # a look like another: what it shows holds on
            status = Status.OK
        good = status == Status.OK
        self.supported = self.supported or good
        self._status = _STATUSES.get(status, Status.FAILED)
        told = value if good else None
        if runs and runs[-1].value == told and time_ns <= runs[-1].last_ns + self.sensor.hold_ns:
            runs[-1].last_ns = time_ns
            return
        integral, known_ns = self._until(len(runs) - 1, time_ns)
        runs.append(_Run(time_ns, time_ns, told, integral, known_ns))
        self._begins.append(time_ns)
        if len(runs) >= self._cut_at:
            self._cut(time_ns - self._keep_ns)

    def latest(self, now_ns: int) -> Reading:
        """The newest look, if it is young enough to speak for now."""
        status = self._status_at(now_ns)
        if status is Status.MISSING:
            return NEVER
        value = self._runs[-1].value if status is Status.OK else None
        return self._reading(value, status, now_ns, self.sensor.name, self.sensor.window_s)

    def mean(self, now_ns: int, window_ns: int = SECOND_NS) -> Reading:
        """The mean of the last `window_ns`, as far as it is known.

        Without a value when that is less than half of it, or when the newest look is too old to speak for now: a window
        whose end nobody saw would pass the past off as the present.
        """
        (integral, known_ns), (past, past_known_ns) = self._at(now_ns), self._at(now_ns - window_ns)
        known_ns -= past_known_ns
        status = self._status_at(now_ns)
        value = None
        if status is not Status.STALE and known_ns >= window_ns * COVERAGE_MIN:
            value, status = (integral - past) / known_ns, Status.OK  # one failed look does not spoil it
        elif status is Status.OK:
            status = Status.MISSING  # read now, but not for long enough
        return self._reading(value, status, now_ns, f"mean of {self.sensor.name}", window_ns / SECOND_NS)

    def peak(self, now_ns: int, window_ns: int) -> Reading:
        """The greatest value read in the last `window_ns`; without one on the terms of `mean`.

        What was not seen may have been greater, so a window of which little is known has no greatest value.
        """
        mean = self.mean(now_ns, window_ns)
        value = None
        if mean.ok:
            value = max(
                (run.value for run in self._since(now_ns - window_ns, now_ns) if run.value is not None), default=None
            )
        status = Status.MISSING if mean.ok and value is None else mean.status
        return self._reading(value, status, now_ns, f"greatest of {self.sensor.name}", window_ns / SECOND_NS)

    def _since(self, after_ns: int, now_ns: int) -> Iterator[_Run]:
        """The runs with a look later than `after_ns` and not later than `now_ns`, the newest first."""
        for index in range(bisect_right(self._begins, now_ns) - 1, -1, -1):
            if self._runs[index].last_ns <= after_ns:
                return
            yield self._runs[index]

    def total(self, now_ns: int) -> Reading:
        """The integral since the first look, in the reading's unit × seconds: for where there is no counter to read."""
        latest = self.latest(now_ns)
        integral, _ = self._at(now_ns)
        value = integral / SECOND_NS if latest.ok else None
        return self._reading(value, latest.status, now_ns, f"integral of {self.sensor.name}", 0.0)

    def _at(self, time_ns: int) -> tuple[int, int]:
        """The integral and the known time from the beginning of the series to `time_ns`."""
        return self._until(bisect_right(self._begins, time_ns) - 1, time_ns)

    def _until(self, index: int, time_ns: int) -> tuple[int, int]:
        """`_at`, where the run that `time_ns` falls into is known."""
        if index < 0:
            return (self._runs[0].integral, self._runs[0].known_ns) if self._runs else (0, 0)
        run = self._runs[index]
        if run.value is None:
            return run.integral, run.known_ns
        held_ns = min(time_ns, run.last_ns + self.sensor.hold_ns) - run.begin_ns
        return run.integral + run.value * held_ns, run.known_ns + held_ns

    def _status_at(self, now_ns: int) -> Status:
        if not self._runs:
            return Status.MISSING
        if self._status is Status.NOT_SUPPORTED and not self.supported:
            return self._status  # does not age: a sensor that is not there will not come
        stale = now_ns - self._runs[-1].last_ns > self.sensor.age_limit_ns
        return Status.STALE if stale else self._status

    def _reading(self, value: float | None, status: Status, now_ns: int, sensor: str, window_s: float) -> Reading:
        age_s = max(0, now_ns - self._runs[-1].last_ns) / SECOND_NS if self._runs else 0.0
        return Reading(None if value is None else value * self.sensor.scale, status, sensor, window_s, age_s)

    def _cut(self, before_ns: int) -> None:
        """Forget the runs that no window reaches; the one that `before_ns` falls into stays."""
        first = max(0, bisect_right(self._begins, before_ns) - 1)
        del self._runs[:first], self._begins[:first]
        self._cut_at = len(self._runs) + max(_WAITING_LEAST, len(self._runs) // _WAITING_SHARE)


_STATUSES = {int(status): status for status in Status}
