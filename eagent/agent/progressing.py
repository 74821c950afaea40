"""How far the jobs of this host have come: their sources, put together for the governor and for whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eagent.agent.endpoints import Followers
from eagent.agent.jobs import Jobs
from eagent.agent.links import Tap
from eagent.model import Device, DeviceKind, Progress
from eagent.progress.beats import Beats
from eagent.progress.choice import Choice, Row, Shown
from eagent.progress.jobs import Job, Key
from eagent.progress.period import Periods
from eagent.telemetry.records import Record

Json = dict[str, Any]


class Progressing:
    """A tap of the ring, too: what repeats in the power is found there."""

    def __init__(self, jobs: Jobs, beats: Beats, clock: Callable[[], int], others: Sequence[Tap] = ()) -> None:
        """Nothing known yet.

        Args:
            jobs: Who is on which GPU.
            beats: What jobs say.
            clock: Monotonic nanoseconds, for requests between two turns.
            others: Get what is drained from the ring before we do.
        """
        self.jobs = jobs
        self.beats = beats
        self.followers: Followers | None = None
        self._clock = clock
        self._others = tuple(others)
        self._periods = Periods()
        self._choice = Choice()
        self._labels: Mapping[str, str] = {}

    def bind(self, devices: Sequence[Device], *, simulated: bool) -> None:
        """The devices of a hello."""
        for tap in self._others:
            tap.bind(devices, simulated=simulated)
        self._labels = {device.uuid: device.label for device in devices}
        self._periods.bind([device.uuid if device.kind is DeviceKind.GPU else "" for device in devices])

    def add(self, records: Sequence[Record]) -> None:
        """Take what was drained from the ring."""
        for tap in self._others:
            tap.add(records)
        self._periods.add(records)

    def look(self, now_ns: int) -> tuple[Progress, ...]:
        """How far the jobs have come at a monotonic time."""
        jobs = self.jobs.look(now_ns)
        self.beats.keep({job.key for job in jobs})
        said = self.beats.said()
        counted = self.followers.shown(jobs, now_ns) if self.followers is not None else {}
        silent = [job for job in jobs if job.key not in said and job.key not in counted]
        return self._choice.choose(jobs, said, counted, self._repeated(silent, now_ns), now_ns)

    def _repeated(self, jobs: Sequence[Job], now_ns: int) -> Mapping[Key, Shown]:
        self._periods.keep({uuid for job in jobs for uuid in job.uuids})
        return {job.key: self._period(job, now_ns) for job in jobs}

    def _period(self, job: Job, now_ns: int) -> Shown:
        if job.shares:
            return Shown(why="others are on its GPU, too")
        return self._periods.shown(job.uuids, now_ns)

    def count(self, units: float, unit: str, name: str, pid: int, uid: int) -> bool:
        """A beat by HTTP; whether it counts for a job."""
        return self.beats.add(units, unit, name, pid, uid, self._clock())

    def told(self, now_ns: int) -> list[Json]:
        """The jobs, JSON-ready."""
        return [self._row(row, now_ns) for row in self._choice.rows]

    def _row(self, row: Row, now_ns: int) -> Json:
        return {
            "job": row.name,
            "devices": sorted(self._labels.get(uuid, uuid) for uuid in row.job.uuids),
            "source": str(row.source) if row.source else "none",
            "units": row.units,
            "unit": row.unit,
            "rate_per_s": row.rate_per_s,
            "age_s": None if row.at_ns is None else max(0, now_ns - row.at_ns) / 1e9,
            "why": row.why or None,
        }
