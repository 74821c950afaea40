"""How far jobs have come that say nothing: by what repeats in the power of their GPUs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from eagent.progress.choice import Shown
from eagent.progress.rhythm import Rhythm
from eagent.progress.signal import Signal

UNIT = "repeat"  # a step, or a fixed part or number of them

Record = tuple[int, int, int, int, int, int]  # as of eagent.telemetry.records


class _Job:
    """One job's GPU that is followed."""

    def __init__(self, uuid: str, units: float, cycles: float) -> None:
        self.uuid = uuid
        self.before = units - cycles  # what the GPUs before it have shown


class Periods:
    """All GPUs that are wanted, and the jobs on them."""

    def __init__(self) -> None:
        """None yet."""
        self._uuids: tuple[str, ...] = ()
        self._places: dict[int, Signal] = {}
        self._rhythms: dict[str, Rhythm] = {}
        self._jobs: dict[frozenset[str], _Job] = {}
        self._units: dict[frozenset[str], tuple[float, int]] = {}

    def bind(self, uuids: Sequence[str]) -> None:
        """The GPUs that the records' places mean from now on; "": another device."""
        self._uuids = tuple(uuids)
        self._place()

    def keep(self, uuids: Collection[str]) -> None:
        """Follow these GPUs, and forget what is known of all others."""
        if self._rhythms.keys() != set(uuids):
            self._rhythms = {uuid: self._rhythms.get(uuid) or Rhythm(Signal()) for uuid in uuids}
            self._jobs = {each: job for each, job in self._jobs.items() if each <= self._rhythms.keys()}
            self._units = {each: told for each, told in self._units.items() if each <= self._rhythms.keys()}
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
        job = self._jobs.get(uuids)
        for uuid, rhythm in known:
            if (job is None or job.uuid == uuid) and rhythm.look(now_ns):
                break  # a costly look in a turn is enough
        job = self._chosen(uuids, known)
        if job is None:
            return Shown(why=next((rhythm.why for _, rhythm in known), "its GPU is not followed"))
        rhythm = self._rhythms[job.uuid]
        units = max(job.before + rhythm.cycles, self._units.get(uuids, (0.0, 0))[0])
        self._units[uuids] = units, rhythm.at_ns
        return Shown(units, rhythm.at_ns, UNIT)

    def _chosen(self, uuids: frozenset[str], known: Sequence[tuple[str, Rhythm]]) -> _Job | None:
        """The GPU that was followed while it has a line, else the one whose line stands out most."""
        job = self._jobs.get(uuids)
        if job is not None and (held := self._rhythms.get(job.uuid)) is not None and held.frequency_hz is not None:
            return job
        with_line = [(rhythm.above, uuid, rhythm) for uuid, rhythm in known if rhythm.frequency_hz is not None]
        if not with_line:
            self._jobs.pop(uuids, None)
            return None
        _, uuid, rhythm = max(with_line, key=lambda each: each[:2])
        before = self._units.get(uuids, (0.0, 0))[0]
        for _, other in known:
            if other is not rhythm:
                other.rest()
        self._jobs[uuids] = made = _Job(uuid, before, rhythm.cycles)
        return made

    def _place(self) -> None:
        self._places = {
            place: self._rhythms[uuid].signal for place, uuid in enumerate(self._uuids) if uuid in self._rhythms
        }
