"""GPU clocks and CPU ceilings for one job: what both cost together is within the job's bound. In virtual time."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from benchmarks.virtual import Governed, Ungoverned
from eagent.config import Config
from eagent.model import Progress, ProgressSource
from eagent.sim.workload import Serving

SECONDS = 300.0
BOUND = 0.02


def play(host: Ungoverned) -> int:
    """Tokens of a batch job that goes in turns, its CPU's part and the GPU's."""
    requests = [(0.0, 0, 100, 100)] * 12_000
    Serving(host_s=3e-3).start(host.plant, requests, pid=os.getpid())
    host.advance(SECONDS)
    (job,) = host.plant.progress()
    tokens: int = job["tokens"]
    return tokens


def test_a_job_that_both_slow_takes_no_longer_than_its_bound(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fuse: None,  # noqa: ARG001  # only skips
) -> None:
    monkeypatch.setenv("EAGENT_SIM_HOST", "")  # a governed host sets these for its own process
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/proc")
    free = Ungoverned(tmp_path, "free", seed=1)
    free_tokens = play(free)
    free.close()
    config = Config(mode_cpu="act", mode_efficiency="act", efficiency_slowdown=BOUND, cpu_slowdown=0.03)
    host = Governed(tmp_path, "governed", 1, config, cpus=True)
    uuids = frozenset([host.plant.view(0)["uuid"]])

    def told(now_ns: int) -> tuple[Progress, ...]:
        tokens = [one["tokens"] for one in host.plant.progress()]
        return tuple(Progress("batch", uuids, ProgressSource.BEATS, each, now_ns, "token") for each in tokens)

    host.tell(told)
    try:
        tokens = play(host)
        (job,) = host.governor.thrift.jobs.values()
    finally:
        host.close()
    assert job.curve is not None
    assert len(job.curve.points) > 1, "lower clocks were tried"
    assert free_tokens / tokens - 1 <= BOUND
