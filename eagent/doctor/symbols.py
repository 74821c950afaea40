"""The names that eagent looks for in an NVML library, and what goes without each. A test holds it to native/nvml.h."""

from __future__ import annotations

from collections.abc import Mapping

NEEDED = ""  # without it eagent does not run at all

SYMBOLS: Mapping[str, str] = {
    "nvmlErrorString": NEEDED,
    "nvmlInit_v2": NEEDED,
    "nvmlShutdown": NEEDED,
    "nvmlDeviceGetCount_v2": NEEDED,
    "nvmlDeviceGetHandleByIndex_v2": NEEDED,
    "nvmlDeviceGetUUID": NEEDED,
    "nvmlDeviceGetName": NEEDED,
    "nvmlDeviceGetPciInfo_v3": NEEDED,
    "nvmlDeviceGetPowerUsage": NEEDED,
    "nvmlDeviceGetPowerManagementLimit": NEEDED,
    "nvmlDeviceGetPowerManagementLimitConstraints": NEEDED,
    "nvmlDeviceGetPowerManagementDefaultLimit": NEEDED,
    "nvmlDeviceSetPowerManagementLimit": NEEDED,
    "nvmlInitWithFlags": "no GPU can be detached while the others are governed on",
    "nvmlDeviceGetHandleByPciBusId_v2": "no GPU can be detached while the others are governed on",
    "nvmlDeviceGetArchitecture": "the power sensor is taken for the slowest that is known",
    "nvmlDeviceGetEnforcedPowerLimit": "a limit set out of band can't be seen",
    "nvmlDeviceGetTotalEnergyConsumption": "the energy that a GPU counts can't be read",
    "nvmlDeviceGetFieldValues": "power is a mean over a second on recent GPUs, and each reading takes more driver time",
    "nvmlDeviceGetClockInfo": "clocks can't be read",
    "nvmlDeviceSetGpuLockedClocks": "GPU clocks can't be held down",
    "nvmlDeviceResetGpuLockedClocks": "GPU clocks are not touched, because they could not be given back",
    "nvmlDeviceGetSupportedMemoryClocks": "the clocks that a GPU takes can't be learnt",
    "nvmlDeviceGetSupportedGraphicsClocks": "the clocks that a GPU takes can't be learnt",
    "nvmlDeviceGetComputeRunningProcesses_v3": "no GPU can be known to be idle",
    "nvmlDeviceGetUtilizationRates": "how busy a GPU is can't be read",
    "nvmlDeviceGetTemperature": "temperatures can't be read",
    "nvmlDeviceGetMemoryInfo": "the memory in use can't be read",
    "nvmlDeviceGetSamples": "power between two looks is not known where a GPU counts no energy",
    "nvmlDeviceGetCurrentClocksEventReasons": "whether a limit holds a GPU back can't be seen",
    "nvmlDeviceGetPersistenceMode": "whether the driver forgets what is set when its last client goes can't be seen",
    "nvmlDeviceSetPersistenceMode": "the driver can't be kept from forgetting what is set when its last client goes",
}
