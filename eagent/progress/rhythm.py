"""What repeats in the power that a GPU draws, and how often it has done so.

A job that repeats its step draws power that repeats with it: a line in its spectrum, and multiples of it. How often is
counted by the line's phase, which is known to some thousandths of a cycle, and not by adding up estimates of its
frequency. What is counted may be a fixed part of a step, or a fixed number of steps; for how much slower or faster a
job has become that is the same.

A line is believed when it stands far above its surroundings, has the same phase in both halves of what is looked at,
and is no ghost of something faster than the grid. Where it is not believed, nothing is said.
"""

from __future__ import annotations

import cmath
import math
from statistics import median

from eagent.progress.signal import GRID_NS, GRID_S, KEEP, Signal
from eagent.progress.spectrum import line, line_of, powers

SECOND_NS = 1_000_000_000
SLOWEST_HZ, FASTEST_HZ = 1 / 15, 2.2  # steps of half a second to 15 s
SPECTRUM = 1024
HIGHEST_HZ = 4.0  # of a multiple
PARTS = 8  # the strongest line is at most this multiple of what repeats
MULTIPLES = 12
CLOCKS_MAX = 256
NOISE = 8.0  # times the median: what is below is no multiple
WHOLE = 0.92  # of the power in all multiples: what has so much of it repeats as often as that
TRY_CELLS = (300, KEEP)  # of the grid, that something is looked for in
TRY_LEAST = 120
TRY_NS = 4 * SECOND_NS
CYCLES_LEAST = 8.0
APART_CYCLES = 3.0  # within what is looked at, and a line is apart from its neighbours
ABOVE = 30.0  # times the median of the spectrum around it, in power: noise gets there once in years
ABOVE_KEPT = 6.0
AMPLITUDE_SHARE = 0.01  # of the mean power
HALVES = 0.4  # what repeats is as strong in one half as in the other, or not much weaker
UNSEEN = 0.35  # times as strong in the readings as in the counter: less, and it is the counter's own
GHOST = 2.2  # times as strong in short looks as in means: what the grid can show is at most 1.2 times as strong
COHERENT = 0.93  # of the quarters of what is looked at: noise has no phase that lasts
SURE_NS = 7 * SECOND_NS  # what was seen so much earlier, too, is believed ...
SAME = 0.03  # ... if it repeated as often
FOLLOW_NS = SECOND_NS
FOLLOW_S, FOLLOW_CYCLES = 10.0, 8.0  # of the past that a phase is taken from, whichever is more ...
SETTLED_S, SETTLED_CYCLES = 3.0, 4.5  # ... and at least, after a change of the clock
DRIFT = 0.06  # how much faster or slower than a change of the clock explains it may become
FASTER = 1.015  # at a lower clock: no work is
LOWER = 0.97
STAY_NS = 20 * SECOND_NS  # for so long it is counted at a clock
GHOST_NS = 600 * SECOND_NS  # what has shown itself to be none is not looked at for so long


class Rhythm:
    """One GPU's line."""

    def __init__(self, signal: Signal) -> None:
        """No line yet."""
        self.signal = signal
        self.cycles = 0.0  # since the first time that there was a line
        self.at_ns = 0  # when that was so
        self.frequency_hz: float | None = None  # None: no line
        self.above = 0.0  # how far it stands out
        self.why = "too little of its power is known yet"
        self._tried_ns = 0
        self._well_ns = 0
        self._rates: dict[int, float] = {}  # how often a second it repeats, by the clock in steps of 15 MHz
        self._seen: list[tuple[int, float]] = []  # when what was seen, before it is believed
        self._stay: tuple[int, int, float] | None = None  # the clock, since when, and the cycles then
        self._ghost_until_ns = 0
        self._clock_mhz: float | None = None  # when it was last well
        self._multiple = 1  # of what repeats, whose phase is taken

    def look(self, now_ns: int) -> bool:
        """Follow the line, or look for one when that is due; whether that was costly."""
        if now_ns < self._ghost_until_ns:
            return False
        if self.frequency_hz is not None:
            if self.signal.end_ns - self._tried_ns >= FOLLOW_NS:
                self._tried_ns = self.signal.end_ns
                self._follow(self.frequency_hz, now_ns)
            return False
        if self.signal.end_ns - self._tried_ns < TRY_NS:
            return False
        self._tried_ns = self.signal.end_ns
        return self._seek()

    def rest(self) -> None:
        """Follow no line."""
        self.frequency_hz = None

    def _seek(self) -> bool:
        steady = (self.signal.end_ns - self.signal.clock_since_ns) // GRID_NS
        known = min(steady, len(self.signal.watts))
        self.why = "too little of its power is known yet"
        if known < TRY_LEAST:
            return False
        self.why = "nothing repeats in the power that it draws"
        for most in TRY_CELLS:
            if most == TRY_CELLS[0] or known > TRY_CELLS[0]:
                cells = self.signal.last(min(most, known))
                if (found := self._repeats(cells)) is not None and self._begin(cells, found):
                    break
        return True

    def _repeats(self, cells: list[float]) -> float | None:
        """The frequency of what repeats in these cells, roughly."""
        found = powers(cells, SPECTRUM)
        width, span_s = SPECTRUM * GRID_S, len(cells) * GRID_S  # of a hertz, in bins; of the cells
        low, high = max(2, math.ceil(CYCLES_LEAST / span_s * width)), int(HIGHEST_HZ * width)
        peak = max(range(low, high + 1), key=found.__getitem__)
        self.above = found[peak] / max(_around(found, peak, len(cells)), 1e-30)
        if peak in (low, high) or self.above < ABOVE:
            return None
        below, at, over = (math.log(max(found[peak + off], 1e-30)) for off in (-1, 0, 1))
        bend = below - 2 * at + over
        strongest_hz = (peak + (0.5 * (below - over) / bend if bend < 0 else 0.0)) / width
        parts = [part for part in range(1, PARTS + 1) if strongest_hz / part >= APART_CYCLES / span_s]
        floor = _around(found, peak, len(cells))
        shares = [_power(cells, strongest_hz / part, NOISE * floor) for part in parts]
        part = next(part for part, share in zip(parts, shares, strict=True) if share >= WHOLE * max(shares))
        return strongest_hz / part if strongest_hz / part >= CYCLES_LEAST / span_s else None  # else more must be seen

    def _begin(self, cells: list[float], frequency_hz: float) -> bool:
        """Follow what repeats from here on, if it can be believed."""
        lines = [abs(line(cells, multiple * frequency_hz * GRID_S)) for multiple in _multiples(frequency_hz)]
        # The first is best, because its phase tells all of a cycle; a weak one tells little.
        self._multiple = 1 if lines[0] >= 0.5 * max(lines) else 1 + lines.index(max(lines))
        refined = self._refined(cells, frequency_hz)
        if refined is None or not SLOWEST_HZ <= refined <= FASTEST_HZ or not self._is_coherent(cells, refined):
            return False
        whole = self._line(cells, refined)
        if 2 * abs(whole) < AMPLITUDE_SHARE * sum(cells) / len(cells):
            return False
        ratio = self._in_looks(self._multiple * refined, len(cells)) / abs(whole)
        if not UNSEEN < ratio < GHOST:
            if ratio > GHOST:
                self.why = "what repeats in its power is faster than the sensor looks"
            return False
        if not self._is_sure(refined):
            return False
        self.frequency_hz = refined
        self._clock_mhz = self.signal.clock_mhz
        self.at_ns = self.signal.end_ns - len(cells) * GRID_NS // 2
        self._well_ns = self.signal.end_ns
        turn = cmath.phase(whole) / math.tau / self._multiple
        self.cycles = math.ceil(self.cycles - turn) + turn
        return True

    def _is_coherent(self, cells: list[float], frequency_hz: float) -> bool:
        """Whether it has one phase and about one strength in all quarters."""
        size = len(cells) // 4
        turn = cmath.exp(-2j * math.pi * self._multiple * frequency_hz * size * GRID_S)
        quarters = [
            self._line(cells[place * size : (place + 1) * size], frequency_hz) * turn**place for place in range(4)
        ]
        strengths = [abs(each) for each in quarters]
        return min(strengths) >= HALVES * max(strengths) and abs(sum(quarters)) >= COHERENT * sum(strengths)

    def _is_sure(self, frequency_hz: float) -> bool:
        """Whether it was seen some seconds before, too."""
        now_ns = self.signal.end_ns
        self._seen = [(at_ns, hz) for at_ns, hz in self._seen if now_ns - at_ns < 4 * SURE_NS]
        sure = any(
            now_ns - at_ns >= SURE_NS and abs(hz - frequency_hz) <= SAME * frequency_hz for at_ns, hz in self._seen
        )
        self._seen.append((now_ns, frequency_hz))
        return sure

    def _follow(self, frequency_hz: float, now_ns: int) -> None:
        signal = self.signal
        changed = signal.clock_since_ns > self.at_ns
        most = min(KEEP, round(max(FOLLOW_S, FOLLOW_CYCLES / frequency_hz) / GRID_S))
        least = round(max(SETTLED_S, SETTLED_CYCLES / frequency_hz) / GRID_S)
        steady = (signal.end_ns - signal.clock_since_ns) // GRID_NS
        if steady < least:
            return  # of the time since the clock has changed too little is known
        cells = signal.last(min(most, steady))
        if len(cells) < least:
            self._lose("its power was not known for a while")
            return
        found = None if changed else self._refined(cells, frequency_hz)
        if found is None or not self._stands_out(cells, found):
            found = self._searched(cells, frequency_hz)
            if found is None or not self._stands_out(cells, found):
                if now_ns - self._well_ns > (FOLLOW_S + 2 * FOLLOW_CYCLES / frequency_hz) * SECOND_NS:
                    self._lose("nothing repeats any more in the power that it draws")
                return
        self._advance(frequency_hz, found, self._line(cells, found), len(cells))
        self._clock_mhz = signal.clock_mhz
        if len(cells) == most:
            self._compare(now_ns)

    def _advance(self, before_hz: float, now_hz: float, whole: complex, count: int) -> None:
        """By the phase, to the whole cycle that is nearest to what the frequencies come to."""
        middle_ns = self.signal.end_ns - count * GRID_NS // 2
        if middle_ns <= self.at_ns:
            return
        changed_ns = min(max(self.signal.clock_since_ns, self.at_ns), middle_ns)
        if changed_ns == self.at_ns:  # no change of the clock: if the rhythm has changed, then somewhere between
            changed_ns = (self.at_ns + middle_ns) // 2
        expected = self.cycles + (before_hz * (changed_ns - self.at_ns) + now_hz * (middle_ns - changed_ns)) / 1e9
        turn = cmath.phase(whole) / math.tau
        self.cycles = max(self.cycles, (round(expected * self._multiple - turn) + turn) / self._multiple)
        self.frequency_hz, self.at_ns, self._well_ns = now_hz, middle_ns, self.signal.end_ns

    def _line(self, cells: list[float], frequency_hz: float) -> complex:
        return line(cells, self._multiple * frequency_hz * GRID_S)

    def _refined(self, cells: list[float], frequency_hz: float) -> float | None:
        """The frequency by which the phase of one half leads to that of the other; None: they don't fit."""
        half = len(cells) // 2
        span_s = half * GRID_S
        for _ in range(2):
            first, second = self._line(cells[:half], frequency_hz), self._line(cells[half : 2 * half], frequency_hz)
            strong, weak = max(abs(first), abs(second)), min(abs(first), abs(second))
            if weak < HALVES * strong or strong == 0:
                return None
            off = (cmath.phase(second) - cmath.phase(first)) / math.tau - self._multiple * frequency_hz * span_s
            off -= round(off)
            if abs(off) > 0.35:
                return None
            frequency_hz += off / span_s / self._multiple
        return frequency_hz

    def _searched(self, cells: list[float], frequency_hz: float) -> float | None:
        """What repeats as often as it did, or as the change of the clock explains: work follows it, or does not."""
        clocks = self.signal.clock_mhz, self._clock_mhz
        ratio = clocks[0] / clocks[1] if clocks[0] and clocks[1] else 1.0
        low, high = min(1.0, ratio) * (1 - DRIFT) * frequency_hz, max(1.0, ratio) * (1 + DRIFT) * frequency_hz
        step_hz = 0.25 / (len(cells) * GRID_S) / self._multiple
        places = [low + place * step_hz for place in range(int((high - low) / step_hz) + 1)]
        best = max(places, key=lambda each: abs(self._line(cells, each)))
        found = self._refined(cells, best)
        return found if found is not None and low <= found <= high else None

    def _stands_out(self, cells: list[float], frequency_hz: float) -> bool:
        """Above what is between it and its neighbours, and as it was."""
        amplitude = abs(self._line(cells, frequency_hz))
        if 2 * amplitude < AMPLITUDE_SHARE * sum(cells) / len(cells):
            return False
        middle_hz = self._multiple * frequency_hz
        places = [middle_hz + off * frequency_hz for off in (-0.55, -0.45, 0.45, 0.55)]
        self.above = amplitude**2 / max(median(abs(line(cells, each * GRID_S)) ** 2 for each in places), 1e-12)
        return self.above >= ABOVE_KEPT

    def _in_looks(self, frequency_hz: float, count: int) -> float:
        """How strong a line is in the power readings: another witness than the counter."""
        begin_s = self.signal.end_ns / 1e9 - count * GRID_S
        looks = [each for each in self.signal.looks if each[0] >= begin_s]
        if len(looks) < count // 3:
            return 0.0
        times_s, watts = zip(*looks, strict=True)
        return line_of(times_s, watts, frequency_hz)

    def _compare(self, now_ns: int) -> None:
        """What gets faster when the clock falls is no work, but a beat between it and the sensor."""
        mhz = self.signal.clock_mhz
        if mhz is None:
            return
        clock = round(mhz / 15)
        if self._stay is None or self._stay[0] != clock:
            self._stay = clock, self.at_ns, self.cycles
        stayed_ns = self.at_ns - self._stay[1]
        if stayed_ns < STAY_NS:
            return
        if len(self._rates) > CLOCKS_MAX:
            self._rates.clear()
        self._rates[clock] = frequency_hz = (self.cycles - self._stay[2]) / stayed_ns * SECOND_NS
        for other, rate_hz in self._rates.items():
            low, high = sorted(((mhz, frequency_hz), (other * 15.0, rate_hz)))
            if low[0] < LOWER * high[0] and low[1] > FASTER * high[1]:
                self._rates.clear()
                self._ghost_until_ns = now_ns + GHOST_NS
                self._lose("what repeats in its power gets faster at a lower clock: it is not its work")
                return

    def _lose(self, why: str) -> None:
        self._stay = None
        self.frequency_hz, self.why, self.above = None, why, 0.0


def _multiples(frequency_hz: float) -> range:
    return range(1, max(1, min(MULTIPLES, int(HIGHEST_HZ * 1.1 / frequency_hz))) + 1)


def _power(cells: list[float], frequency_hz: float, least: float) -> float:
    """In all multiples that have at least so much."""
    found = [abs(line(cells, multiple * frequency_hz * GRID_S)) ** 2 for multiple in _multiples(frequency_hz)]
    return sum(each for each in found if each >= least)


def _around(found: list[float], peak: int, count: int) -> float:
    """The median power within an octave on both sides, but of the line itself and its multiples."""
    own = 2 * SPECTRUM // count + 2
    places = range(max(1, peak // 2), min(len(found), 2 * peak + 1))
    rest = [found[place] for place in places if abs(place - peak) > own and abs(place - 2 * peak) > own]
    return median(rest) if rest else found[peak]
