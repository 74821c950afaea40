"""A whole host in virtual time whose budget goes by work: who is known gives and gets, and the envelope is kept."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import psutil
import pytest

from benchmarks.envelope import worth
from benchmarks.envelope.demand import GPUS
from eagent.policy.efficiency import Curves
from eagent.policy.search.curve import Curve
from eagent.policy.search.trial import Block

MODEL, TOP = "NVIDIA H100 80GB HBM3", 1980.0
ENVELOPE_W = 3000.0
NAMES = ("gemm", "stream") * 3 + ("gemm", "mixed")  # of the last two nothing is known


def curve(power_w: float, moving: float, beta: float) -> Curve:
    """Of a job of whose watts and of whose time so much follows the clock."""
    made = Curve(TOP)
    for clock in (TOP, 1845.0, 1695.0, 1545.0, 1395.0):
        y = clock / TOP
        pace, watts = 1 / (1 + beta * (1 / y - 1)), power_w * (1 - moving * (1 - y**3))
        for _ in range(20):
            made = made.add(clock, Block(3.0, 3.0 * pace, 3.0, 3.0 * watts))
    return made


def known(**of: Curve) -> Curves:
    """What a run before has learnt of the first six."""
    return {f"{gpu} {name} on 1 x {MODEL}": (of[name],) for gpu, name in enumerate(NAMES[:6])}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A governed host sets these for its own process."""
    monkeypatch.setenv("EAGENT_SIM_HOST", "")
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/proc")


def test_watts_go_from_jobs_that_await_the_memory_to_those_that_compute(tmp_path: Path) -> None:
    curves = known(gemm=curve(675, 0.9, 1.0), stream=curve(428, 0.43, 0.1))
    work, need = (worth.governed(tmp_path, NAMES, 1, ENVELOPE_W, 20.0, by, curves) for by in ("work", "need"))
    assert work.over_s == need.over_s == 0
    assert max(sum(work.limits_w), sum(need.limits_w)) <= ENVELOPE_W
    computing, awaiting, unknown = work.limits_w[0:6:2], work.limits_w[1:6:2], work.limits_w[6:GPUS]
    assert fmean(computing) > max(need.limits_w)
    assert fmean(awaiting) < min(need.limits_w)
    assert unknown == pytest.approx(need.limits_w[6:GPUS], abs=10)  # a step
    assert work.work_s > need.work_s


def test_a_curve_that_says_too_much_of_few_watts_costs_its_job_seconds_and_not_the_run(tmp_path: Path) -> None:
    curves = known(gemm=curve(675, 0.9, 1.0), stream=curve(428, 0.9, 0.2))  # as if 200 W were nearly enough for it
    done = worth.governed(tmp_path, NAMES, 1, ENVELOPE_W, 20.0, "work", curves)
    assert done.over_s == 0
    assert min(done.limits_w[1:6:2]) > 300
    assert done.least > 0.7
