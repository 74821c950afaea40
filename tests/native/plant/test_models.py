"""Every model that ships, on the plant: what must hold whatever its numbers are."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagent.sim import model
from eagent.sim._maker import create
from eagent.sim._plant import Host
from eagent.sim.workload import Square

QUIET = Square(period_s=1e5, duty=0.0)  # a process that waits for work
GEMM = Square(period_s=1e5, duty=1.0, memory=0.0)
SETTLED_S = 1500.0


@pytest.fixture(params=model.names())
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """Two GPUs of each model in turn."""
    description = {"gpus": 2, "seed": 1, "permission": "anyone", "clock": "virtual", "model": model.load(request.param)}
    create(tmp_path / "plant", description)
    return Host(tmp_path / "plant")


def watts(host: Host, gpu: int) -> float:
    return host.power_log()[-1][gpu]


@pytest.mark.parametrize("lowest", [False, True], ids=["at full clock", "at the lowest clock"])
def test_a_process_that_waits_never_makes_a_gpu_draw_less(host: Host, lowest: bool) -> None:
    least_mhz = host.view(0)["sm_clock_min_mhz"]
    if lowest:
        host.lock_clocks(0, least_mhz, least_mhz)
    host.advance(SETTLED_S)
    QUIET.start(host, [0])
    for after_s in (1.0, 10.0, SETTLED_S):  # it warms up
        host.advance(SETTLED_S + after_s)
        assert watts(host, 0) >= 0.999 * watts(host, 1)


def test_dense_compute_wants_at_least_the_default_limit_and_stays_below_the_slowdown(host: Host) -> None:
    GEMM.start(host, [0])
    host.advance(SETTLED_S)
    view = host.view(0)
    assert view["event_reasons"] == 4  # the cap binds
    assert watts(host, 0) == pytest.approx(view["limit_enforced_mw"] / 1000, rel=0.06)
    assert view["temperature_c"] < view["slow_c"]
    assert view["sm_clock_mhz"] < view["sm_clock_max_mhz"]


def test_its_clocks_are_steps_from_the_lowest_to_the_highest(host: Host) -> None:
    view = host.view(0)
    reach_mhz = view["sm_clock_max_mhz"] - view["sm_clock_min_mhz"]
    assert reach_mhz % view["sm_clock_step_mhz"] == 0
    host.advance(1.0)
    assert host.view(0)["sm_clock_mhz"] == model.load(_stem(view["name"]))["clocks"]["idle_mhz"]


def _stem(name: str) -> str:
    return next(stem for stem in model.names() if model.load(stem)["identity"]["name"] == name)
