"""Which of what the efficiency policy has learnt speaks of the jobs that run now, as paces by watts."""

from __future__ import annotations

from eagent.policy.efficiency import GONE_NS, Memory
from eagent.policy.search.curve import Curve
from eagent.policy.search.job import Job
from eagent.policy.search.pace import JobPace, pace_of


def paces(memory: Memory, now_ns: int) -> tuple[JobPace, ...]:
    """Of the jobs that are alone on their devices and of which enough is known."""
    found = []
    for run, job in memory.jobs.items():
        gone = job.last is None or now_ns - job.last.energy_ns > GONE_NS / 2
        if gone or any(uuid in memory.left_alone for uuid in job.subject.uuids):
            continue
        curve = _curve(job)
        pace = None if curve is None else pace_of(curve, len(job.subject.uuids))
        if pace is not None:
            found.append(JobPace(job.subject.name, run, job.subject.uuids, pace))
    return tuple(found)


def _curve(job: Job) -> Curve | None:
    """That of the phase it is in; until that is known, what it did the longest in its runs before."""
    if job.curve is not None or job.changes:
        return job.curve
    return job.phases[0].curve if job.phases else None
