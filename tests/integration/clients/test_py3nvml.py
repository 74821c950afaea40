"""py3nvml, of 2017: old names of functions, and buffers of their old sizes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

READ = """
import json
from py3nvml.py3nvml import *

nvmlInit()
gpus = [nvmlDeviceGetHandleByIndex(index) for index in range(nvmlDeviceGetCount())]
print(json.dumps([
    {
        "name": nvmlDeviceGetName(gpu), "uuid": nvmlDeviceGetUUID(gpu), "power_mw": nvmlDeviceGetPowerUsage(gpu),
        "limit_mw": nvmlDeviceGetPowerManagementLimit(gpu), "enforced_mw": nvmlDeviceGetEnforcedPowerLimit(gpu),
        "limits_mw": nvmlDeviceGetPowerManagementLimitConstraints(gpu),
        "temperature_c": nvmlDeviceGetTemperature(gpu, NVML_TEMPERATURE_GPU),
        "busy_pct": [nvmlDeviceGetUtilizationRates(gpu).gpu, nvmlDeviceGetUtilizationRates(gpu).memory],
        "memory_b": [nvmlDeviceGetMemoryInfo(gpu).used, nvmlDeviceGetMemoryInfo(gpu).total],
        "clocks_mhz": [nvmlDeviceGetClockInfo(gpu, NVML_CLOCK_SM), nvmlDeviceGetMaxClockInfo(gpu, NVML_CLOCK_SM)],
        "processes": [[each.pid, each.usedGpuMemory] for each in nvmlDeviceGetComputeRunningProcesses(gpu)],
    }
    for gpu in gpus
]))
"""

PCI = """
import ctypes, json
from py3nvml import py3nvml as nvml

nvml.nvmlInit()
gpu = nvml.nvmlDeviceGetHandleByIndex(1)
size = ctypes.sizeof(nvml.nvmlPciInfo_t)
buffer = (ctypes.c_ubyte * 128)(*[0xAA] * 128)
code = nvml._nvmlGetFunctionPointer("nvmlDeviceGetPciInfo_v2")(gpu, ctypes.byref(buffer))
found = nvml.nvmlDeviceGetPciInfo(gpu)
print(json.dumps([
    code, size, list(buffer[size:]), found.busId.decode(), found.domain, found.bus, found.device, found.pciDeviceId,
    found.pciSubSystemId, bytes(buffer[:16]).split(b"\\0")[0].decode(),
]))
"""


def test_what_it_reads_of_a_gpu_is_what_the_driver_says(still: Bench) -> None:
    assert still.python(READ) == [
        {
            "name": view["name"],
            "uuid": view["uuid"],
            "power_mw": view["power_plain_mw"],
            "limit_mw": view["limit_requested_mw"],
            "enforced_mw": view["limit_enforced_mw"],
            "limits_mw": [view["limit_min_mw"], view["limit_max_mw"]],
            "temperature_c": view["temperature_c"],
            "busy_pct": [view["gpu_utilisation_pct"], view["memory_utilisation_pct"]],
            "memory_b": [view["memory_used_b"], view["memory_total_b"]],
            "clocks_mhz": [view["sm_clock_mhz"], view["sm_clock_max_mhz"]],
            "processes": [[os.getpid(), view["memory_used_b"]]] if view["pids"] else [],
        }
        for view in still.views()
    ]


def test_nothing_is_written_behind_its_old_form_of_pci_info(still: Bench) -> None:
    code, size, behind, *found = still.python(PCI)
    assert (code, size) == (0, 52)
    assert set(behind) == {0xAA}
    view = still.plant.view(1)
    bus_id = f"{view['pci_domain']:04X}:{view['pci_bus']:02X}:{view['pci_device']:02X}.0"
    keys = ("pci_domain", "pci_bus", "pci_device", "pci_device_id", "pci_subsystem_id")
    assert found == [bus_id, *(view[key] for key in keys), bus_id]


def test_its_own_table_shows_power_limits_and_the_process_on_each_gpu(still: Bench) -> None:
    table = still.run("py3smi")
    shown = [(int(watts), int(limit)) for watts, limit in re.findall(r"(\d+)W / (\d+)W", table)]
    assert shown == [(view["power_plain_mw"] // 1000, view["limit_requested_mw"] // 1000) for view in still.views()]
    assert re.findall(rf"^\| +(\d) .* {os.getpid()} ", table, re.MULTILINE) == ["0", "1", "2"]
