"""Loads on the plant that stand for measured ones: here for what the plant itself does."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.calibrate import grid, zeus
from benchmarks.calibrate.loads import Error, Fitted, Observed, errors, fitted, median
from benchmarks.calibrate.rig import GPUS, Load, Rig, Setting
from eagent.sim import model

NUMBERS = model.load("a100-pcie-80gb")
LOCKS = [Setting(lock_mhz=mhz) for mhz in (1005, 1110, 1200, 1305, 1410)]
CAPS = [Setting(limit_w=watts) for watts in (150.0, 200.0)]


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig(NUMBERS).quick()


def observed(rig: Rig, load: Load, settings: list[Setting], time_s: float) -> list[Observed]:
    """What one would measure of a load of so many seconds."""
    seen = rig.measure([(load, setting) for setting in settings])
    return [Observed(setting, one.power_w, time_s / one.pace) for setting, one in zip(settings, seen, strict=True)]


def test_what_the_plant_did_under_locks_is_found_again_and_foretells_caps(rig: Rig) -> None:
    truth = [(Load(0.8, 0.1, 0.9), 30.0), (Load(0.4, 0.9, 0.1), 7.0)]
    locked = [observed(rig, load, LOCKS, time_s) for load, time_s in truth]
    found = fitted(rig, locked, grid.SHAPE)
    for (load, time_s), one in zip(truth, found, strict=True):
        assert one.time_s == pytest.approx(time_s, rel=0.01)
        assert one.load.compute_fraction == pytest.approx(load.compute_fraction, abs=0.02)
    capped = [observed(rig, load, CAPS, time_s) for load, time_s in truth]
    for error in [error for group in errors(rig, capped, found) for error in group]:
        assert abs(error.power_pct) < 1
        assert abs(error.time_pct) < 1


def test_groups_of_different_sizes_are_kept_apart(rig: Rig) -> None:
    loads = [Fitted(Load(0.1 * n, 0.2, 0.5), 10.0 + n) for n in range(1, 5)]
    groups = [observed(rig, one.load, LOCKS[: n + 1], one.time_s) for n, one in enumerate(loads)]
    found = errors(rig, groups, loads)
    assert [len(group) for group in found] == [1, 2, 3, 4]
    assert all(abs(error.power_pct) < 0.01 and abs(error.time_pct) < 0.01 for group in found for error in group)


def test_more_loads_than_a_host_has_gpus_are_measured_each_by_itself(rig: Rig) -> None:
    seen = rig.measure([(Load(0.04 * n, 0.0, 0.5), Setting(lock_mhz=1200)) for n in range(GPUS + 4)])
    assert all(one.pace == pytest.approx(1 / (1 + 0.5 * (1410 / 1200 - 1))) for one in seen)
    steps = [after.power_w - before.power_w for before, after in itertools.pairwise(seen)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)


def test_a_quick_rig_is_as_warm_as_one_that_waits() -> None:
    slow, load = Rig(NUMBERS), [(Load(0.8, 0.5, 0.5), Setting())]
    assert slow.quick().measure(load)[0].power_w == pytest.approx(slow.measure(load)[0].power_w, rel=1e-3)


def test_an_error_in_energy_is_that_of_power_and_time() -> None:
    assert Error(10.0, 20.0).energy_pct == pytest.approx(32.0)
    assert Error(-10.0, 10.0).energy_pct == pytest.approx(-1.0)


@pytest.mark.parametrize(("goal_pct", "holds"), [(2.0, True), (1.9, False), (None, None)])
def test_the_median_of_sizes_is_judged(goal_pct: float | None, holds: bool | None) -> None:
    figure = median("x", [-1.0, 2.0, -3.0], goal_pct)
    assert (figure.value, figure.holds) == (2.0, holds)
    assert figure.peers["bias"] == -1.0


def test_a_job_is_fitted_at_its_greatest_limit_and_at_half_of_it() -> None:
    job = [Observed(Setting(float(watts)), 1.0, 1.0) for watts in (100, 150, 200, 250, 300)]
    assert [point.setting.limit_w for point in zeus.two_points(job)] == [150.0, 300.0]


def test_a_lock_run_has_the_greatest_limit_and_stays_below_it() -> None:
    def run(limit_w: float, power_w: float) -> Observed:
        return Observed(Setting(limit_w, 1305), power_w, 1.0)

    assert grid.is_lock_run(run(300.0, 250.0), 300.0)
    assert not grid.is_lock_run(run(300.0, 295.0), 300.0)
    assert not grid.is_lock_run(run(250.0, 150.0), 300.0)
    assert grid.binds(run(250.0, 245.0))
    assert not grid.binds(run(250.0, 150.0))
