"""The policy `cpu` on synchronous jobs, through the real loop, warden and simulated /sys, in virtual time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.virtual import Governed, Ungoverned
from eagent.config import Config
from eagent.sim.workload import Gang

SECONDS = 120.0


def play(host: Ungoverned, host_s: float) -> tuple[int, float]:
    """Steps of a job whose CPU part runs ahead of its half second on four GPUs, and mean watts of the CPUs."""
    try:
        Gang(step_s=0.5, host_s=host_s).start(host.plant, [0, 1, 2, 3], at_s=5.0, pid=os.getpid())
        host.advance(SECONDS)
        (job,) = host.plant.progress()
        rows = host.plant.cpu_power_log()
        return job["steps"], sum(map(sum, rows)) / len(rows)
    finally:
        host.close()


@pytest.mark.parametrize(("consent", "slower"), [((), 0.01), (("all",), 0.05)], ids=["unasked", "consented"])
@pytest.mark.parametrize("host_s", [0.0, 0.35, 0.53])
def test_a_job_whose_cpu_part_runs_ahead_is_hardly_slowed(
    tmp_path: Path,
    fuse: None,  # noqa: ARG001  # only skips
    host_s: float,
    consent: tuple[str, ...],
    slower: float,
) -> None:
    free_steps, free_w = play(Ungoverned(tmp_path, "free", seed=1), host_s)
    config = Config(mode_cpu="act", idle_consent=consent)
    steps, power_w = play(Governed(tmp_path, "governed", 1, config, cpus=True), host_s)
    assert steps >= free_steps * (1 - slower)
    if host_s < 0.5:  # the CPUs have time to spare
        assert power_w < 0.95 * free_w
