"""Whether power readings can be trusted to show a load's mean, or beat against it.

A sensor that looks at a part of each period, the same part each time, sees a load that repeats as often as the sensor
publishes always in the same phase: a square wave of 10 Hz reads as its top, or as its bottom, for ever. A load that is
a little off shows as a slow wave that is not there. Two witnesses tell, as far as they are there:

- the driver's sample buffer, which looks at other times: its mean over the window is another one
- the utilisation beside the readings' shape: the device pauses all the time, and yet they stand still, or glide up and
  down where the load's power steps
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

BLOCKS = 8  # of a window, by which buffer and readings are compared
TOLD_SHARE = 0.02  # they may differ by this share of the mean ...
TOLD_ERRORS = 3.5  # ... and by so many standard errors, which the blocks show
ALIKE_SHARE = 0.001  # who both swing and tell of means so much alike have both seen enough of the load

READINGS_MIN = 8
FLAT_SHARE = 0.06  # of the mean: readings whose standard deviation is less stand still, where no buffer tells
JITTERING_SHARE = 0.25  # likewise: what the sensor's jitter makes of a load's edge is not more
RHYTHM = 0.5  # readings of a load that the sensor meets in ever other phases come back to where they were
LAGS = 25
FEW_PHASES = 0.4
EXACTLY = 0.995
SWING_SHARE = 0.10  # of the mean: a smaller swing makes no error to speak of
STEP_SHARE = 0.3  # of the swing: what never goes farther from one reading to the next glides
SMOOTH_STEPS = 0.97  # of the steps: a load that pauses more than once a second makes more of them
SMOOTH_NS = 100_000_000  # or what is so much like what it was this long before: a load that pauses ...
SMOOTH = 0.8  # ... more than once a second is not
CYCLES = 6  # more swings than this within a window, and what is wrong of the first and the last is little of it
OTHER_USE = 0.15  # of the time
PAUSING_PCT = (10, 90)

_USES, _USES_WAITING = 4096, 512  # that are kept, and that may wait to be forgotten: they are cut in bulk


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
        if len(self._times) >= _USES + _USES_WAITING:
            del self._times[:_USES_WAITING], self._percents[:_USES_WAITING]

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
    span_ns = end_ns - begin_ns
    if span_ns < SHORTEST_NS or not drawn.blind_ns:
        return False
    readings = drawn.readings_mw[drawn.place(begin_ns) : drawn.place(end_ns)]
    if len(readings) < READINGS_MIN:
        return False
    pauses, is_smooth, is_still = use.pauses(begin_ns, end_ns), _is_smooth(readings, span_ns), _is_still(readings)
    glides = is_smooth and _swings_seldom(readings)
    if not is_covered(sampled, begin_ns, end_ns):
        return pauses and (
            (glides or is_still or _has_few_phases(readings, EXACTLY))
            or (is_smooth and _tells_of_other_use(readings, use.between(begin_ns, end_ns)))
        )
    looks = sampled.readings_mw[sampled.place(begin_ns) : sampled.place(end_ns)]
    beats_too = _has_few_phases(looks) or (pauses and _is_smooth(looks, span_ns))
    apart_share, is_sure = _apart(drawn, sampled, begin_ns, end_ns)
    if apart_share > TOLD_SHARE and (is_sure or beats_too or (pauses and (is_smooth or is_still))):
        return True
    return ((pauses or beats_too) and glides) or (beats_too and is_still and apart_share > ALIKE_SHARE)


def is_covered(sampled: Drawn, begin_ns: int, end_ns: int) -> bool:
    """Whether the buffer tells of nearly all of a window."""
    known_ns = sampled.reach_ns(begin_ns, end_ns) - sampled.gaps.overlap_ns(begin_ns, end_ns)
    return known_ns >= 0.9 * (end_ns - begin_ns)


def _apart(drawn: Drawn, sampled: Drawn, begin_ns: int, end_ns: int) -> tuple[float, bool]:
    """By which share of it readings and buffer tell of different means, and whether they do so again and again."""
    begin_ns, end_ns = max(begin_ns, sampled.times[0]), min(end_ns, sampled.times[-1])
    bounds_ns = [begin_ns + (end_ns - begin_ns) * block // BLOCKS for block in range(BLOCKS + 1)]
    read_uj, sampled_uj = ([track.between_uj(*block) for block in pairwise(bounds_ns)] for track in (drawn, sampled))
    apart_uj = [one - other for one, other in zip(read_uj, sampled_uj, strict=True)]
    mean_uj = sum(apart_uj) / BLOCKS
    error_uj = math.sqrt(sum((each - mean_uj) ** 2 for each in apart_uj) / (BLOCKS - 1) / BLOCKS)
    whole_uj = max(1, sum(sampled_uj)) / BLOCKS
    return abs(mean_uj) / whole_uj, abs(mean_uj) > TOLD_SHARE * whole_uj + TOLD_ERRORS * error_uj


def _is_smooth(readings: Sequence[int], span_ns: int) -> bool:
    """Whether they rise and fall in no steps, or in none but those of the sensor's jitter."""
    swing = max(readings) - min(readings)
    if swing < SWING_SHARE * sum(readings) / len(readings):
        return False
    lag = max(1, SMOOTH_NS * len(readings) // span_ns)
    steps = sorted(abs(after - before) for before, after in pairwise(readings))
    farthest = steps[int(SMOOTH_STEPS * (len(steps) - 1))]
    return farthest <= STEP_SHARE * swing or _rhythm(readings, lag) >= SMOOTH


def _tells_of_other_use(readings: Sequence[int], percents: Sequence[int]) -> bool:
    """Whether they are up for another share of the time than the device is busy: they don't see all of its load."""
    low, high = min(readings), max(readings)
    up_share = (sum(readings) / len(readings) - low) / max(1, high - low)
    return abs(up_share - sum(percents) / len(percents) / 100) > OTHER_USE


def _swings_seldom(readings: Sequence[int]) -> bool:
    """Whether they rise and fall a few times at most."""
    low, high = min(readings), max(readings)
    swing = high - low
    turns, is_high = 0, readings[0] > (low + high) / 2
    for each in readings:
        if (each < low + swing / 4) if is_high else (each > high - swing / 4):
            turns, is_high = turns + 1, not is_high
    return turns <= 2 * CYCLES


def _is_still(readings: Sequence[int]) -> bool:
    """Whether they hardly move, or only as the sensor's jitter makes them beside a load's edge: without a rhythm."""
    share = _deviation(readings) / (sum(readings) / len(readings))
    if share < FLAT_SHARE:
        return True
    lags = range(1, min(LAGS, len(readings) // 3))
    return share < JITTERING_SHARE and max(_rhythm(readings, lag) for lag in lags) < RHYTHM


def _has_few_phases(looks: Sequence[int], rhythm: float = FEW_PHASES) -> bool:
    """Whether looks always meet a load in the same two, three or four phases."""
    swings = _deviation(looks) > SWING_SHARE * sum(looks) / len(looks)
    return (
        swings
        and _rhythm(looks, 1) < 0.2
        and max(_rhythm(looks, lag) * len(looks) / (len(looks) - lag) for lag in (2, 3, 4)) > rhythm
    )


def _deviation(readings: Sequence[int]) -> float:
    mean = sum(readings) / len(readings)
    return math.sqrt(sum((each - mean) ** 2 for each in readings) / len(readings))


def _rhythm(readings: Sequence[int], lag: int) -> float:
    """How much readings are like those `lag` before: 1 the same, 0 no more than by chance."""
    mean = sum(readings) / len(readings)
    off = [each - mean for each in readings]
    common = sum(one * other for one, other in zip(off, off[lag:], strict=False))
    return common / max(1.0, sum(each * each for each in off))
