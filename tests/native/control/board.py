"""What is printed on a board or wired to it."""

from tests.native.control.runner import GEFORCE, INVALID, UNSUPPORTED, VOLTA, Row

ROWS = [
    Row(
        "thresholds of heat",
        "None",
        seen="[nvmlDeviceGetTemperatureThreshold(gpu, kind) "
        "for kind in (NVML_TEMPERATURE_THRESHOLD_SHUTDOWN, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)]",
        shows=[92, 85],
    ),
    Row(
        "a threshold of the memory",
        "nvmlDeviceGetTemperatureThreshold(gpu, NVML_TEMPERATURE_THRESHOLD_MEM_MAX)",
        UNSUPPORTED,
    ),
    Row("a threshold that is none", "nvmlDeviceGetTemperatureThreshold(gpu, 8)", INVALID),
    Row("how many fans", "nvmlDeviceGetNumFans(gpu)", UNSUPPORTED),
    Row("the speed of a fan", "nvmlDeviceGetFanSpeed(gpu)", UNSUPPORTED),
    Row(
        "the PCIe link",
        "None",
        seen="[nvmlDeviceGetMaxPcieLinkGeneration(gpu), nvmlDeviceGetCurrPcieLinkGeneration(gpu), "
        "nvmlDeviceGetMaxPcieLinkWidth(gpu), nvmlDeviceGetCurrPcieLinkWidth(gpu)]",
        shows=[4, 4, 16, 16],
    ),
    Row("the PCIe link before Ampere", "None", model=VOLTA, seen="nvmlDeviceGetMaxPcieLinkGeneration(gpu)", shows=3),
    Row("what goes over PCIe", "nvmlDeviceGetPcieThroughput(gpu, NVML_PCIE_UTIL_TX_BYTES)", UNSUPPORTED),
    Row(
        "who the boards are",
        "None",
        seen="[len({nvmlDeviceGetSerial(handle) for handle in GPU}), len(nvmlDeviceGetSerial(gpu)), "
        "len({nvmlDeviceGetBoardId(handle) for handle in GPU}), nvmlDeviceGetMultiGpuBoard(gpu)]",
        shows=[2, 13, 2, 0],
    ),
    Row("the window into memory", "None", seen="nvmlDeviceGetBAR1MemoryInfo(gpu).bar1Total", shows=128 * 2**30),
    Row(
        "errors of memory",
        "None",
        seen="nvmlDeviceGetTotalEccErrors(gpu, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC)",
        shows=0,
    ),
    Row("errors of memory of a kind that is none", "nvmlDeviceGetTotalEccErrors(gpu, 2, 0)", INVALID),
    Row(
        "the address, at length",
        "raw('nvmlDeviceGetPciInfoExt', gpu, byref(pci))",
        before="pci = nvmlPciInfoExt_v1_t(version=nvmlPciInfoExt_v1)",
        seen="[pci.domain, pci.bus, pci.device, hex(pci.pciDeviceId), pci.baseClass, pci.busId]",
        shows=[0, 7, 0, "0x20b210de", 3, "00000000:07:00.0"],
    ),
    Row("the brand", "None", model=GEFORCE, seen="nvmlDeviceGetBrand(gpu)", shows=5),
]
