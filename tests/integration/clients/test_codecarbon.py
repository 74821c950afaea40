"""codecarbon, which looks for an nvidia-smi before it asks NVML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

# A task is what it measures between two readings of its own; making the tracker takes it seconds.
TRACK = """
import json, time
from codecarbon import OfflineEmissionsTracker
from codecarbon.core.gpu import AllGPUDevices

tracker = OfflineEmissionsTracker(country_iso_code="USA", output_methods=[], log_level="error")
tracker.start_task("work")
begun_s = time.monotonic()
time.sleep(3)
ended_s = time.monotonic()
task = tracker.stop_task("work")
tracker.stop()
print(json.dumps([begun_s, ended_s, task.gpu_energy, task.gpu_count, task.gpu_model]))
"""

LOOK = """
import json
from codecarbon.core.gpu import AllGPUDevices, is_nvidia_system

print(json.dumps([is_nvidia_system(), AllGPUDevices().get_gpu_details() if is_nvidia_system() else []]))
"""


def test_a_task_holds_the_energy_that_was_spent_in_it(loaded: Bench) -> None:
    begun_s, ended_s, spent_kwh, count, name = loaded.python(TRACK)
    true_j = sum(loaded.energy_j(gpu, begun_s, ended_s) for gpu in range(4))
    low_j, high_j = loaded.counts_j(true_j, true_j / (ended_s - begun_s))
    assert low_j < spent_kwh * 3.6e6 < high_j
    assert (count, name) == (4, "4 x NVIDIA A100-SXM4-80GB")


def test_what_it_reads_of_a_gpu_is_what_the_driver_says(still: Bench) -> None:
    found, gpus = still.python(LOOK)
    assert found
    keys = ("power_usage", "power_limit", "temperature", "gpu_utilization", "total_energy_consumption", "uuid")
    assert [[gpu[key] for key in keys] for gpu in gpus] == [
        [
            view["power_plain_mw"] / 1000,
            view["limit_enforced_mw"] / 1000,
            view["temperature_c"],
            view["gpu_utilisation_pct"],
            view["energy_mj"],
            view["uuid"],
        ]
        for view in still.views()
    ]
    assert [(gpu["used_memory"], gpu["total_memory"]) for gpu in gpus] == [
        (view["memory_used_b"], view["memory_total_b"]) for view in still.views()
    ]
    assert [[process["pid"] for process in gpu["compute_processes"]] for gpu in gpus] == [[os.getpid()]] * 3 + [[]]


def test_without_an_nvidia_smi_it_sees_no_gpu(still: Bench) -> None:
    (still.made.dir / "bin/nvidia-smi").unlink()
    assert still.python(LOOK)[0] is False
