"""Clients of NVML that know nothing of eagent, unmodified, on a simulated host of eight GPUs under load."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

PERIOD_S = 0.37  # of the load: longer than the refresh of the sensor, so that it sees power move, and no multiple of it


@pytest.fixture
def loaded(sim_host: SimHostFactory) -> SimHost:
    """Eight GPUs in wall-clock time; the first four work and rest in turns for a process that lives: this one."""
    host = sim_host(gpus=8, clock="wall")
    with Host(str(host.plant)) as plant:
        plant.start_square([0, 1, 2, 3], 0.0, PERIOD_S, 0.5, 0.9, 0.5, 0.7, os.getpid())
    return host


def run(host: SimHost, *command: str) -> str:
    """What a client prints, without colours and markup."""
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program is not None, f"{command[0]} is not installed"
    done = subprocess.run(
        [program, *command[1:]],
        env={**host.environ, "TERM": "dumb", "COLUMNS": "120"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def test_gpustat_shows_eight_gpus_whose_power_moves(loaded: SimHost) -> None:
    seen: list[list[int]] = []
    deadline = time.monotonic() + 30
    while len({tuple(watts[:4]) for watts in seen}) < 3 and time.monotonic() < deadline:
        gpus = json.loads(run(loaded, "gpustat", "--json"))["gpus"]
        seen.append([gpu["power.draw"] for gpu in gpus])
    assert [gpu["index"] for gpu in gpus] == list(range(8))
    assert len({gpu["uuid"] for gpu in gpus}) == 8
    assert {gpu["enforced.power.limit"] for gpu in gpus} == {400}
    assert len({tuple(watts[:4]) for watts in seen}) >= 3
    assert all(30 < watts < 500 for sample in seen for watts in sample)
    pids = [[process["pid"] for process in gpu["processes"]] for gpu in gpus]
    assert pids == [[os.getpid()]] * 4 + [[]] * 4


def test_gpustat_prints_a_line_for_each_gpu(loaded: SimHost) -> None:
    lines = run(loaded, "gpustat", "--no-color", "--show-power").splitlines()
    assert [line[:3] for line in lines[1:]] == [f"[{index}]" for index in range(8)]
    assert all(re.search(r"\d+ / +400 W", line) for line in lines[1:])


def test_nvitop_shows_eight_gpus_and_the_process_on_them(loaded: SimHost) -> None:
    screen = run(loaded, "nvitop", "-1", "--ascii")
    power = re.findall(r"(\d+)W / 400W", screen)
    assert len(power) == 8
    assert all(30 < int(watts) < 500 for watts in power)
    processes = re.findall(rf"^\| +(\d) +{os.getpid()} C ", screen, re.MULTILINE)
    assert processes == ["0", "1", "2", "3"]


def test_power_integrated_by_a_client_agrees_with_the_energy_counter(loaded: SimHost) -> None:
    script = """
import json, time
from pynvml import *
nvmlInit()
gpu = nvmlDeviceGetHandleByIndex(0)
begun, counter = time.monotonic(), nvmlDeviceGetTotalEnergyConsumption(gpu)
watts = []
while time.monotonic() < begun + 4:
    watts.append(nvmlDeviceGetPowerUsage(gpu) / 1000)
    time.sleep(0.01)
spent_j = (nvmlDeviceGetTotalEnergyConsumption(gpu) - counter) / 1000
print(json.dumps([sum(watts) / len(watts) * (time.monotonic() - begun), spent_j, max(watts) - min(watts)]))
"""
    integrated_j, counted_j, swing_w = loaded.python(script)
    assert swing_w > 50
    assert integrated_j == pytest.approx(counted_j, rel=0.15)


def test_a_limit_lowered_by_a_script_is_what_the_next_client_shows(loaded: SimHost) -> None:
    loaded.python("""
import json
from pynvml import *
nvmlInit()
for index in range(8):
    nvmlDeviceSetPowerManagementLimit(nvmlDeviceGetHandleByIndex(index), 250_000)
print(json.dumps(None))
""")
    assert re.findall(r"\d+W / (\d+)W", run(loaded, "nvitop", "-1", "--ascii")) == ["250"] * 8
