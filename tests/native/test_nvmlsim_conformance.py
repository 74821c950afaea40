"""The functions that unmodified clients were seen to call: which answer on a simulated A100, and which cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import SimHost

# Through nvidia-ml-py, with the board as `gpu`, a load on it, and 1593 MHz as the memory's clock.
ANSWERED = """
nvmlDeviceGetCount() nvmlDeviceGetHandleByIndex(0) nvmlDeviceGetName(gpu) nvmlDeviceGetPowerUsage(gpu)
nvmlDeviceGetUtilizationRates(gpu) nvmlDeviceGetMemoryInfo(gpu) nvmlDeviceGetMemoryInfo(gpu,nvmlMemory_v2)
nvmlDeviceGetTemperature(gpu,0) nvmlDeviceGetTemperatureV(gpu,0) nvmlDeviceGetUUID(gpu)
nvmlDeviceGetComputeRunningProcesses_v3(gpu) nvmlDeviceGetGraphicsRunningProcesses_v3(gpu)
nvmlDeviceGetPersistenceMode(gpu) nvmlSystemGetDriverVersion() nvmlSystemGetCudaDriverVersion_v2()
nvmlDeviceGetClockInfo(gpu,1) nvmlDeviceGetMaxClockInfo(gpu,1) nvmlDeviceGetComputeMode(gpu)
nvmlDeviceGetDecoderUtilization(gpu) nvmlDeviceGetEncoderUtilization(gpu) nvmlDeviceGetDisplayActive(gpu)
nvmlDeviceGetDisplayMode(gpu) nvmlDeviceGetEnforcedPowerLimit(gpu) nvmlDeviceGetPerformanceState(gpu)
nvmlDeviceGetPowerManagementLimit(gpu) nvmlDeviceGetTotalEnergyConsumption(gpu) nvmlDeviceGetArchitecture(gpu)
nvmlDeviceGetCudaComputeCapability(gpu) nvmlDeviceGetIndex(gpu) nvmlDeviceGetMinorNumber(gpu)
nvmlDeviceGetPciInfo_v3(gpu) nvmlDeviceGetPowerManagementDefaultLimit(gpu) nvmlDeviceGetProcessUtilization(gpu,0)
nvmlDeviceGetTotalEccErrors(gpu,0,0) nvmlDeviceGetBAR1MemoryInfo(gpu) nvmlDeviceGetBrand(gpu)
nvmlDeviceGetCurrPcieLinkGeneration(gpu) nvmlDeviceGetCurrPcieLinkWidth(gpu) nvmlDeviceGetMaxPcieLinkGeneration(gpu)
nvmlDeviceGetMaxPcieLinkWidth(gpu) nvmlDeviceGetCurrentClocksEventReasons(gpu)
nvmlDeviceGetSupportedClocksEventReasons(gpu) nvmlDeviceGetFieldValues(gpu,[186]) nvmlDeviceGetMigMode(gpu)
nvmlDeviceGetPowerManagementLimitConstraints(gpu) nvmlDeviceGetSerial(gpu) nvmlDeviceGetSupportedMemoryClocks(gpu)
nvmlDeviceGetSupportedGraphicsClocks(gpu,1593) nvmlDeviceGetTemperatureThreshold(gpu,0)
nvmlDeviceIsMigDeviceHandle(gpu) nvmlDeviceSetGpuLockedClocks(gpu,210,900) nvmlDeviceResetGpuLockedClocks(gpu)
nvmlDeviceSetMemoryLockedClocks(gpu,0,1593) nvmlDeviceResetMemoryLockedClocks(gpu)
nvmlDeviceSetPowerManagementLimit(gpu,300000) nvmlErrorString(3) nvmlShutdown()
"""

# Clients live without these, as they must on many a real board: what they would tell is not in the model.
REFUSED = """
nvmlDeviceGetFanSpeed(gpu) nvmlDeviceGetNumFans(gpu) nvmlDeviceGetAddressingMode(gpu)
nvmlDeviceGetAttributes_v2(gpu) nvmlDeviceGetAutoBoostedClocksEnabled(gpu) nvmlDeviceGetCoolerInfo(gpu)
nvmlDeviceGetDriverModel_v2(gpu) nvmlDeviceGetDynamicPstatesInfo(gpu) nvmlDeviceGetModuleId(gpu)
nvmlDeviceGetNumaNodeId(gpu) nvmlDeviceGetSupportedPerformanceStates(gpu) nvmlDeviceGetPcieThroughput(gpu,0)
"""


@pytest.fixture
def codes(host: SimHost) -> dict[str, int]:
    """The answers of all of them under a load."""
    script = """
from eagent.sim._plant import Host
with Host(os.environ["EAGENT_SIM_HOST"]) as plant:
    plant.start_square([0], 0.0, 10.0, 1.0, 0.5, 0.3, 1.0, os.getpid())
    plant.advance(3.0)
tell({call: code(eval, call) for call in sys.argv[1:]})"""
    found: dict[str, int] = host.nvml(script, *REFUSED.split(), *ANSWERED.split())
    return found


def test_what_clients_call_is_answered_and_what_the_model_lacks_is_not_supported(codes: dict[str, int]) -> None:
    assert codes == {**dict.fromkeys(REFUSED.split(), 3), **dict.fromkeys(ANSWERED.split(), 0)}
