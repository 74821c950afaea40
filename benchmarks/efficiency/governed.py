"""A part of the table through the whole host in virtual time: loop, warden, ring, agent, policies, arbiter, lease."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.efficiency import table
from benchmarks.efficiency.beats import JITTER, Beats
from benchmarks.efficiency.loads import Job
from benchmarks.efficiency.oracle import Known
from benchmarks.efficiency.quick import Second
from benchmarks.figures import Figure
from benchmarks.virtual import Governed
from eagent.config import Config
from eagent.model import Progress
from eagent.sim._plant import Host

GPUS = 8


@dataclass(slots=True)
class _Telling:
    """What the jobs of a host tell."""

    plant: Host
    beats: Sequence[Beats]

    def look(self, now_ns: int) -> tuple[Progress, ...]:
        """How far each has come."""
        work_s = {one["gpus"][0]: one["units"][0] for one in self.plant.progress()}
        for gpu, beats in enumerate(self.beats):
            beats.advance(now_ns * 1e-9, work_s[gpu], beats.step_s)
        return tuple(beats.progress() for beats in self.beats if beats.done)


def _play(jobs: Sequence[Job], bound: float, seed: int, seconds: float) -> list[Second]:
    config = Config(mode_efficiency="act", efficiency_slowdown=bound)
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        host = Governed(Path(directory), "efficiency", seed, config, gpu_model=jobs[0].gpu_model)
        for gpu, job in enumerate(jobs):
            job.load.square().start(host.plant, [gpu], pid=os.getpid())
        uuids = [frozenset([host.plant.view(gpu)["uuid"]]) for gpu in range(len(jobs))]
        beats = [
            Beats(job.name, uuid, seed * 100 + gpu, JITTER, job.step_s)
            for gpu, (job, uuid) in enumerate(zip(jobs, uuids, strict=True))
        ]
        host.tell(_Telling(host.plant, beats).look)
        host.advance(seconds)
        work_s = {one["gpus"][0]: one["units"][0] for one in host.plant.progress()}
        ends = [Second(seconds, host.plant.energy_true_j(gpu), work_s[gpu], None) for gpu in range(len(jobs))]
        host.close()
        return ends


def figures(
    jobs: Sequence[Job], known: Mapping[table.Key, Known], bound: float, seeds: Sequence[int], pool: ProcessPoolExecutor
) -> list[Figure]:
    """As the table's, over an hour."""
    parts = [(part, seed) for seed in seeds for part in table.hosts(jobs, GPUS)]
    found = pool.map(
        _play,
        [part for part, _ in parts],
        [bound] * len(parts),
        [seed for _, seed in parts],
        [table.HOUR_S] * len(parts),
    )
    results = [
        table.result(job, seed, bound, known[job.gpu_model, job.name], end)
        for (part, seed), ends in zip(parts, found, strict=True)
        for job, end in zip(part, ends, strict=True)
    ]
    return table.figures("governed host, hour", bound, results, 0.85)
