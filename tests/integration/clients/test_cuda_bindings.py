"""cuda.bindings.nvml: NVIDIA's newest bindings, which know every function."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

# Every device_get_* there is, with 0 for whatever else it wants. `status` of an error is NVML's number.
SWEEP = """
import json
from cuda.bindings import nvml

nvml.init_v2()
gpu = nvml.device_get_handle_by_index_v2(0)
answers = {}
for name in sorted(name for name in dir(nvml) if name.startswith("device_get_") and "handle_by" not in name):
    call = getattr(nvml, name)
    wants = call.__doc__.splitlines()[0].partition("(")[2].partition(")")[0].split(", ")
    try:
        call(gpu, *[0] * (len(wants) - 1))
        answers[name] = 0
    except nvml.NvmlError as error:
        answers[name] = int(error.status)
    except (RuntimeError, TypeError) as error:  # the bindings themselves: no such function, or 0 is of the wrong type
        answers[name] = type(error).__name__
print(json.dumps(answers))
"""

READ = """
import json
from cuda.bindings import nvml

nvml.init_v2()
found = []
for index in range(nvml.device_get_count_v2()):
    gpu = nvml.device_get_handle_by_index_v2(index)
    memory, rates = nvml.device_get_memory_info_v2(gpu), nvml.device_get_utilization_rates(gpu)
    fields = nvml.FieldValue(2)
    fields.field_id = [nvml.FieldId.DEV_POWER_INSTANT, nvml.FieldId.DEV_TOTAL_ENERGY_CONSUMPTION]
    nvml.device_get_field_values(gpu, fields)
    found.append({
        "name": nvml.device_get_name(gpu), "uuid": nvml.device_get_uuid(gpu),
        "bus_id": nvml.device_get_pci_info_v3(gpu).bus_id, "power_mw": nvml.device_get_power_usage(gpu),
        "energy_mj": nvml.device_get_total_energy_consumption(gpu),
        "limit_mw": nvml.device_get_power_management_limit(gpu),
        "limits_mw": nvml.device_get_power_management_limit_constraints(gpu),
        "temperature_c": nvml.device_get_temperature_v(gpu, 0), "busy_pct": [rates.gpu, rates.memory],
        "memory_b": [memory.used, memory.total], "sm_mhz": nvml.device_get_clock_info(gpu, nvml.ClockType.CLOCK_SM),
        "reasons": nvml.device_get_current_clocks_event_reasons(gpu),
        "pids": [int(each.pid) for each in nvml.device_get_compute_running_processes_v3(gpu)],
    })
print(json.dumps(found))
"""

SET = """
import json, os
from cuda.bindings import nvml

nvml.init_v2()
gpu = nvml.device_get_handle_by_index_v2(1)
nvml.device_set_power_management_limit_v2(gpu, 0, 275_000)
nvml.device_set_gpu_locked_clocks(gpu, 300, 900)
nvml.device_reset_gpu_locked_clocks(gpu)
errors = []
for watts in (1, 500):
    try:
        nvml.device_set_power_management_limit_v2(gpu, 0, watts * 1000)
    except nvml.InvalidArgumentError as error:
        errors.append(int(error.status))
print(json.dumps([os.getpid(), errors]))
"""


def test_every_getter_answers_and_none_crashes(still: Bench) -> None:
    answers = still.python(SWEEP)
    assert len(answers) > 180
    succeeded = {name for name, answer in answers.items() if answer == 0}
    assert {
        "device_get_architecture",
        "device_get_clock_info",
        "device_get_current_clocks_event_reasons",
        "device_get_enforced_power_limit",
        "device_get_memory_info_v2",
        "device_get_name",
        "device_get_pci_info_ext",
        "device_get_pci_info_v3",
        "device_get_persistence_mode",
        "device_get_power_management_limit_constraints",
        "device_get_power_usage",
        "device_get_temperature_v",
        "device_get_total_energy_consumption",
        "device_get_utilization_rates",
        "device_get_uuid",
    } < succeeded
    # The rest say that they are not supported, or that 0 is no answer to what they ask for; none that it failed.
    uninitialised, lost, reset_required, unknown = 1, 15, 16, 999
    assert not {*answers.values()} & {uninitialised, lost, reset_required, unknown}
    assert list(answers.values()).count("FunctionNotFoundError") < 10  # newer than the library


def test_what_it_reads_of_a_gpu_is_what_the_driver_says(still: Bench) -> None:
    assert still.python(READ) == [
        {
            "name": view["name"],
            "uuid": view["uuid"],
            "bus_id": f"{view['pci_domain']:08X}:{view['pci_bus']:02X}:{view['pci_device']:02X}.0",
            "power_mw": view["power_plain_mw"],
            "energy_mj": view["energy_mj"],
            "limit_mw": view["limit_requested_mw"],
            "limits_mw": [view["limit_min_mw"], view["limit_max_mw"]],
            "temperature_c": view["temperature_c"],
            "busy_pct": [view["gpu_utilisation_pct"], view["memory_utilisation_pct"]],
            "memory_b": [view["memory_used_b"], view["memory_total_b"]],
            "sm_mhz": view["sm_clock_mhz"],
            "reasons": view["event_reasons"],
            "pids": [os.getpid()] if view["pids"] else [],
        }
        for view in still.views()
    ]


def test_its_setters_set_what_the_driver_then_holds(still: Bench) -> None:
    logs = len(still.plant.limit_log()), len(still.plant.lock_log())
    pid, errors = still.python(SET)
    assert errors == [2, 2]
    assert [entry[1:] for entry in still.plant.limit_log()[logs[0] :]] == [(1, 250, 275, pid)]
    assert [entry[1:] for entry in still.plant.lock_log()[logs[1] :]] == [(1, 300, 900, pid), (1, 0, 0, pid)]
