"""Servers that are filled with GPUs from a distribution."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calibrate import acme
from benchmarks.calibrate.rig import Rig, Setting
from eagent.sim import model


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig(model.load(acme.GPU_MODEL)).quick()


def test_an_activity_draws_the_watts_that_it_was_found_for(rig: Rig) -> None:
    wanted_w = [100.0, 180.0, 333.0]
    levels = acme.activity(rig, np.array(wanted_w))
    seen = rig.measure([(acme.working(float(level)), Setting()) for level in levels])
    assert [one.power_w for one in seen] == pytest.approx(wanted_w, rel=0.01)


def test_few_watts_mean_that_there_is_no_process_and_many_all_there_is(rig: Rig) -> None:
    low, high = acme.activity(rig, np.array([55.0, 5000.0]))
    assert low == -1.0
    assert high > 0.8


def test_the_gpus_of_servers_are_distributed_as_all_are_however_alike() -> None:
    watts = np.concatenate([np.full(300, 60.0), np.linspace(60, 400, 700)])
    for likeness in (0.0, 0.5, 1.0):
        filled = acme.filled(watts, likeness)
        assert filled.shape == (acme.SERVERS, 8)
        assert np.mean(filled) == pytest.approx(np.mean(watts), rel=0.1)
    spread = {likeness: np.std(acme.filled(watts, likeness).sum(axis=1)) for likeness in (0.0, 1.0)}
    assert spread[1.0] == pytest.approx(spread[0.0] * np.sqrt(8), rel=0.2)
    assert (np.ptp(acme.filled(watts, 1.0), axis=1) == 0).all()


def test_a_server_is_metered_with_its_fans_and_losses(rig: Rig) -> None:
    idle_w, half_w, full_w = acme.server_w(rig, [[-1.0] * 8, [0.5] * 8, [1.0] * 8])
    assert 1500 <= idle_w <= 1700
    assert full_w - half_w > 1.05 * 8 * 100
