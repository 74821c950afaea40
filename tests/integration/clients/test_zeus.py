"""zeus: its windows of energy, its monitor of power in spawned processes, and its setters with their errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.sim import model

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "benchmarks/efficiency/scripts"

# Windows are not synchronised with the work of a framework such as PyTorch: there is none here.
WINDOW = """
import json, time
from zeus.monitor import ZeusMonitor

monitor = ZeusMonitor(cpu_indices=[])
monitor.begin_window("all", sync_execution=False)
begun_s = time.monotonic()
time.sleep(3)
ended_s = time.monotonic()
spent = monitor.end_window("all", sync_execution=False)
print(json.dumps([begun_s, ended_s, spent.time, spent.gpu_energy]))
"""

# It spawns a process that imports this file again.
POWER = """
import json, os, time
from zeus.monitor import PowerMonitor

def start():
    try:
        return PowerMonitor(update_period=0.05, power_domains=["device_instant"])
    except RuntimeError:  # not ready within ten seconds, as may be beside many other tests
        return PowerMonitor(update_period=0.05, power_domains=["device_instant"])

if __name__ == "__main__":
    monitor = start()
    pids = [process.pid for process in monitor.processes.values()]
    time.sleep(0.3)
    begun_s, begun_unix_s = time.monotonic(), time.time()
    time.sleep(2.5)
    ended_s, ended_unix_s = time.monotonic(), time.time()
    energy_j = monitor.get_energy(begun_unix_s, ended_unix_s)
    watts = {gpu: [watts for _, watts in line] for gpu, line in monitor.get_power_timeline("device_instant").items()}
    monitor.stop()
    print(json.dumps([begun_s, ended_s, energy_j, watts, pids, os.getpid()]))
"""

READ = """
import json
from zeus.device import get_gpus

gpus = get_gpus(ensure_homogeneous=True)
print(json.dumps([
    {
        "name": gpus.get_name(gpu), "power_mw": gpus.get_instant_power_usage(gpu),
        "limit_mw": gpus.get_power_management_limit(gpu),
        "limits_mw": gpus.get_power_management_limit_constraints(gpu), "temperature_c": gpus.get_gpu_temperature(gpu),
        "energy_mj": gpus.get_total_energy_consumption(gpu), "persistence": gpus.get_persistence_mode(gpu),
        "memory_mhz": gpus.get_supported_memory_clocks(gpu)[0],
        "graphics_mhz": [gpus.get_supported_graphics_clocks(gpu, gpus.get_supported_memory_clocks(gpu)[0])[i]
                         for i in (0, -1)],
    }
    for gpu in range(len(gpus))
]))
"""

AVERAGE = """
import json
from zeus.device import get_gpus, gpu as errors

try:
    print(json.dumps(get_gpus().get_average_power_usage(0)))
except errors.common.ZeusGPUNotSupportedError:
    print(json.dumps(None))
"""

SET = """
import json, os
from zeus.device import get_gpus

gpus = get_gpus()
gpus.set_power_management_limit(0, 250_000)
gpus.set_power_management_limit(0, 250_000)  # zeus sees that it is so, and asks for nothing
gpus.set_power_management_limit(1, 300_000)
gpus.reset_power_management_limit(0)
gpus.set_gpu_locked_clocks(0, 210, 1200)
gpus.set_gpu_locked_clocks(1, 900, 900)
gpus.reset_gpu_locked_clocks(0)
gpus.set_memory_locked_clocks(0, *2 * gpus.get_supported_memory_clocks(0)[:1])
gpus.reset_memory_locked_clocks(0)
gpus.set_persistence_mode(1, False)
print(json.dumps(os.getpid()))
"""

# The job of `make bench NAME=efficiency.zeus`.
OPTIMIZE = """
import runpy, sys

settings, *places = sys.argv[1:]
sys.path[:0], sys.argv = places, ["zeus_job.py", settings]
runpy.run_path(places[0] + "/zeus_job.py", run_name="__main__")
"""

FAIL = """
import json
from zeus.device import get_gpus, gpu as errors

gpus = get_gpus()
def fails(call, *arguments):
    try:
        call(*arguments)
    except errors.common.ZeusBaseGPUError as error:
        return type(error).__name__
memory_mhz = gpus.get_supported_memory_clocks(0)[0]
print(json.dumps([
    fails(gpus.set_power_management_limit, 0, 250_000),
    fails(gpus.set_gpu_locked_clocks, 0, 210, 1200),
    fails(gpus.reset_gpu_locked_clocks, 0),
    fails(gpus.set_memory_locked_clocks, 0, memory_mhz, memory_mhz),
    fails(gpus.set_persistence_mode, 0, False),
    fails(gpus.set_power_management_limit, 0, 99_999),
    fails(gpus.set_gpu_locked_clocks, 0, 1200, 210),
    fails(gpus.get_average_memory_power_usage, 0),
]))
"""


def test_a_window_holds_the_energy_that_was_spent_in_it(loaded: Bench) -> None:
    loaded.plant.start_square([2], 0.0, 0.37, 0.5, 0.9, 0.5, 0.7)
    begun_s, ended_s, took_s, spent_j = loaded.python(WINDOW)
    assert took_s == pytest.approx(ended_s - begun_s, abs=0.2)
    for gpu in range(4):
        true_j = loaded.energy_j(gpu, begun_s, ended_s)
        low_j, high_j = loaded.counts_j(true_j, 400 if gpu == 2 else true_j / (ended_s - begun_s))
        assert low_j < spent_j[str(gpu)] < high_j
    assert spent_j["1"] > spent_j["0"] > 1.5 * spent_j["3"]


def test_its_power_monitor_samples_in_another_process_what_is_true_but_for_the_sensor(loaded: Bench) -> None:
    begun_s, ended_s, spent_j, watts, pids, main_pid = loaded.python(POWER)
    assert pids != [main_pid]
    assert len(pids) == 1
    for gpu in range(4):
        true_w = loaded.energy_j(gpu, begun_s, ended_s) / (ended_s - begun_s)
        low_w, high_w = loaded.reads_w(true_w)
        # It integrates from its first sample within to its last; it has one at each refresh, as no two are the same.
        assert low_w * (ended_s - begun_s - 0.3) < spent_j[str(gpu)] < high_w * (ended_s - begun_s)
        assert len(watts[str(gpu)]) > 20


def test_what_it_reads_of_a_gpu_is_what_the_driver_says(still: Bench) -> None:
    assert still.python(READ) == [
        {
            "name": view["name"],
            "power_mw": view["power_instant_mw"],
            "limit_mw": view["limit_requested_mw"],
            "limits_mw": [view["limit_min_mw"], view["limit_max_mw"]],
            "temperature_c": view["temperature_c"],
            "energy_mj": view["energy_mj"],
            "persistence": bool(view["persistence_mode"]),
            "memory_mhz": view["memory_clock_max_mhz"],
            "graphics_mhz": [view["sm_clock_max_mhz"], view["sm_clock_min_mhz"]],
        }
        for view in still.views()
    ]


@pytest.mark.parametrize("name", model.names())
def test_it_gets_an_average_of_power_from_boards_that_keep_one(bench: Callable[..., Bench], name: str) -> None:
    made = bench(gpus=1, clock="virtual", gpu_model=name)
    made.plant.start_square([0], 0.0, 0.37, 0.5, 0.9, 0.5, 0.7)
    made.plant.advance(5.1)
    view = made.plant.view(0)
    assert made.python(AVERAGE) == (view["power_average_mw"] if view["has_average"] else None)


def test_its_setters_set_what_the_driver_then_holds(bench: Callable[..., Bench]) -> None:
    made = bench(gpus=2, clock="virtual")
    pid = made.python(SET)
    assert [entry[1:] for entry in made.plant.limit_log()] == [
        (0, 400, 250, pid),
        (1, 400, 300, pid),
        (0, 250, 400, pid),
    ]
    assert [entry[1:] for entry in made.plant.lock_log()] == [(0, 210, 1200, pid), (1, 900, 900, pid), (0, 0, 0, pid)]
    views = made.views()
    assert [view["limit_requested_mw"] for view in views] == [400_000, 300_000]
    assert [(view["locked_min_mhz"], view["locked_max_mhz"]) for view in views] == [(0, 0), (900, 900)]
    assert [view["persistence_mode"] for view in views] == [1, 0]


def test_a_knob_that_nobody_may_turn_is_an_error_of_permission(bench: Callable[..., Bench]) -> None:
    made = bench(gpus=1, clock="virtual", permission="nobody")
    assert made.python(FAIL)[:5] == ["ZeusGPUNoPermissionError"] * 5
    assert (made.plant.limit_log(), made.plant.lock_log()) == ([], [])


def test_what_no_board_takes_is_an_error_of_argument_and_what_it_lacks_one_of_support(
    bench: Callable[..., Bench],
) -> None:
    made = bench(gpus=1, clock="virtual")
    wrong = ["ZeusGPUInvalidArgError", "ZeusGPUInvalidArgError", "ZeusGPUNotSupportedError"]
    assert made.python(FAIL) == [None] * 5 + wrong
    assert [entry[3] for entry in made.plant.limit_log()] == [250]


def test_its_optimizer_of_power_limits_tries_all_keeps_one_while_the_job_runs_and_puts_the_highest_back(
    bench: Callable[..., Bench],
) -> None:
    made = bench(gpus=1, gpu_model="a100-pcie-80gb")
    settings = {"plant": str(made.made.plant), "gpu": 0, "load": [0.42, 1.0, 0.0], "step_s": 0.005, "seconds": 3.0}
    came = made.python(OPTIMIZE, json.dumps({**settings, "seed": 1, "bound": 0.05}), str(SCRIPTS), str(ROOT))
    tried_w = [float(watts) for watts in range(275, 125, -25)]
    kept_w = [] if came["chosen"] == tried_w[-1] else [came["chosen"]]  # what is so already it does not set
    assert came["chosen"] in tried_w, "as this load takes as long at any of them"
    assert [entry[3] for entry in made.plant.limit_log()] == [*tried_w, *kept_w, 300.0]
    assert came["work_s"] == pytest.approx(came["steps"] * 0.005, rel=0.05)
    assert 130 < came["joules"] / came["seconds"] < 240  # this load takes 219 W at full clocks
