"""Watches whether a device's sensors stand still while the device does not.

A reading that does not move proves nothing: an idle board's may stay the same for long. It is stuck if, while it stayed
what it was to the last digit, something else says that power must have changed.
"""

from __future__ import annotations

from eagent.telemetry.spells import Spells
from eagent.telemetry.track import SECOND_NS

CALM_NS = 5 * SECOND_NS  # so long all was as before, reading and witness, ...
SPAN_NS = (
    30 * SECOND_NS
)  # ... and since then not longer than this: slower changes have other causes, as the inlet's air
LOOKS = 3  # in a row: one look may be a mistake
LOADED_C = 4  # a change of temperature that only power makes so fast ...
IDLE_C = 12  # ... and on a board that is known to do nothing: its neighbours' heat
IDLE_PCT, BUSY_PCT = 5, 50
STEADY_PCT = 95
CLOCK_SHARE = 0.25
COUNTER_NS = 10 * SECOND_NS
COUNTER_RANGE = (0.8, 1.25)  # of the reading: more than gains of boards differ ...
COUNTER_W = 30  # ... and their offsets
STILL_NS = 5 * SECOND_NS  # a counter that stands for so long, while power is read
STILL_MW = 10_000


class _Witness:
    """One quantity beside a reading that does not move: calm first, then far from what it was."""

    def __init__(self) -> None:
        self._begin_ns = self._calm_ns = self._looks = 0
        self._head: int | None = None
        self.onset_ns = 0

    def restart(self) -> None:
        """The reading moved: what this one did so far says nothing."""
        self._head = None

    def look(self, time_ns: int, value: int, calm: float, far: float) -> bool:
        """Take a look; up to `calm` from the first it is as before, from `far` on it has changed. Whether it has."""
        if self._head is None:
            self._head, self._begin_ns, self._calm_ns, self._looks = value, time_ns, time_ns, 0
            return False
        off = abs(value - self._head)
        if off <= calm:
            self._calm_ns, self._looks = time_ns, 0
            return False
        if self._calm_ns - self._begin_ns < CALM_NS or time_ns - self._calm_ns > SPAN_NS:
            self._head, self._begin_ns, self._calm_ns, self._looks = value, time_ns, time_ns, 0
            return False
        self._looks = self._looks + 1 if off >= far else 0
        self.onset_ns = self._calm_ns
        return self._looks >= LOOKS


class Watch:
    """One device's sensors. `power_stuck` and `counter_stuck` are when they were."""

    def __init__(self) -> None:
        """Nothing is stuck until it is seen to be."""
        self.power_stuck = Spells()
        self.counter_stuck = Spells()
        self._power_mw = -1
        self._since_ns = 0
        self._heat, self._work, self._pace = _Witness(), _Witness(), _Witness()
        self._use_pct = -1
        self._is_watched = False  # something was seen beside the present reading
        self._counted_ns = self._counted_uj = -1  # a time within the reading's stay, and the total then
        self._total_uj = -1
        self._moved_ns = 0

    def power(self, time_ns: int, power_mw: int) -> None:
        """A look at the power reading, a duplicate or not."""
        if power_mw == self._power_mw:
            return
        self._power_mw, self._since_ns = power_mw, time_ns
        self._counted_ns = -1
        if self._is_watched:
            self._is_watched = False
            self._heat.restart()
            self._work.restart()
            self._pace.restart()
            self.power_stuck.end(time_ns)

    def temperature(self, time_ns: int, celsius: int) -> None:
        """A look at the temperature."""
        self._is_watched = True
        far = IDLE_C if 0 <= self._use_pct <= IDLE_PCT else LOADED_C
        if self._heat.look(time_ns, celsius, 1, far):
            self._found(self._heat)

    def use(self, time_ns: int, percent: int) -> None:
        """A look at the utilisation."""
        self._use_pct, self._is_watched = percent, True
        if self._work.look(time_ns, percent, IDLE_PCT, BUSY_PCT):
            self._found(self._work)

    def clock(self, time_ns: int, mhz: int) -> None:
        """A look at the clock."""
        self._is_watched = True
        if self._pace.look(time_ns, mhz, 0.05 * mhz, CLOCK_SHARE * mhz):
            self._found(self._pace)

    def energy(self, time_ns: int, total_uj: int) -> None:
        """A look at the counter, made whole; a duplicate or not."""
        if total_uj != self._total_uj:
            if time_ns - self._moved_ns >= STILL_NS:
                self.counter_stuck.end(time_ns)
            self._total_uj, self._moved_ns = total_uj, time_ns
        elif time_ns - self._moved_ns >= STILL_NS and self._power_mw >= STILL_MW:
            self.counter_stuck.begin(self._moved_ns)
        if self._counted_ns < 0:
            self._counted_ns, self._counted_uj = time_ns, total_uj
        elif time_ns - self._counted_ns >= COUNTER_NS:
            self._compare(time_ns - self._counted_ns, total_uj - self._counted_uj)
            self._counted_ns, self._counted_uj = time_ns, total_uj

    def _compare(self, span_ns: int, counted_uj: int) -> None:
        if IDLE_PCT < self._use_pct < STEADY_PCT:
            return  # a load that pauses may beat against the sensor: then what it reads may be right and not the mean
        counted_mw = counted_uj * 1_000_000 / span_ns
        low, high = (share * self._power_mw for share in COUNTER_RANGE)
        if counted_uj > 0 and not low - COUNTER_W * 1000 <= counted_mw <= high + COUNTER_W * 1000:
            self._is_watched = True
            self.power_stuck.begin(self._since_ns)

    def _found(self, witness: _Witness) -> None:
        if self._power_mw > 0:
            self.power_stuck.begin(witness.onset_ns)
