"""Power readings made into energy: for devices without a counter, and to check those with one.

A reading is the mean of the sensor's window before its refresh, on many boards a quarter of the time. What was drawn in
the blind rest is guessed from the readings around it, and how wrong that may be from how much those differ.
"""

from __future__ import annotations

from array import array

from eagent.telemetry.spells import Spells
from eagent.telemetry.track import DAY_NS, Track

# Idle devices are read once a second: a longer pause between refreshes is one in which nobody looked.
GAP_NS = 2_500_000_000

# What the blind part of a period may be off, as a share of the difference of the readings around it, squared. A step at
# some moment of it: evenly spread. Readings that go up and down: each is one draw from what was there.
_STEP = 1 / 12
_DRAW = 1 / 2
NOISE_MW = 350  # standard deviation of one reading, assumed


class Drawn(Track):
    """The integral of power. `variances` is what the blind parts add up to, in squared microjoules."""

    columns = (*Track.columns, "readings_mw", "variances")

    def __init__(self, window_ns: int, keep_ns: int = DAY_NS) -> None:
        """Of a sensor each of whose readings is the mean of `window_ns`."""
        super().__init__(keep_ns)
        self._window_ns = window_ns
        self.readings_mw = array("i")
        self.variances = array("d")
        self.gaps = Spells()
        self.blind_ns = 0  # of the last period
        self._change_mw = 0

    def read(self, time_ns: int, power_mw: int, blur_ns: int) -> None:
        """Take what was published at a time; what is not later than the last is a duplicate."""
        total_uj, variance = 0, 0.0
        if self.times:
            span_ns = time_ns - self.times[-1]
            if span_ns <= 0:
                return
            before_mw = self.readings_mw[-1]
            self.blind_ns = blind_ns = max(0, span_ns - self._window_ns)
            change_mw = power_mw - before_mw
            added_uj = (power_mw * (span_ns - blind_ns) + (power_mw + before_mw) * blind_ns // 2) // 1_000_000
            total_uj = self.totals_uj[-1] + added_uj
            share = _DRAW if change_mw * self._change_mw < 0 else _STEP
            off_uj2 = share * (change_mw * blind_ns) ** 2 + (NOISE_MW * span_ns) ** 2
            variance = self.variances[-1] + off_uj2 * 1e-12
            self._change_mw = change_mw
            if span_ns > GAP_NS:  # nothing is known of it, and nothing is made up: who asks is told how much that is
                self.gaps.add(self.times[-1], time_ns)
                total_uj, variance = self.totals_uj[-1], self.variances[-1]
        self.readings_mw.append(power_mw)
        self.variances.append(variance)
        self.add(time_ns, total_uj, blur_ns)

    def variance(self, begin_ns: int, end_ns: int) -> float:
        """What the blind parts within a window make uncertain, in squared microjoules."""
        return self._variance_at(end_ns) - self._variance_at(begin_ns)

    def _variance_at(self, time_ns: int) -> float:
        place = self.place(time_ns)
        return self.variances[min(place, len(self.variances) - 1)]
