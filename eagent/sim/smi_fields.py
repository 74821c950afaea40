"""What a simulated host's `nvidia-smi --query-gpu` can be asked: the real tool's names and units, read through NVML."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pynvml

MISSING = "[N/A]"
ABSENT = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Field:
    """One column. `read` gets a handle and raises NVMLError."""

    read: Callable[[pynvml.c_nvmlDevice_t], str]
    unit: str = ""


def find(name: str) -> Field | None:
    """The field of that name or of one of its other names."""
    return FIELDS.get(canonical(name))


def canonical(name: str) -> str:
    """The name that the header shows."""
    name = name.strip()
    return OTHER_NAMES.get(name, name.replace("clocks_throttle_reasons.", "clocks_event_reasons."))


def header(name: str) -> str:
    """A column's first line; the unit is in it even if it is not behind the values."""
    field = FIELDS[canonical(name)]
    return f"{canonical(name)} [{field.unit}]" if field.unit else canonical(name)


def read(name: str, gpu: pynvml.c_nvmlDevice_t, *, with_unit: bool = True) -> str:
    """A value as the tool writes it; [N/A] for what this GPU or its library does not have.

    Raises:
        NVMLError: the GPU is lost, or another failure that is not the absence of a sensor.
    """
    field = FIELDS[canonical(name)]
    try:
        text = field.read(gpu)
    except pynvml.NVMLError as error:
        if error.value in ABSENT:
            return MISSING
        raise
    return f"{text} {field.unit}" if field.unit and with_unit else text


def describe() -> Iterator[str]:
    """All names, each with those that mean the same."""
    for name in FIELDS:
        others = [other for other, meant in OTHER_NAMES.items() if meant == name]
        yield f"{name} (or {', '.join(others)})" if others else name


def timestamp(_: pynvml.c_nvmlDevice_t) -> str:
    now_ms = time.time_ns() // 1_000_000
    return f"{time.strftime('%Y/%m/%d %H:%M:%S', time.localtime(now_ms // 1000))}.{now_ms % 1000:03}"


def field_value_mw(number: int, gpu: pynvml.c_nvmlDevice_t) -> int:
    """A power that NVML gives by number only."""
    value = pynvml.nvmlDeviceGetFieldValues(gpu, [number])[0]
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(value.nvmlReturn)
    return int(value.value.uiVal)


def watts(read_mw: Callable[[pynvml.c_nvmlDevice_t], int]) -> Field:
    return Field(lambda gpu: f"{read_mw(gpu) / 1000:.2f}", "W")


def clock(read_mhz: Callable[[pynvml.c_nvmlDevice_t, int], int], kind: int) -> Field:
    return Field(lambda gpu: str(read_mhz(gpu, kind)), "MHz")


def memory(part: str) -> Field:
    def text(gpu: pynvml.c_nvmlDevice_t) -> str:
        return str(getattr(pynvml.nvmlDeviceGetMemoryInfo(gpu, pynvml.nvmlMemory_v2), part) >> 20)

    return Field(text, "MiB")


def switch(read_state: Callable[[pynvml.c_nvmlDevice_t], int]) -> Field:
    return Field(lambda gpu: "Enabled" if read_state(gpu) else "Disabled")


def reason(bit: int) -> Field:
    def text(gpu: pynvml.c_nvmlDevice_t) -> str:
        if not pynvml.nvmlDeviceGetSupportedClocksEventReasons(gpu) & bit:
            return MISSING
        return "Active" if pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu) & bit else "Not Active"

    return Field(text)


def plain(read_value: Callable[[pynvml.c_nvmlDevice_t], object], unit: str = "") -> Field:
    return Field(lambda gpu: str(read_value(gpu)), unit)


def limits_mw(place: int, gpu: pynvml.c_nvmlDevice_t) -> int:
    return int(pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu)[place])


def clock_names(read_mhz: Callable[[pynvml.c_nvmlDevice_t, int], int], prefix: str) -> dict[str, Field]:
    kinds = {"graphics": pynvml.NVML_CLOCK_GRAPHICS, "sm": pynvml.NVML_CLOCK_SM, "memory": pynvml.NVML_CLOCK_MEM}
    return {f"{prefix}.{name}": clock(read_mhz, kind) for name, kind in kinds.items()}


COMPUTE_MODES = ("Default", "Exclusive_Thread", "Prohibited", "Exclusive_Process")

FIELDS: dict[str, Field] = {
    "timestamp": Field(timestamp),
    "driver_version": plain(lambda _: pynvml.nvmlSystemGetDriverVersion()),
    "count": plain(lambda _: pynvml.nvmlDeviceGetCount()),
    "index": plain(pynvml.nvmlDeviceGetIndex),
    "name": plain(pynvml.nvmlDeviceGetName),
    "uuid": plain(pynvml.nvmlDeviceGetUUID),
    "serial": plain(pynvml.nvmlDeviceGetSerial),
    "vbios_version": plain(pynvml.nvmlDeviceGetVbiosVersion),
    "compute_cap": Field(lambda gpu: "{}.{}".format(*pynvml.nvmlDeviceGetCudaComputeCapability(gpu))),
    "pci.bus_id": Field(lambda gpu: str(pynvml.nvmlDeviceGetPciInfo(gpu).busId)),
    "pcie.link.gen.current": plain(pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
    "pcie.link.gen.max": plain(pynvml.nvmlDeviceGetMaxPcieLinkGeneration),
    "pcie.link.width.current": plain(pynvml.nvmlDeviceGetCurrPcieLinkWidth),
    "pcie.link.width.max": plain(pynvml.nvmlDeviceGetMaxPcieLinkWidth),
    "persistence_mode": switch(pynvml.nvmlDeviceGetPersistenceMode),
    "compute_mode": Field(lambda gpu: COMPUTE_MODES[pynvml.nvmlDeviceGetComputeMode(gpu)]),
    "mig.mode.current": switch(lambda gpu: pynvml.nvmlDeviceGetMigMode(gpu)[0]),
    "mig.mode.pending": switch(lambda gpu: pynvml.nvmlDeviceGetMigMode(gpu)[1]),
    "ecc.mode.current": switch(lambda gpu: pynvml.nvmlDeviceGetEccMode(gpu)[0]),
    "display_active": switch(pynvml.nvmlDeviceGetDisplayActive),
    "pstate": Field(lambda gpu: f"P{pynvml.nvmlDeviceGetPerformanceState(gpu)}"),
    "fan.speed": plain(pynvml.nvmlDeviceGetFanSpeed, "%"),
    "temperature.gpu": plain(lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
    "utilization.gpu": plain(lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu, "%"),
    "utilization.memory": plain(lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).memory, "%"),
    "utilization.encoder": plain(lambda gpu: pynvml.nvmlDeviceGetEncoderUtilization(gpu)[0], "%"),
    "utilization.decoder": plain(lambda gpu: pynvml.nvmlDeviceGetDecoderUtilization(gpu)[0], "%"),
    **{f"memory.{part}": memory(part) for part in ("total", "reserved", "used", "free")},
    "power.draw": watts(pynvml.nvmlDeviceGetPowerUsage),
    "power.draw.average": watts(partial(field_value_mw, pynvml.NVML_FI_DEV_POWER_AVERAGE)),
    "power.draw.instant": watts(partial(field_value_mw, pynvml.NVML_FI_DEV_POWER_INSTANT)),
    "power.limit": watts(pynvml.nvmlDeviceGetPowerManagementLimit),
    "enforced.power.limit": watts(pynvml.nvmlDeviceGetEnforcedPowerLimit),
    "power.default_limit": watts(pynvml.nvmlDeviceGetPowerManagementDefaultLimit),
    "power.min_limit": watts(partial(limits_mw, 0)),
    "power.max_limit": watts(partial(limits_mw, 1)),
    **clock_names(pynvml.nvmlDeviceGetClockInfo, "clocks.current"),
    **clock_names(pynvml.nvmlDeviceGetMaxClockInfo, "clocks.max"),
    "clocks_event_reasons.supported": Field(
        lambda gpu: f"{pynvml.nvmlDeviceGetSupportedClocksEventReasons(gpu):#018x}"
    ),
    "clocks_event_reasons.active": Field(lambda gpu: f"{pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu):#018x}"),
    "clocks_event_reasons.gpu_idle": reason(pynvml.nvmlClocksEventReasonGpuIdle),
    "clocks_event_reasons.sw_power_cap": reason(pynvml.nvmlClocksEventReasonSwPowerCap),
    "clocks_event_reasons.hw_slowdown": reason(pynvml.nvmlClocksThrottleReasonHwSlowdown),
    "clocks_event_reasons.hw_thermal_slowdown": reason(pynvml.nvmlClocksThrottleReasonHwThermalSlowdown),
    "clocks_event_reasons.hw_power_brake_slowdown": reason(pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown),
    "clocks_event_reasons.sw_thermal_slowdown": reason(pynvml.nvmlClocksEventReasonSwThermalSlowdown),
}

OTHER_NAMES = {
    "gpu_name": "name",
    "gpu_uuid": "uuid",
    "gpu_serial": "serial",
    "gpu_bus_id": "pci.bus_id",
    "clocks.sm": "clocks.current.sm",
    "clocks.gr": "clocks.current.graphics",
    "clocks.mem": "clocks.current.memory",
    "clocks.current.gr": "clocks.current.graphics",
    "clocks.current.mem": "clocks.current.memory",
    "clocks.max.gr": "clocks.max.graphics",
    "clocks.max.mem": "clocks.max.memory",
}
