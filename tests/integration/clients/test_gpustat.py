"""gpustat, which asks for live processes."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

MIB = 1 << 20


def test_its_json_says_what_the_driver_says(still: Bench) -> None:
    wanted = [
        {
            "index": gpu,
            "uuid": view["uuid"],
            "name": view["name"],
            "temperature.gpu": view["temperature_c"],
            "utilization.gpu": view["gpu_utilisation_pct"],
            "power.draw": view["power_plain_mw"] // 1000,
            "enforced.power.limit": view["limit_enforced_mw"] // 1000,
            "memory.used": view["memory_used_b"] // MIB,
            "memory.total": view["memory_total_b"] // MIB,
        }
        for gpu, view in enumerate(still.views())
    ]
    gpus = json.loads(still.run("gpustat", "--json"))["gpus"]
    assert [{key: gpu[key] for key in wanted[0]} for gpu in gpus] == wanted
    processes = [[(each["pid"], each["gpu_memory_usage"]) for each in gpu["processes"]] for gpu in gpus]
    assert processes == [[(os.getpid(), gpu["memory.used"])] for gpu in wanted[:3]] + [[]]
    assert gpus[0]["processes"][0]["username"] == psutil.Process().username()


def test_it_prints_a_line_for_each_gpu(still: Bench) -> None:
    lines = still.run("gpustat", "--no-color", "--show-power").splitlines()
    assert [line[:3] for line in lines[1:]] == ["[0]", "[1]", "[2]", "[3]"]
    limits = [re.search(r"\d+ / +(\d+) W", line) for line in lines[1:]]
    assert [found and found[1] for found in limits] == ["400", "250", "400", "400"]


def test_it_sees_power_move_while_time_runs(loaded: Bench) -> None:
    begun_w = [gpu["power.draw"] for gpu in json.loads(loaded.run("gpustat", "--json"))["gpus"]]
    loaded.plant.stop_load()
    deadline = time.monotonic() + 10
    while loaded.plant.view(1)["power_plain_mw"] > 100_000 and time.monotonic() < deadline:  # until the sensor sees it
        time.sleep(0.02)
    ended_w = [gpu["power.draw"] for gpu in json.loads(loaded.run("gpustat", "--json"))["gpus"]]
    assert begun_w[1] > begun_w[0] > 100 > ended_w[1]
