"""What one GPU drew, on an even grid of tenths of a second, from its energy counter.

The counter holds all that was drawn between two of its refreshes, so that what is faster than the grid is nearly gone
from its means. Power readings, which look at a part of the time only, are kept beside it: what repeats faster than the
grid can show swings more in them than in the means.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from eagent.model import Channel, Status

GRID_NS = 100_000_000
GRID_S = GRID_NS / 1e9
KEEP = 600  # of the grid
REFRESHES = 40
GAP_NS = 700_000_000  # refreshes farther apart: an idle GPU, or missed looks. What was before is another time
CLOCK_SHARE = 0.012  # a change of the mean clock beyond the steps of a power limit's controller
CLOCK_READINGS = 80  # some 20 s
WOBBLE_NS = 8_000_000_000  # a clock that is back so soon has not changed: a limit holds parts of a step down

_OK, _SAME = int(Status.OK), int(Status.SAME)
_ENERGY, _POWER, _CLOCK = int(Channel.ENERGY_MJ), int(Channel.POWER_INSTANT_MW), int(Channel.SM_CLOCK_MHZ)


class _Refreshes:
    """When a counter's refreshes were that are seen only at looks: they come as evenly as a clock ticks.

    The look that is soonest after its refresh tells of the others.
    """

    def __init__(self) -> None:
        self.looked_ns = 0  # the last look
        self._seen: deque[tuple[int, int]] = deque(maxlen=REFRESHES)  # numbers of refreshes, and when they were seen
        self._begin: tuple[int, int] | None = None
        self._period_ns = float(GRID_NS)
        self._placed_ns = 0

    def placed(self, time_ns: int) -> int:
        """A refresh that is seen now: when it was."""
        if not self._seen or time_ns - self._seen[-1][1] > GAP_NS:
            self._seen.clear()
            self._begin = None
            self._seen.append((0, time_ns))
            self._placed_ns = time_ns
            return time_ns
        middle_ns = (max(self.looked_ns, self._placed_ns) + time_ns) / 2  # it was after the look before
        number = self._seen[-1][0] + max(1, round((middle_ns - self._placed_ns) / self._period_ns))
        self._seen.append((number, time_ns))
        period_ns = self._period_ns
        placed_ns = int(min(seen_ns - (each - number) * period_ns for each, seen_ns in self._seen))
        self._placed_ns = placed_ns = max(placed_ns, min(self.looked_ns, time_ns - 1) + 1)
        if self._begin is None and len(self._seen) == REFRESHES:
            self._begin = number, placed_ns
        elif self._begin is not None and number - self._begin[0] >= REFRESHES:
            self._period_ns = (placed_ns - self._begin[1]) / (number - self._begin[0])
        return placed_ns


class _Clock:
    """The clock that stands, since when. Within a step it may go up and down; that is no change."""

    def __init__(self) -> None:
        self.mhz: float | None = None  # the median
        self.since_ns = 0
        self._seen: deque[float] = deque(maxlen=CLOCK_READINGS)
        self._new: tuple[float, int] | None = None  # a reading beyond these, and when
        self._left: tuple[deque[float], int] | None = None  # what was seen before the last change, since when

    def add(self, time_ns: int, mhz: float) -> None:
        """Two readings in a row beyond all that was seen lately are a change, of the time of the first."""
        if not self._seen:
            self.since_ns = time_ns
        if not self._seen or _is_within(self._seen, mhz):
            self._new = None
            self._seen.append(mhz)
        elif self._new is None:
            self._new = mhz, time_ns
            return
        else:
            self._change(self._new, mhz)
            self._new = None
        self.mhz = median(self._seen)

    def _change(self, new: tuple[float, int], mhz: float) -> None:
        first_mhz, at_ns = new
        left = self._left
        if left is not None and at_ns - self.since_ns < WOBBLE_NS and _is_within(left[0], mhz):
            left[0].extend([*self._seen, first_mhz, mhz])
            (self._seen, self.since_ns), self._left = left, None
        else:
            self._left = self._seen, self.since_ns
            self._seen, self.since_ns = deque([first_mhz, mhz], CLOCK_READINGS), at_ns


def _is_within(seen: deque[float], mhz: float) -> bool:
    return min(seen) * (1 - CLOCK_SHARE) <= mhz <= max(seen) * (1 + CLOCK_SHARE)


class Signal:
    """Fed with a GPU's ring records in order."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.watts: deque[float] = deque(maxlen=KEEP)  # means over the grid's cells
        self.end_ns = 0  # of the last cell that is whole
        self.looks: deque[tuple[float, float]] = deque(maxlen=KEEP)  # seconds and watts of the power readings
        self._last: tuple[int, int] | None = None  # a refresh: when, and millijoules
        self._within_mj = 0.0  # of the cell that is not full yet
        self._clock = _Clock()
        self._refreshes = _Refreshes()

    @property
    def clock_mhz(self) -> float | None:
        """The clock that stands ..."""
        return self._clock.mhz

    @property
    def clock_since_ns(self) -> int:
        """... since this time."""
        return self._clock.since_ns

    def add(self, time_ns: int, value: int, channel: int, status: int, age_ns: int) -> None:
        """Take a record."""
        if status != _OK:
            if status == _SAME and channel == _ENERGY:
                self._refreshes.looked_ns = time_ns
            return
        if channel == _ENERGY:
            known = 0 <= age_ns < GAP_NS
            self._count(time_ns - age_ns if known else self._refreshes.placed(time_ns), value)
            self._refreshes.looked_ns = time_ns
        elif channel == _POWER:
            self.looks.append((time_ns / 1e9, value / 1e3))
        elif channel == _CLOCK:
            self._clock.add(time_ns, float(value))

    def last(self, count: int) -> list[float]:
        """So many cells, or as many as there are, up to the last."""
        cells = list(self.watts)
        return cells[-count:] if count > 0 else []

    def _count(self, time_ns: int, value_mj: int) -> None:
        before, self._last = self._last, (time_ns, value_mj)
        if before is None or time_ns > before[0] + GAP_NS or time_ns < before[0] or value_mj < before[1]:
            self.watts.clear()
            self.end_ns, self._within_mj = time_ns // GRID_NS * GRID_NS, math.nan  # a cell of which a part is missing
            return
        if time_ns == before[0]:
            return
        at_ns, rate = before[0], (value_mj - before[1]) / (time_ns - before[0])  # millijoules a nanosecond
        while self.end_ns + GRID_NS <= time_ns:
            self.end_ns += GRID_NS
            full_mj = self._within_mj + rate * (self.end_ns - at_ns)
            if not math.isnan(full_mj):
                self.watts.append(full_mj / 1e3 / GRID_S)
            self._within_mj, at_ns = 0.0, self.end_ns
        self._within_mj += rate * (time_ns - at_ns)
