"""NVIDIA's own bindings, as scripts use them: integrating power, counting energy, setting a limit for others to see."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

PERIOD_S = 0.37  # of the load: longer than the refresh of the sensor, so that it sees power move, and no multiple of it

MEASURE = """
import json, time
from pynvml import *
nvmlInit()
gpu = nvmlDeviceGetHandleByIndex(0)
counter, begun = nvmlDeviceGetTotalEnergyConsumption(gpu), time.monotonic()
watts = []
while time.monotonic() < begun + 4:
    watts.append(nvmlDeviceGetPowerUsage(gpu) / 1000)
    time.sleep(0.01)
spent_j, ended = (nvmlDeviceGetTotalEnergyConsumption(gpu) - counter) / 1000, time.monotonic()
print(json.dumps([begun, ended, sum(watts) / len(watts) * (ended - begun), spent_j, max(watts) - min(watts)]))
"""

LOWER = """
import json
from pynvml import *
nvmlInit()
for index in range(nvmlDeviceGetCount()):
    nvmlDeviceSetPowerManagementLimit(nvmlDeviceGetHandleByIndex(index), 250_000)
print(json.dumps(None))
"""


def test_power_integrated_and_energy_counted_agree_with_what_was_drawn(bench: Callable[..., Bench]) -> None:
    made = bench(gpus=8, clock="wall")
    made.plant.start_square([0, 1, 2, 3], 0.0, PERIOD_S, 0.5, 0.9, 0.5, 0.7, os.getpid())
    begun_s, ended_s, integrated_j, counted_j, swing_w = made.python(MEASURE)
    true_j = made.energy_j(0, begun_s, ended_s)
    low_j, high_j = made.counts_j(true_j, 400)
    assert low_j < counted_j < high_j
    assert swing_w > 50
    assert integrated_j == pytest.approx(true_j, rel=0.15)  # the sensor looks away for three quarters of the time


def test_a_limit_lowered_by_a_script_is_what_the_next_client_shows(bench: Callable[..., Bench]) -> None:
    made = bench(gpus=8, clock="wall")
    made.python(LOWER)
    assert re.findall(r"\d+W / (\d+)W", made.run("nvitop", "-1", "--ascii")) == ["250"] * 8
