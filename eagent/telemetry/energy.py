"""Joules with an error bar: what a device drew over a window, by its energy counter or by its power readings."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

from eagent.model import Channel, Device, DeviceKind, Status
from eagent.telemetry import edge
from eagent.telemetry.counter import Counter
from eagent.telemetry.track import SECOND_NS, Track

# A board's own error, 95 %, which no reading of the same board can show. Power: gains of 0.87 to 1.06 and offsets of
# -24 to +16 W were measured (arXiv 2312.02741). Counters: they agree with integrated power to about 1 %.
COUNTER_GAIN_SHARE = 0.01
POWER_GAIN_SHARE = 0.13
POWER_OFFSET_W = 24.0
# RAPL: read at once, no sensor's period. Against wall meters a few percent (package.py states none of its own).
PACKAGE_GAIN_SHARE = 0.05

JITTER_SHARE = 0.01  # of a period: how far a refresh may come off its time
LEARNT_NS = 1_000_000  # how far off the loop's idea of it may be
PACKAGE_BLUR_NS = 1_000_000

# Idle devices are read once a second: a longer pause between refreshes is one in which nobody looked.
GAP_NS = 2_500_000_000
UNKNOWN_SHARE_MAX = 0.5  # of a window, beyond which its joules would be made up
UNKNOWN_SHARE_TOLD = 0.02
NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Energy:
    """What one device drew over one window.

    The truth as the device's own sensor would have it lies within `energy_j` +- `half_width_j` in 95 of 100 windows.
    The board's constant error comes on top and is stated apart: 95 % of boards err by no more than `gain_share` of it.
    """

    energy_j: float | None  # None: too little is known; `flags` says why
    half_width_j: float
    gain_share: float
    source: str  # "counter" or "power"
    flags: tuple[str, ...]  # of "stuck", "aliasing", "disagreement", "gap", "reset"


@dataclass(slots=True)
class _Spells:
    """Stretches of time, in order, the oldest dropped."""

    begins: array[int]
    ends: array[int]
    most: int = 1024

    def add(self, begin_ns: int, end_ns: int) -> None:
        self.begins.append(begin_ns)
        self.ends.append(end_ns)
        if len(self.begins) > self.most:
            del self.begins[: self.most // 2], self.ends[: self.most // 2]

    def overlap_ns(self, begin_ns: int, end_ns: int) -> int:
        pairs = zip(self.begins, self.ends, strict=True)
        return sum(max(0, min(end_ns, last) - max(begin_ns, first)) for first, last in pairs)


def _spells() -> _Spells:
    return _Spells(array("q"), array("q"))


class Meter:
    """The energy of one device. Fed with its ring records in order, asked for windows."""

    def __init__(self, device: Device) -> None:
        """A meter without a past."""
        self.device = device
        is_package = device.kind is DeviceKind.CPU
        self._period_ns = int(device.power_period_s * 1e9)
        self._window_ns = int(device.power_window_s * 1e9)
        self._known_blur_ns = PACKAGE_BLUR_NS if is_package else LEARNT_NS + int(JITTER_SHARE * self._period_ns)
        self._unknown_age_ns = 0 if is_package else self._period_ns // 2
        self._counter_gain_share = PACKAGE_GAIN_SHARE if is_package else COUNTER_GAIN_SHARE
        self._counter = Counter(device.max_limit_w)
        self._counted = Track()
        self._counted_uj = 0
        self._counter_supported = False
        self._resets = _spells()
        self._drawn = Track()
        self._drawn_uj = 0
        self._power_mw = 0
        self._unseen = _spells()
        self._takers = {Channel.ENERGY_MJ: self._count, Channel.POWER_INSTANT_MW: self._draw}

    def add(self, time_ns: int, value: int, channel: int, status: int, age_ns: int) -> None:
        """Take one ring record of the device."""
        taker = self._takers.get(channel)  # type: ignore[call-overload]
        if taker is not None and status == Status.OK:
            taker(time_ns, value, age_ns)

    def resolved_until_ns(self) -> int:
        """Windows that end at or before this can be answered for good."""
        track = self._track()
        return track.times[-1] if track.times else 0

    def flags(self, now_ns: int) -> tuple[str, ...]:
        """What is wrong now."""
        track = self._track()
        return () if track.times and now_ns - track.times[-1] <= GAP_NS else ("gap",)

    def energy(self, begin_ns: int, end_ns: int) -> Energy:
        """What was drawn from one monotonic time to another, as far as it is known by now."""
        track = self._counted
        if (
            self._reach_ns(track, begin_ns, end_ns) >= self._reach_ns(self._drawn, begin_ns, end_ns) > 0
            or not self._drawn
        ):
            return self._by("counter", track, begin_ns, end_ns)
        return self._by("power", self._drawn, begin_ns, end_ns)

    def _track(self) -> Track:
        return self._counted if self._counter_supported else self._drawn

    def _count(self, time_ns: int, value: int, age_ns: int) -> None:
        self._counter_supported = True
        published_ns, blur_ns = self._published(time_ns, age_ns)
        step = self._counter.add(published_ns, value)
        times = self._counted.times
        if step.is_reset and times:
            self._resets.add(times[-1], published_ns)
        self._counted_uj += step.added_mj * 1000
        self._counted.add(published_ns, self._counted_uj, blur_ns)

    def _draw(self, time_ns: int, value: int, age_ns: int) -> None:
        if value <= 0:  # what is powered never draws nothing: drivers that are polled hard have been seen to say 0
            return
        published_ns, blur_ns = self._published(time_ns, age_ns)
        times = self._drawn.times
        if times:
            span_ns = published_ns - times[-1]
            if span_ns <= 0:
                return
            if span_ns > GAP_NS:
                self._unseen.add(times[-1], published_ns)
            seen_ns = min(span_ns, self._window_ns)
            mean_mw = (self._power_mw + value) / 2
            self._drawn_uj += int((value * seen_ns + mean_mw * (span_ns - seen_ns)) * 1e-6)
        self._drawn.add(published_ns, self._drawn_uj, blur_ns)
        self._power_mw = value

    def _published(self, time_ns: int, age_ns: int) -> tuple[int, int]:
        """When the sensor published what was read, and how far off that may be."""
        if age_ns < 0:
            return time_ns - self._unknown_age_ns, max(self._unknown_age_ns, self._known_blur_ns)
        return time_ns - age_ns, self._known_blur_ns

    @staticmethod
    def _reach_ns(track: Track, begin_ns: int, end_ns: int) -> int:
        if len(track) < 2:
            return 0
        return max(0, min(end_ns, track.times[-1]) - max(begin_ns, track.times[0]))

    def _by(self, source: str, track: Track, begin_ns: int, end_ns: int) -> Energy:
        gain_share = self._counter_gain_share if source == "counter" else POWER_GAIN_SHARE
        window_ns = max(end_ns - begin_ns, 1)
        reach_ns = self._reach_ns(track, begin_ns, end_ns)
        unknown_ns = window_ns - reach_ns
        if source == "power":
            unknown_ns += self._unseen.overlap_ns(begin_ns, end_ns)
        if not reach_ns or unknown_ns > UNKNOWN_SHARE_MAX * window_ns:
            return Energy(None, 0.0, gain_share, source, ("gap",))
        first = edge.at(track, max(begin_ns, track.times[0]))
        last = edge.at(track, min(end_ns, track.times[-1]))
        known_j = (last.total_uj - first.total_uj) * 1e-6
        energy_j = known_j * window_ns / reach_ns
        half_j = NORMAL_95 * math.hypot(first.sigma_uj, last.sigma_uj) * 1e-6 + abs(energy_j) * unknown_ns / window_ns
        flags = []
        if unknown_ns > UNKNOWN_SHARE_TOLD * window_ns:
            flags.append("gap")
        if source == "counter" and self._resets.overlap_ns(begin_ns, end_ns):
            flags.append("reset")
        if source == "power" and energy_j > 0:
            gain_share = math.hypot(gain_share, POWER_OFFSET_W * window_ns / SECOND_NS / energy_j)
        return Energy(energy_j, half_j, gain_share, source, tuple(flags))
