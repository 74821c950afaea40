"""The knobs and sensors of the simulated NVML library: power and clocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.conftest import SimHost


LIMITS = """
def limits(gpu):
    return [nvmlDeviceGetPowerManagementLimit(gpu), nvmlDeviceGetEnforcedPowerLimit(gpu)]
low, high = nvmlDeviceGetPowerManagementLimitConstraints(gpu)
"""


def test_a_limit_within_the_constraints_is_read_back_and_the_other_gpu_keeps_its_own(host: SimHost) -> None:
    script = """
nvmlDeviceSetPowerManagementLimit(gpu, low)
tell([limits(gpu), low, limits(nvmlDeviceGetHandleByIndex(1)), nvmlDeviceGetPowerManagementDefaultLimit(gpu)])"""
    limits, low, other, default = host.nvml(LIMITS + script)
    assert limits[0] == low
    assert other == [default, default]


def test_a_limit_outside_the_constraints_is_refused_and_changes_nothing(host: SimHost) -> None:
    script = """
before = limits(gpu)
answers = [code(nvmlDeviceSetPowerManagementLimit, gpu, wrong) for wrong in [low - 1, high + 1, 0, 2**32 - 1]]
tell([answers, limits(gpu) == before, code(nvmlDeviceSetPowerManagementLimit, gpu, high)])"""
    assert host.nvml(LIMITS + script) == [[2, 2, 2, 2], True, 0]


def test_the_newer_setter_knows_the_scope_of_the_gpu_only(host: SimHost) -> None:
    script = """
def set_v2(scope, mw):
    limit = c_nvmlPowerValue_v2_t(version=nvmlPowerValue_v2, powerScope=scope, powerValueMw=mw)
    return lib.nvmlDeviceSetPowerManagementLimit_v2(gpu, ctypes.byref(limit))
answers = [set_v2(scope, low) for scope in range(5)] + [set_v2(0, low - 1)]
tell([answers, limits(gpu)[0] == low])"""
    assert host.nvml(LIMITS + script) == [[0, 3, 3, 3, 2, 2], True]


def test_fields_say_what_the_calls_of_their_own_say(host: SimHost) -> None:
    script = """
nvmlDeviceSetPowerManagementLimit(gpu, low)
values = nvmlDeviceGetFieldValues(gpu, [83, 191, 186, 187, 188, 189, 190, 192])
read = [v.value.ullVal if v.valueType == NVML_VALUE_TYPE_UNSIGNED_LONG_LONG else v.value.uiVal for v in values]
energy = nvmlDeviceGetTotalEnergyConsumption(gpu)
requested, enforced = limits(gpu)
default = nvmlDeviceGetPowerManagementDefaultLimit(gpu)
assert all(v.nvmlReturn == 0 and v.timestamp > 0 for v in values)
tell([read, [energy, energy, nvmlDeviceGetPowerUsage(gpu), low, high, default, enforced, requested]])"""
    with Host(str(host.plant)) as plant:
        plant.advance(5.0)
    fields, calls = host.nvml(LIMITS + script)
    assert fields == calls
    assert fields[0] > 0
    assert fields[2] > 0


def test_a_field_that_is_not_there_says_so_for_itself_alone(host: SimHost) -> None:
    script = """
values = nvmlDeviceGetFieldValues(gpu, [186, 185, (186, 1), (186, 2), 82, 60000, 190])
tell([[v.nvmlReturn for v in values], code(nvmlDeviceGetFieldValues, gpu, [])])"""
    assert host.nvml(script) == [[0, 3, 3, 3, 3, 3, 0], 2]


def test_the_list_of_clocks_falls_in_steps_and_asks_for_the_room_that_it_needs(host: SimHost) -> None:
    script = """
(memory,) = nvmlDeviceGetSupportedMemoryClocks(gpu)
few = (ctypes.c_uint * 3)()
count = ctypes.c_uint(3)
short = lib.nvmlDeviceGetSupportedGraphicsClocks(gpu, memory, ctypes.byref(count), few)
clocks, fastest = nvmlDeviceGetSupportedGraphicsClocks(gpu, memory), nvmlDeviceGetMaxClockInfo(gpu, NVML_CLOCK_SM)
tell([clocks, fastest, short, count.value, code(nvmlDeviceGetSupportedGraphicsClocks, gpu, memory + 1)])"""
    clocks, fastest, short, needed, other_memory = host.nvml(script)
    assert clocks == sorted(set(clocks), reverse=True)
    assert clocks[0] == fastest
    assert (short, needed, other_memory) == (7, len(clocks), 6)


def test_a_locked_clock_holds_under_load_until_it_is_reset(host: SimHost) -> None:
    clock = "tell(nvmlDeviceGetClockInfo(gpu, NVML_CLOCK_SM))"
    with Host(str(host.plant)) as plant:
        plant.start_square([0], 0.0, 10.0, 1.0, 0.3, 0.3, 1.0, os.getpid())
        plant.advance(2.0)
        free = host.nvml(clock)
        host.nvml("nvmlDeviceSetGpuLockedClocks(gpu, 210, 900); tell(0)")
        plant.advance(4.0)
        locked = host.nvml(clock)
        host.nvml("nvmlDeviceResetGpuLockedClocks(gpu); tell(0)")
        plant.advance(6.0)
        reset = host.nvml(clock)
    assert locked <= 900 < free
    assert reset == free


def test_a_pair_of_clocks_that_is_none_is_refused(host: SimHost) -> None:
    script = """
TDP, UNLIMITED = NVML_CLOCK_LIMIT_ID_TDP, NVML_CLOCK_LIMIT_ID_UNLIMITED
pairs = [(900, 600), (TDP, 900), (900, TDP), (UNLIMITED, 900), (900, UNLIMITED), (UNLIMITED + 1, UNLIMITED + 1)]
(memory,) = nvmlDeviceGetSupportedMemoryClocks(gpu)
tell([[code(nvmlDeviceSetGpuLockedClocks, gpu, *pair) for pair in pairs],
      code(nvmlDeviceSetGpuLockedClocks, gpu, UNLIMITED, UNLIMITED), code(nvmlDeviceSetGpuLockedClocks, gpu, TDP, TDP),
      code(nvmlDeviceSetMemoryLockedClocks, gpu, memory, memory), code(nvmlDeviceSetMemoryLockedClocks, gpu, 1, 2)])"""
    assert host.nvml(script) == [[2] * 6, 0, 0, 0, 2]
