"""Joules with an error bar: what a device drew over a window, by its energy counter or by its power readings."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from eagent.model import Channel, Device, DeviceKind, Status
from eagent.telemetry import aliasing, edge
from eagent.telemetry.agreement import Agreement
from eagent.telemetry.counter import Counter
from eagent.telemetry.drawn import GAP_NS, Drawn
from eagent.telemetry.records import POWER_MOST_MW
from eagent.telemetry.spells import Spells
from eagent.telemetry.stuck import Watch
from eagent.telemetry.track import DAY_NS, FINE_NS, SECOND_NS, Track

# A board's own error, 95 %, which no reading of the same board can show. Power: gains of 0.87 to 1.06 and offsets of
# -24 to +16 W were measured (arXiv 2312.02741). Counters: they agree with integrated power to about 1 %.
COUNTER_GAIN_SHARE = 0.01
POWER_GAIN_SHARE = 0.13
POWER_OFFSET_W = 24.0
PACKAGE_GAIN_SHARE = 0.05  # RAPL against wall meters: a few percent, assumed

JITTER_SHARE = 0.01  # of a period: how far a refresh may come off its time
PACKAGE_BLUR_NS = 1_000_000  # RAPL counts each millisecond
LEARNT_NS, LEARNT_SHARE = 700_000, 0.002  # how far off the loop's idea of it may be, for all refreshes alike
IDLE_CHANGE_SHARE = 0.1  # ... unless power has changed by more than this since
SLOW_NS = 500_000_000  # refreshes farther apart than this are looks at an idle device

# As plain numbers: comparing members of an enumeration a thousand times a second costs more than the rest.
_OK, _SAME = int(Status.OK), int(Status.SAME)
_POWER, _ENERGY = int(Channel.POWER_INSTANT_MW), int(Channel.ENERGY_MJ)
_SAMPLE = int(Channel.POWER_SAMPLE_MW)

UNKNOWN_SHARE_MAX = 0.5  # of a window, beyond which its joules would be made up
UNKNOWN_SHARE_TOLD = 0.02
BLIND_WEIGHT = 4.0  # of the blind parts' variance in the square of a half-width of 95 %
COUNT_UJ = 1000  # what a counter of millijoules leaves open
ALIASED_SHARE = 0.5  # how wrong power readings may be that may show anything of a load's swing ...
ALIASED_BUFFER_SHARE = 0.2  # ... and what the driver's buffer tells in their stead, which looks more often


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


class Meter:
    """The energy of one device. Fed with its ring records in order, asked for windows."""

    def __init__(self, device: Device) -> None:
        """A meter without a past."""
        self.device = device
        self._is_package = device.kind is DeviceKind.CPU
        period_ns, window_ns = round(device.power_period_s * 1e9), round(device.power_window_s * 1e9)
        self._learnt_ns = LEARNT_NS + int(LEARNT_SHARE * period_ns)
        self._known_blur_ns = self._learnt_ns + int(JITTER_SHARE * period_ns)
        self._period_ns = period_ns
        self._looked_ns = [0, 0]  # at the counter, at the power reading: the last look
        # The mean of more than a period is that of an earlier time.
        self._late_ns = 0 if self._is_package else max(0, window_ns - period_ns) // 2
        self._counter = Counter(device.max_limit_w)
        self._counted = Track()
        self._counted_uj = 0
        self._resets = Spells()
        self._lost: deque[tuple[int, int]] = deque(maxlen=256)  # with a reset before a time: microjoules
        self._drawn = Drawn(window_ns, FINE_NS)
        self._sampled = Drawn(0, FINE_NS)
        self._use = aliasing.Use()
        self._watch = Watch()
        self._agreement = Agreement(self._is_aliased)

    def add(self, time_ns: int, value: int, channel: int, status: int, age_ns: int) -> None:
        """Take one ring record of the device."""
        if status == _OK:
            if channel == _POWER:
                self._draw(time_ns, value, age_ns)
            elif channel == _ENERGY:
                self._count(time_ns, value, age_ns)
            elif channel == _SAMPLE:
                if 0 < value <= POWER_MOST_MW:
                    self._sampled.read(time_ns, value, self._known_blur_ns)
            else:
                self._watch_else(time_ns, value, channel)
        elif status == _SAME:
            if channel == _POWER and value > 0:
                self._looked_ns[1] = time_ns
                self._watch.power(time_ns, value)
            elif channel == _ENERGY:
                self._looked_ns[0] = time_ns
                self._watch.energy(time_ns, self._counted_uj)

    def resolved_until_ns(self) -> int:
        """Windows that end at or before this can be answered for good: what comes after them has been seen, too."""
        times = self._main.times
        if not times:
            return 0
        if self._is_package or len(times) < 3:
            return times[-1]
        is_idle = times[-1] - times[-2] >= SLOW_NS and self._main.is_steady(IDLE_CHANGE_SHARE)
        return times[-1] if is_idle else times[-2]

    def flags(self, now_ns: int) -> tuple[str, ...]:
        """What is wrong now."""
        found = []
        if self._watch.power_stuck.open or self._watch.counter_stuck.open:
            found.append("stuck")
        if self._agreement.spells.open:
            found.append("disagreement")
        times = self._main.times
        if not times or now_ns - times[-1] > GAP_NS:
            found.append("gap")
        elif self._main is self._drawn and self._is_aliased(now_ns - 10 * SECOND_NS, now_ns):
            found.append("aliasing")
        return tuple(found)

    def energy(self, begin_ns: int, end_ns: int) -> Energy:
        """What was drawn from one monotonic time to another, as far as it is known by now."""
        window_ns = end_ns - begin_ns
        counted_ns = self._counted.reach_ns(begin_ns, end_ns) - self._watch.counter_stuck.overlap_ns(begin_ns, end_ns)
        drawn_ns = self._drawn_ns(begin_ns, end_ns)
        if window_ns > 0 and max(counted_ns, drawn_ns) >= (1 - UNKNOWN_SHARE_MAX) * window_ns:
            by_counter = counted_ns >= min(drawn_ns, (1 - UNKNOWN_SHARE_TOLD) * window_ns)
            return self._by_counter(begin_ns, end_ns) if by_counter else self._by_power(begin_ns, end_ns)
        if window_ns == 0:
            return Energy(0.0, 0.0, self._counter_gain_share, "counter", ())
        stuck = self._watch.counter_stuck.overlap_ns(begin_ns, end_ns) or self._watch.power_stuck.overlap_ns(
            begin_ns, end_ns
        )
        source = "counter" if self._main is self._counted else "power"
        return Energy(None, 0.0, self._counter_gain_share, source, ("stuck", "gap") if stuck else ("gap",))

    @property
    def _counter_gain_share(self) -> float:
        return PACKAGE_GAIN_SHARE if self._is_package else COUNTER_GAIN_SHARE

    @property
    def _main(self) -> Track:
        return self._counted if self._counted.times or not self._drawn.times else self._drawn

    def _drawn_ns(self, begin_ns: int, end_ns: int) -> int:
        """How much of a window power readings tell of."""
        unknown_ns = self._drawn.gaps.overlap_ns(begin_ns, end_ns)
        return (
            self._drawn.reach_ns(begin_ns, end_ns) - unknown_ns - self._watch.power_stuck.overlap_ns(begin_ns, end_ns)
        )

    def _count(self, time_ns: int, value: int, age_ns: int) -> None:
        published_ns, blur_ns = self._published(time_ns, age_ns, 0)
        times = self._counted.times
        if times and published_ns <= times[-1]:
            return
        if times and blur_ns == self._known_blur_ns < self._counted.blurs_ns[-1]:
            self._place_last(published_ns)
        step = self._counter.add(published_ns, value)
        added_uj = step.added_mj * 1000
        if step.is_reset:
            added_uj = self._across_reset(times[-1], published_ns, added_uj)
        self._counted_uj += added_uj
        self._counted.add(published_ns, self._counted_uj, blur_ns)
        self._watch.energy(published_ns, self._counted_uj)
        if published_ns >= self._agreement.due_ns:
            self._agreement.look(self._counted, self._drawn)

    def _across_reset(self, last_ns: int, now_ns: int, counted_uj: int) -> int:
        """What was drawn since the last reading before a reset: what was counted since, and what was lost with it.

        The lost part is told by power readings or, without, by what was drawn before; all of it is uncertain.
        """
        if self._drawn.reach_ns(last_ns, now_ns) == now_ns - last_ns and not self._drawn.gaps.overlap_ns(
            last_ns, now_ns
        ):
            expected_uj = self._drawn.between_uj(last_ns, now_ns)
        else:
            before_ns = max(self._counted.times[0], last_ns - SECOND_NS)
            known_ns = last_ns - before_ns
            rate = self._counted.between_uj(before_ns, last_ns) / known_ns if known_ns else 0.0
            expected_uj = rate * (now_ns - last_ns)
        lost_uj = max(0, int(expected_uj) - counted_uj)
        self._resets.add(last_ns, now_ns)
        self._lost.append((now_ns, lost_uj))
        return counted_uj + lost_uj

    def _place_last(self, published_ns: int) -> None:
        """Of the refresh before one that is known only a stretch is known: it was a number of periods earlier."""
        last_ns, within_ns = self._counted.times[-1], self._counted.blurs_ns[-1]
        periods = -((last_ns + within_ns // 2 - published_ns) // self._period_ns)
        placed_ns = published_ns - periods * self._period_ns
        earliest_ns = max(last_ns - within_ns // 2, self._counted.times[-2] + 1 if len(self._counted) > 1 else 0)
        if periods > 0 and placed_ns >= earliest_ns:
            self._counted.move_last(placed_ns, self._known_blur_ns)

    def _draw(self, time_ns: int, value: int, age_ns: int) -> None:
        # What is powered never draws nothing: drivers that are polled hard have been seen to say 0.
        if not 0 < value <= POWER_MOST_MW:
            return
        published_ns, blur_ns = self._published(time_ns, age_ns, 1)
        if not self._counted.times and self._drawn.keep_ns != DAY_NS and len(self._drawn) > 100:
            self._drawn.keep_ns = DAY_NS  # there is nothing else to remember
        self._drawn.read(published_ns - self._late_ns, value, blur_ns)
        self._watch.power(time_ns, value)

    def _watch_else(self, time_ns: int, value: int, channel: int) -> None:
        if channel == Channel.TEMPERATURE_C:
            self._watch.temperature(time_ns, value)
        elif channel == Channel.SM_CLOCK_MHZ:
            self._watch.clock(time_ns, value)
        elif channel == Channel.GPU_UTILISATION_PCT:
            self._watch.use(time_ns, value)
            self._use.add(time_ns, value)

    def _published(self, time_ns: int, age_ns: int, which: int) -> tuple[int, int]:
        """When the sensor published what was read, and how far off that may be: after the look before, in any case."""
        if self._is_package:
            return time_ns, PACKAGE_BLUR_NS
        since_ns = time_ns - self._looked_ns[which]
        self._looked_ns[which] = time_ns
        if age_ns >= 0:
            return time_ns - min(age_ns, since_ns), self._known_blur_ns
        within_ns = min(self._period_ns, since_ns)
        return time_ns - within_ns // 2, max(self._known_blur_ns, within_ns)

    def _by_counter(self, begin_ns: int, end_ns: int) -> Energy:
        track = self._counted
        first = edge.at(track, max(begin_ns, track.times[0]), self._drawn)
        last = edge.at(track, min(end_ns, track.times[-1]), self._drawn)
        lost_uj = sum(lost_uj for time_ns, lost_uj in self._lost if begin_ns < time_ns <= end_ns)
        half_uj = math.hypot(edge.half_width_uj(first, last, self._learnt_ns, end_ns - begin_ns), COUNT_UJ) + lost_uj
        known = _Known(last.total_uj - first.total_uj, half_uj)
        known = known.stretched(end_ns - begin_ns, track.reach_ns(begin_ns, end_ns))
        flags = {
            "disagreement": self._agreement.spells.overlap_ns(begin_ns, end_ns) > 0,
            "gap": known.is_partial or first.is_unseen or last.is_unseen,
            "reset": self._resets.overlap_ns(begin_ns, end_ns) > 0,
        }
        return _energy(known, self._counter_gain_share, "counter", flags)

    def _by_power(self, begin_ns: int, end_ns: int) -> Energy:
        track = self._drawn
        inside_ns = max(begin_ns, track.times[0]), min(end_ns, track.times[-1])
        first, last = (edge.at(track, each) for each in inside_ns)
        edges_uj = edge.half_width_uj(first, last, self._learnt_ns, end_ns - begin_ns)
        drawn_uj, blind_uj2 = last.total_uj - first.total_uj, BLIND_WEIGHT * track.variance(*inside_ns)
        is_aliased = self._is_aliased(begin_ns, end_ns)
        worth = ALIASED_SHARE
        if aliasing.is_covered(self._sampled, begin_ns, end_ns):
            worth = ALIASED_BUFFER_SHARE
            if is_aliased:  # what readings that stand still tell of their own scatter is nothing
                blind_uj2 = drawn_uj**2
            drawn_uj, blind_uj2 = self._with_samples(drawn_uj, blind_uj2, *inside_ns)
        half_uj = math.hypot(edges_uj, math.sqrt(blind_uj2))
        if is_aliased:
            half_uj = max(half_uj, worth * drawn_uj)
        stuck_ns = self._watch.power_stuck.overlap_ns(begin_ns, end_ns)
        half_uj += drawn_uj * stuck_ns / (end_ns - begin_ns)
        told_ns = self._drawn_ns(begin_ns, end_ns) + stuck_ns
        known = _Known(drawn_uj, half_uj).stretched(end_ns - begin_ns, told_ns)
        flags = {
            "stuck": stuck_ns > 0,
            "aliasing": is_aliased,
            "disagreement": self._agreement.spells.overlap_ns(begin_ns, end_ns) > 0,
            "gap": known.is_partial,
            "reset": self._resets.overlap_ns(begin_ns, end_ns) > 0,
        }
        offset_share = POWER_OFFSET_W * (end_ns - begin_ns) * 1e-3 / max(known.energy_uj, 1.0)
        return _energy(known, math.hypot(POWER_GAIN_SHARE, offset_share), "power", flags)

    def _with_samples(self, drawn_uj: float, blind_uj2: float, begin_ns: int, end_ns: int) -> tuple[float, float]:
        """Readings and the driver's buffer together, each by what it is worth."""
        sampled = self._sampled
        begin_ns, end_ns = max(begin_ns, sampled.times[0]), min(end_ns, sampled.times[-1])
        seen_uj = self._drawn.between_uj(begin_ns, end_ns)
        sampled_uj = sampled.between_uj(begin_ns, end_ns) * drawn_uj / max(seen_uj, 1.0)
        sampled_uj2 = BLIND_WEIGHT * sampled.variance(begin_ns, end_ns) + 1.0
        weight = sampled_uj2 / (sampled_uj2 + blind_uj2)
        together_uj = weight * drawn_uj + (1 - weight) * sampled_uj
        # Either may be wrong in a way that its own scatter does not show: at least a half of what they differ by.
        apart_uj = abs(drawn_uj - sampled_uj) / 2
        return together_uj, blind_uj2 * sampled_uj2 / (blind_uj2 + sampled_uj2) + apart_uj**2

    def _is_aliased(self, begin_ns: int, end_ns: int) -> bool:
        if len(self._drawn) < 2:
            return False
        return aliasing.is_aliased(self._drawn, self._sampled, self._use, begin_ns, end_ns)


@dataclass(frozen=True, slots=True)
class _Known:
    """Microjoules of a window, or of the part of it that is known."""

    energy_uj: float
    half_uj: float
    is_partial: bool = False

    def stretched(self, window_ns: int, known_ns: int) -> _Known:
        """For the whole window: the rest of it drew as much as the known part, or nothing, or twice that."""
        unknown_ns = window_ns - known_ns
        if unknown_ns <= 0:
            return _Known(max(0.0, self.energy_uj), self.half_uj)
        rest_uj = self.energy_uj / known_ns * unknown_ns
        is_told = unknown_ns > UNKNOWN_SHARE_TOLD * window_ns
        return _Known(max(0.0, self.energy_uj + rest_uj), self.half_uj + abs(rest_uj), is_told)


def _energy(known: _Known, gain_share: float, source: str, flags: dict[str, bool]) -> Energy:
    told = tuple(name for name, is_so in flags.items() if is_so)
    return Energy(known.energy_uj * 1e-6, known.half_uj * 1e-6, gain_share, source, told)
