"""nvitop: its library and its screen."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

LIBRARY = """
import json
from nvitop import Device
print(json.dumps([
    {
        "name": gpu.name(), "uuid": gpu.uuid(), "bus": gpu.bus_id(),
        "power_mw": gpu.power_usage(), "limit_mw": gpu.power_limit(),
        "temperature_c": gpu.temperature(), "busy_pct": gpu.gpu_utilization(), "memory_pct": gpu.memory_utilization(),
        "memory_b": [gpu.memory_used(), gpu.memory_free(), gpu.memory_total()],
        "clocks_mhz": [gpu.sm_clock(), gpu.memory_clock(), gpu.max_sm_clock(), gpu.max_memory_clock()],
        "persistence": gpu.persistence_mode(), "compute": gpu.compute_mode(),
        "pids": {pid: process.gpu_memory() for pid, process in gpu.processes().items()},
    }
    for gpu in Device.all()
]))
"""


def test_its_library_says_what_the_driver_says(still: Bench) -> None:
    wanted = [
        {
            "name": view["name"],
            "uuid": view["uuid"],
            "bus": f"{view['pci_domain']:08X}:{view['pci_bus']:02X}:{view['pci_device']:02X}.0",
            "power_mw": view["power_plain_mw"],
            "limit_mw": view["limit_requested_mw"],
            "temperature_c": view["temperature_c"],
            "busy_pct": view["gpu_utilisation_pct"],
            "memory_pct": view["memory_utilisation_pct"],
            "memory_b": [
                view["memory_used_b"],
                view["memory_total_b"] - view["memory_used_b"],
                view["memory_total_b"],
            ],
            "clocks_mhz": [
                view["sm_clock_mhz"],
                view["memory_clock_mhz"],
                view["sm_clock_max_mhz"],
                view["memory_clock_max_mhz"],
            ],
            "persistence": "Enabled" if view["persistence_mode"] else "Disabled",
            "compute": "Default",
            "pids": {str(os.getpid()): view["memory_used_b"]} if view["pids"] else {},
        }
        for view in still.views()
    ]
    assert still.python(LIBRARY) == wanted
    assert [bool(gpu["pids"]) for gpu in wanted] == [True, True, True, False]
    assert wanted[0]["clocks_mhz"][0] == 1200


def test_its_screen_shows_power_limits_and_the_process_on_each_gpu(still: Bench) -> None:
    screen = still.run("nvitop", "-1", "--ascii")
    powers = re.findall(r"(\d+)W / (\d+)W", screen)
    assert [(int(watts), int(limit)) for watts, limit in powers] == [
        (round(view["power_plain_mw"] / 1000), view["limit_requested_mw"] // 1000) for view in still.views()
    ]
    assert re.findall(rf"^\| +(\d) +{os.getpid()} C ", screen, re.MULTILINE) == ["0", "1", "2"]


def test_the_power_it_shows_is_the_true_one_but_for_the_sensor(still: Bench) -> None:
    shown_w = [gpu["power_mw"] / 1000 for gpu in still.python(LIBRARY)]
    true_w = still.plant.power_log()[-1]
    for gpu in (0, 2, 3):  # under its limit the second one's clock goes up and down
        low_w, high_w = still.reads_w(true_w[gpu])
        assert low_w < shown_w[gpu] < high_w
    assert shown_w[3] < 60 < 100 < shown_w[2] < shown_w[0]
