"""What a client nobody here wrote makes of a board that is divided."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eagent.sim._driver import Driver
from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.conftest import SimHostFactory

GIB = 2**30
NVITOP = """
import json, nvitop
def known(value):
    return None if value is nvitop.NA else value
print(json.dumps([
    {
        "mig": device.is_mig_mode_enabled(),
        "watts": device.power_usage() // 1000,
        "busy": known(device.gpu_utilization()),
        "parts": [[part.uuid(), part.memory_total(), part.gpu_instance_id(), known(part.power_usage()),
                   sorted(part.processes())] for part in device.mig_devices()],
    }
    for device in nvitop.Device.all()
]))
"""


def test_nvitop_sees_instances_with_processes_and_memory_and_power_of_the_whole_board_alone(
    sim_host: SimHostFactory,
) -> None:
    host = sim_host(gpus=2, clock="virtual")
    with Driver(host.plant) as driver, Host(str(host.plant)) as plant:
        driver.divide(0, 3, 2, 20 * GIB)
        plant.start_square([0], 0.0, 10.0, 1.0, 0.5, 0.5, 1.0, os.getpid())
        plant.advance(3.0)
        divided, whole = host.python(NVITOP)
        ids = driver.mig(0)["ids"]
        shown_w = plant.view(0)["power_plain_mw"] // 1000
    assert divided == {
        "mig": True,
        "watts": shown_w,
        "busy": None,
        "parts": [
            [ids[0], 20 * GIB, 1, None, [os.getpid()]],
            [ids[1], 20 * GIB, 2, None, []],
            [ids[2], 20 * GIB, 3, None, []],
        ],
    }
    assert (whole["mig"], whole["busy"], whole["parts"]) == (False, 0, [])
