"""Each job's progress by the best source that it has, and why others have none."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from eagent.model import Latencies, Progress, ProgressSource
from eagent.progress.beats import Said
from eagent.progress.jobs import Job, Key

SECOND_NS = 1_000_000_000
SILENT_NS = 600 * SECOND_NS  # a job that has said nothing for so long has given it up
OUT_NS = 10 * SECOND_NS  # likewise for an endpoint that does not answer
LOST_NS = 60 * SECOND_NS  # and for a rhythm: that of long steps is known as of half a minute ago
RATE_NS = 10 * SECOND_NS
MARKS_MAX = 64


@dataclass(frozen=True, slots=True)
class Shown:
    """How far a job has come as one source has it; `why` it has nothing, where it has nothing."""

    units: float = 0.0
    at_ns: int = 0
    unit: str = "step"
    latencies: tuple[Latencies, ...] = ()
    why: str = ""
    heard_ns: int = 0  # when the source told last, if that was nothing new


@dataclass(frozen=True, slots=True)
class Row:
    """A job for a person."""

    job: Job
    name: str
    source: ProgressSource | None
    why: str  # there is no source, or its progress is not told to the policies
    units: float | None = None
    unit: str | None = None
    rate_per_s: float | None = None
    at_ns: int | None = None


@dataclass(slots=True)
class _Followed:
    """A job's source, and its last marks."""

    source: ProgressSource
    marks: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=MARKS_MAX))

    def mark(self, at_ns: int, units: float) -> None:
        if not self.marks or at_ns > self.marks[-1][0]:
            # Marks a sixtieth of the span apart at least, so that they reach over all of it.
            if len(self.marks) >= 2 and at_ns - self.marks[-2][0] < RATE_NS // (MARKS_MAX - 4):
                self.marks.pop()
            self.marks.append((at_ns, units))
        while len(self.marks) > 2 and at_ns - self.marks[1][0] >= RATE_NS:
            self.marks.popleft()

    def rate_per_s(self) -> float | None:
        if len(self.marks) < 2:
            return None
        (begin_ns, before), (end_ns, after) = self.marks[0], self.marks[-1]
        return max(0.0, after - before) / (end_ns - begin_ns) * SECOND_NS


class Choice:
    """Follows which source each job has."""

    def __init__(self) -> None:
        """No job yet."""
        self.rows: tuple[Row, ...] = ()
        self._followed: dict[Key, _Followed] = {}

    def choose(
        self,
        jobs: Sequence[Job],
        said: Mapping[Key, Said],
        counted: Mapping[Key, Shown],
        period: Mapping[Key, Shown],
        now_ns: int,
    ) -> tuple[Progress, ...]:
        """How far the jobs have come at a monotonic time.

        A job on a GPU that it shares with one of which nothing is known is not told: slowing the one slows the other.
        """
        made = {
            job.key: self._best(job, said.get(job.key), counted.get(job.key), period.get(job.key), now_ns)
            for job in jobs
        }
        for key in [each for each in self._followed if each not in made]:
            del self._followed[key]
        dark = _dark(jobs, {key for key, (row, _) in made.items() if row.source is None})
        rows, told = [], []
        for row, progress in made.values():
            hidden = sorted(row.job.uuids & dark)
            if progress is not None and hidden:
                row = _hidden(row)
            elif progress is not None:
                told.append(progress)
            rows.append(row)
        self.rows = tuple(rows)
        return tuple(told)

    def _best(
        self, job: Job, said: Said | None, counted: Shown | None, period: Shown | None, now_ns: int
    ) -> tuple[Row, Progress | None]:
        beats = Shown(said.units, said.at_ns, said.unit) if said else None
        name = f"{job.key[0]} {said.name}" if said and said.name else job.name
        sources = (
            (ProgressSource.BEATS, beats, SILENT_NS),
            (ProgressSource.COUNTER, counted, OUT_NS),
            (ProgressSource.PERIOD, period, LOST_NS),
        )
        whys = []
        for source, shown, most_ns in sources:
            if shown is None:
                continue
            if shown.why or now_ns - max(shown.at_ns, shown.heard_ns) > most_ns:
                whys.append(f"{source}: {shown.why or 'silent'}")
                continue
            followed = self._followed.get(job.key)
            if followed is None or followed.source is not source:
                followed = self._followed[job.key] = _Followed(source)
            followed.mark(shown.at_ns, shown.units)
            row = Row(job, name, source, "; ".join(whys), shown.units, shown.unit, followed.rate_per_s(), shown.at_ns)
            progress = Progress(name, job.uuids, source, shown.units, shown.at_ns, shown.unit, shown.latencies)
            return row, progress
        self._followed.pop(job.key, None)
        return Row(job, name, None, "; ".join(whys) or "it says nothing, and shows no rhythm"), None


def _dark(jobs: Sequence[Job], silent: Collection[Key]) -> frozenset[str]:
    """The GPUs that jobs without progress share with others."""
    return frozenset(uuid for job in jobs if job.key in silent for uuid in job.shares)


def _hidden(row: Row) -> Row:
    why = "it shares a GPU with a job of which nothing is known"
    return Row(row.job, row.name, row.source, why, row.units, row.unit, row.rate_per_s, row.at_ns)
