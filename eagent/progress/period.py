"""How far jobs have come that say nothing: by what repeats in the power of their GPUs.

What is counted may be a step, a fixed part of one, or some of them. A line that is lost and found again, or that of
another GPU of the job, may be of another of these: by how often it repeats it is told what that is in units of what was
counted before. If it is no multiple and no part of that, nobody knows, and it is counted under another name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from eagent.progress.choice import Shown
from eagent.progress.rhythm import DRIFT, Rhythm
from eagent.progress.signal import Signal

UNIT = "repeat"  # a step, or a fixed part or number of them
PARTS = 8  # of what was counted before, or as many times that
CLOCK_STEP_MHZ = 15
CLOCKS_MAX = 256

Record = tuple[int, int, int, int, int, int]  # as of eagent.telemetry.records


@dataclass(slots=True)
class _Job:
    """What is counted of one job."""

    uuid: str | None = None  # the GPU that is followed
    worth: float = 1.0  # units that one cycle of its line is
    before: float = 0.0  # units less the cycles of that line
    units: float = 0.0
    kind: int = 1  # of unit: one that is not known to be the same has another number
    rates: dict[int, float] = field(default_factory=dict)  # units a second, by the clock

    def count(self, rhythm: Rhythm) -> None:
        """Go on with the line that is followed."""
        assert rhythm.frequency_hz is not None
        self.units = max(self.units, self.before + self.worth * rhythm.cycles)
        if len(self.rates) > CLOCKS_MAX:
            self.rates.clear()
        self.rates[_clock(rhythm)] = self.worth * rhythm.frequency_hz

    def follow(self, uuid: str, rhythm: Rhythm) -> None:
        """Follow another line, or one that was lost and is found again."""
        worth = self._worth(rhythm)
        if worth is None:
            self.kind += 1
            self.rates.clear()
        self.uuid, self.worth = uuid, worth or 1.0
        self.before = self.units - self.worth * rhythm.cycles

    def _worth(self, rhythm: Rhythm) -> float | None:
        """What a cycle of it is, by what is known of the nearest clock: there work goes as it did, or as clocks do."""
        assert rhythm.frequency_hz is not None
        if not self.rates:
            return 1.0
        clock = _clock(rhythm)
        nearest = min(self.rates, key=lambda each: abs(each - clock))
        ratio = clock / nearest if clock and nearest else 1.0
        low, high = min(1.0, ratio) * (1 - DRIFT), max(1.0, ratio) * (1 + DRIFT)
        fits = [1.0, *(worth for part in range(2, PARTS + 1) for worth in (1.0 / part, float(part)))]
        return next((each for each in fits if low <= rhythm.frequency_hz * each / self.rates[nearest] <= high), None)


def _clock(rhythm: Rhythm) -> int:
    return round((rhythm.signal.clock_mhz or 0.0) / CLOCK_STEP_MHZ)


class Periods:
    """All GPUs that are wanted, and the jobs on them."""

    def __init__(self) -> None:
        """None yet."""
        self._uuids: tuple[str, ...] = ()
        self._places: dict[int, Signal] = {}
        self._rhythms: dict[str, Rhythm] = {}
        self._jobs: dict[frozenset[str], _Job] = {}

    def bind(self, uuids: Sequence[str]) -> None:
        """The GPUs that the records' places mean from now on; "": another device."""
        self._uuids = tuple(uuids)
        self._place()

    def keep(self, uuids: Collection[str]) -> None:
        """Follow these GPUs, and forget what is known of all others."""
        if self._rhythms.keys() != set(uuids):
            self._rhythms = {uuid: self._rhythms.get(uuid) or Rhythm(Signal()) for uuid in uuids}
            self._jobs = {each: job for each, job in self._jobs.items() if each <= self._rhythms.keys()}
            self._place()

    def add(self, records: Iterable[Record]) -> None:
        """Take what was drained from the ring."""
        places = self._places
        for time_ns, value, place, channel, status, age_ns in records:
            if place in places:
                places[place].add(time_ns, value, channel, status, age_ns)

    def shown(self, uuids: frozenset[str], now_ns: int) -> Shown:
        """How far the job on these GPUs has come."""
        known = [(uuid, self._rhythms[uuid]) for uuid in sorted(uuids) if uuid in self._rhythms]
        job = self._jobs.setdefault(uuids, _Job())
        for uuid, each in known:
            if job.uuid in (None, uuid) and each.look(now_ns):
                break  # a costly look in a turn is enough
        rhythm = self._followed(job, known)
        if rhythm is None:
            return Shown(why=next((each.why for _, each in known), "its GPU is not followed"))
        job.count(rhythm)
        return Shown(job.units, rhythm.at_ns, UNIT if job.kind == 1 else f"{UNIT} {job.kind}")

    def _followed(self, job: _Job, known: Sequence[tuple[str, Rhythm]]) -> Rhythm | None:
        """The line that was followed while there is one, else the one that stands out most."""
        for uuid, rhythm in known:
            if uuid == job.uuid and rhythm.frequency_hz is not None:
                return rhythm
        job.uuid = None
        with_line = [(rhythm.above, uuid, rhythm) for uuid, rhythm in known if rhythm.frequency_hz is not None]
        if not with_line:
            return None
        _, uuid, rhythm = max(with_line, key=lambda each: each[:2])
        for _, other in known:
            if other is not rhythm:
                other.rest()
        job.follow(uuid, rhythm)
        return rhythm

    def _place(self) -> None:
        self._places = {
            place: self._rhythms[uuid].signal for place, uuid in enumerate(self._uuids) if uuid in self._rhythms
        }
