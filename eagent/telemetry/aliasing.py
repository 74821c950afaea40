"""Whether power readings can be trusted to show a load's mean, or beat against it.

A sensor that looks at a part of each period, the same part each time, sees a load that repeats as often as the sensor
publishes always in the same phase: a square wave of 10 Hz reads as its top, or as its bottom, for ever. A load that is
a little off shows as a slow wave that is not there. Three witnesses tell, as far as they are there:

- the driver's sample buffer, which looks at other times: its mean over the window is another one
- the shape: what was sampled too seldom rises and falls in ramps of many readings, where a load's power steps
- the utilisation: readings stand still though the device pauses all the time
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from eagent.telemetry.drawn import Drawn
from eagent.telemetry.track import FINE_NS, SECOND_NS

SHORTEST_NS = 2 * SECOND_NS  # of less than this nothing can be said
LONGEST_NS = 60 * SECOND_NS  # of more, the last minute is looked at
TOLD_SHARE = 0.03  # buffer and readings may differ by this share ...
TOLD_SIGMAS = 4.0  # ... and by so many standard deviations of what they do not see

RAMP_READINGS = 4  # in one direction: more than the edges of a real step take, sensor's mean and regulators included
RAMP_STEP = 0.5  # no step of a ramp is more than this share of the whole swing
RAMP_SHARE = 0.5  # of all that goes up and down
SWING_SHARE = 0.10  # of the mean: a smaller swing makes no error to speak of

FLAT_SHARE = 0.04  # of the mean: readings whose standard deviation is less stand still
PAUSING_PCT = (10.0, 90.0)

_USES = 4096


class Use:
    """The utilisation of the last minutes."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._times = array("q")
        self._percents = array("b")

    def add(self, time_ns: int, percent: int) -> None:
        """Take a reading."""
        self._times.append(time_ns)
        self._percents.append(min(100, max(0, percent)))
        if len(self._times) >= 2 * _USES:
            del self._times[:_USES], self._percents[:_USES]

    def between(self, begin_ns: int, end_ns: int) -> Sequence[int]:
        """The readings within a window."""
        return self._percents[bisect_left(self._times, begin_ns) : bisect_left(self._times, end_ns)]

    def pauses(self, begin_ns: int, end_ns: int) -> bool:
        """Whether each reading of a window said that the device was busy for a part of the time."""
        readings = self.between(begin_ns, end_ns)
        return len(readings) >= 2 and PAUSING_PCT[0] <= min(readings) and max(readings) <= PAUSING_PCT[1]


def is_aliased(drawn: Drawn, sampled: Drawn, use: Use, begin_ns: int, end_ns: int) -> bool:
    """Whether the mean of a window's power readings may be that of something else than the load.

    Args:
        drawn: The sensor's readings.
        sampled: Those of the driver's buffer, as far as they come.
        use: The utilisation.
        begin_ns: Of the window.
        end_ns: Of the window.
    """
    begin_ns = max(begin_ns, end_ns - LONGEST_NS, drawn.times[-1] - FINE_NS)
    if end_ns - begin_ns < SHORTEST_NS or not drawn.blind_ns:
        return False
    first, last = drawn.place(begin_ns), drawn.place(end_ns)
    readings = drawn.readings_mw[first:last]
    if len(readings) < 2 * RAMP_READINGS:
        return False
    if is_covered(sampled, begin_ns, end_ns):
        return disagree(drawn, sampled, begin_ns, end_ns)
    return _ramps(readings) or (_flat(readings) and use.pauses(begin_ns, end_ns))


def is_covered(sampled: Drawn, begin_ns: int, end_ns: int) -> bool:
    """Whether the buffer tells of nearly all of a window."""
    known_ns = sampled.reach_ns(begin_ns, end_ns) - sampled.gaps.overlap_ns(begin_ns, end_ns)
    return known_ns >= 0.9 * (end_ns - begin_ns)


def disagree(drawn: Drawn, sampled: Drawn, begin_ns: int, end_ns: int) -> bool:
    """Whether readings and buffer tell of different means, by more than their blind times explain."""
    begin_ns, end_ns = max(begin_ns, sampled.times[0]), min(end_ns, sampled.times[-1])
    read_uj, sampled_uj = (track.between_uj(begin_ns, end_ns) for track in (drawn, sampled))
    doubt = drawn.variance(begin_ns, end_ns) + sampled.variance(begin_ns, end_ns)
    return abs(read_uj - sampled_uj) > TOLD_SHARE * max(read_uj, sampled_uj) + TOLD_SIGMAS * math.sqrt(doubt)


def _ramps(readings: Sequence[int]) -> bool:
    swing = max(readings) - min(readings)
    if swing < SWING_SHARE * sum(readings) / len(readings):
        return False
    whole = ramped = run = 0
    length = 0
    direction = 0
    for before, after in pairwise(readings):
        change = after - before
        whole += abs(change)
        sign = (change > 0) - (change < 0)
        if sign != direction or abs(change) > RAMP_STEP * swing:
            ramped += run if length >= RAMP_READINGS else 0
            run, length, direction = 0, 0, sign
        if abs(change) <= RAMP_STEP * swing:
            run, length = run + abs(change), length + 1
    ramped += run if length >= RAMP_READINGS else 0
    return ramped >= RAMP_SHARE * whole


def _flat(readings: Sequence[int]) -> bool:
    mean = sum(readings) / len(readings)
    return sum((each - mean) ** 2 for each in readings) / len(readings) < (FLAT_SHARE * mean) ** 2
