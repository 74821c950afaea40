"""What clients have been shown of the power sensor: each publication once, with its age when it was first shown."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from tests.conftest import INITIALISED

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

TIMES = 20  # that a client is killed, each of which has been shown two publications and may have counted one
AGES = 128

SHOWING = [
    "nvmlDeviceGetPowerUsage(gpu)",
    "nvmlDeviceGetTotalEnergyConsumption(gpu)",
    *(f"nvmlDeviceGetFieldValues(gpu, [{field}])" for field in (83, 185, 186, 191)),
    "nvmlDeviceGetFieldValues(gpu, [188, 186])",
]
SHOWING_NOTHING = [
    "nvmlDeviceGetSamples(gpu, NVML_TOTAL_POWER_SAMPLES, 0)",
    "nvmlDeviceGetUtilizationRates(gpu)",
    "nvmlDeviceGetEnforcedPowerLimit(gpu)",
    "nvmlDeviceGetFieldValues(gpu, [188, 190])",
    "code(lambda: nvmlDeviceGetFieldValues(gpu, []))",
]


@pytest.fixture
def h100(sim_host: SimHostFactory) -> SimHost:
    """Two GPUs that have an average field, in virtual time, some publications old."""
    made = sim_host(gpus=2, clock="virtual", gpu_model="h100-sxm5-80gb")
    with Host(made.plant) as plant:
        plant.advance(1.0)
    return made


def shown(host: SimHost) -> tuple[Any, ...]:
    with Faults(host.plant) as faults:
        return faults.shown()


@pytest.mark.parametrize("reading", SHOWING)
def test_a_reading_of_the_sensor_shows_its_last_publication_once(h100: SimHost, reading: str) -> None:
    h100.nvml(f"for _ in range(3): {reading}\ntell(0)")
    asked, other = shown(h100)
    assert sum(asked["ages"]) == 1 < asked["published"] == asked["last"]
    assert sum(other["ages"]) == other["last"] == 0 < other["published"]
    assert len(asked["ages"]) == AGES


@pytest.mark.parametrize("reading", SHOWING_NOTHING)
def test_what_does_not_come_from_the_sensor_shows_no_publication(h100: SimHost, reading: str) -> None:
    h100.nvml(f"{reading}\ntell(0)")
    assert [sum(gpu["ages"]) for gpu in shown(h100)] == [0, 0]


def test_a_reading_that_fails_shows_nothing(h100: SimHost) -> None:
    with Faults(h100.plant) as faults:
        faults.inject("not-supported", "gpu", 0, (1.0,))
    with Host(h100.plant) as plant:
        plant.advance(1.1)
    assert h100.nvml("tell(code(nvmlDeviceGetPowerUsage, gpu))") == 3
    assert sum(shown(h100)[0]["ages"]) == 0


def test_two_processes_that_see_the_same_publication_count_as_one(h100: SimHost) -> None:
    for _ in range(2):
        h100.nvml("nvmlDeviceGetPowerUsage(gpu)\ntell(0)")
    assert sum(shown(h100)[0]["ages"]) == 1


def test_of_readings_at_any_times_each_publication_counts_at_its_age_when_it_was_first_shown(h100: SimHost) -> None:
    script = """
import random
from eagent.sim._plant import Host
plant, chance, first = Host(os.environ["EAGENT_SIM_HOST"]), random.Random(1), {}
born_us = round(plant.boot_unix_s * 1e6)
for _ in range(400):
    plant.advance(plant.time_s + chance.choice([0.001, 0.03, 0.25]))
    nvmlDeviceGetFieldValues(gpu, [186])
    at_us = plant.view(0)["sensor_time_us"]
    first.setdefault(at_us, plant.time_s - (at_us - born_us) / 1e6)
tell(list(first.values()))"""
    ages_s = h100.nvml(script)
    (asked, _) = shown(h100)
    assert sum(asked["ages"]) == len(ages_s) < asked["published"]
    assert asked["age_s"] == pytest.approx(sum(ages_s), abs=1e-3)
    for age_ms in range(AGES):
        exactly = sum(1 for age_s in ages_s if int(age_s * 1e3) == age_ms)
        nearly = sum(1 for age_s in ages_s if abs(age_s * 1e3 - age_ms) < 1e-2)  # whose rounding may go either way
        assert abs(asked["ages"][age_ms] - exactly) <= nearly


def test_a_sensor_that_seems_stuck_is_shown_with_its_true_age(h100: SimHost) -> None:
    with Faults(h100.plant) as faults:
        before = faults.shown()[0]["published"]
    with Host(h100.plant) as plant:
        plant.advance(5.0)
    with Faults(h100.plant) as faults:
        faults.inject("stuck-power", "gpu", 0, (0.0, 7.0))  # its time stands still, too
    with Host(h100.plant) as plant:
        plant.advance(8.0)
    h100.nvml("nvmlDeviceGetPowerUsage(gpu)\ntell(0)")
    (asked, _) = shown(h100)
    assert asked["age_s"] < 0.11
    assert sum(asked["ages"]) == 1
    assert asked["published"] - before == pytest.approx(70, abs=1)


def test_clients_killed_while_they_read_leave_no_publication_counted_twice(sim_host: SimHostFactory) -> None:
    host = sim_host(gpus=2, gpu_model="v100-pcie-16gb")
    for _ in range(TIMES):
        polling = "print('ready', flush=True)\nwhile True: nvmlDeviceGetPowerUsage(gpu)"
        command = [sys.executable, "-c", INITIALISED + polling]
        with subprocess.Popen(command, env=host.environ, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            client.stdout.readline()
            before = sum(shown(host)[0]["ages"])
            deadline = time.monotonic() + 30
            while sum(shown(host)[0]["ages"]) < before + 2:
                assert time.monotonic() < deadline
            client.kill()
    (asked, other) = shown(host)
    assert TIMES <= sum(asked["ages"]) <= asked["published"]
    assert sum(other["ages"]) == 0
