"""Boards that are divided."""

from tests.native.control.events import GOT, SET
from tests.native.control.power import UNTOUCHED
from tests.native.control.processes import BUSY_PROCESS
from tests.native.control.runner import FORBIDDEN, GEFORCE, INVALID, NOT_FOUND, UNSUPPORTED, VOLTA, Row, booted

GIB = 2**30

DIVIDED = f"lab.divide(0, 3, 2, {20 * GIB}); part = nvmlDeviceGetMigDeviceHandleByIndex(gpu, 1)"
MODE = "[nvmlDeviceGetMigMode(gpu), lab.mig(0)['mode'], lab.mig(0)['pending']]"
ACTIVATION = "activation = c_uint(99)"
SET_MIG = "raw('nvmlDeviceSetMigMode', gpu, {}, byref(activation))"
ROWS = [
    Row("MIG of a board that cannot be divided", "nvmlDeviceGetMigMode(gpu)", UNSUPPORTED, model=GEFORCE),
    Row("MIG before Ampere", "nvmlDeviceGetMigMode(gpu)", UNSUPPORTED, model=VOLTA),
    Row(
        "MIG off",
        "nvmlDeviceGetMigMode(gpu)",
        seen=f"[{MODE}, nvmlDeviceGetMaxMigDeviceCount(gpu)]",
        shows=[[[0, 0], 0, 0], 0],
    ),
    Row(
        "MIG on",
        "nvmlDeviceGetMigMode(gpu)",
        before=DIVIDED,
        seen=f"[{MODE}, nvmlDeviceGetMaxMigDeviceCount(gpu), nvmlDeviceGetMaxMigDeviceCount(other)]",
        shows=[[[1, 1], 1, 1], 7, 0],
    ),
    Row("an instance that is not there", "nvmlDeviceGetMigDeviceHandleByIndex(gpu, 3)", NOT_FOUND, before=DIVIDED),
    Row("an instance while MIG is off", "nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0)", NOT_FOUND),
    Row("an instance beyond the last", "nvmlDeviceGetMigDeviceHandleByIndex(gpu, 7)", INVALID, before=DIVIDED),
    Row(
        "an instance of what cannot be divided",
        "nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0)",
        UNSUPPORTED,
        model=GEFORCE,
    ),
    Row(
        "an instance is what it is",
        "nvmlDeviceGetGpuInstanceId(part)",
        before=DIVIDED,
        seen="[nvmlDeviceIsMigDeviceHandle(part).value, nvmlDeviceIsMigDeviceHandle(gpu).value, "
        "nvmlDeviceGetGpuInstanceId(part), "
        "nvmlDeviceGetComputeInstanceId(part), nvmlDeviceGetIndex(nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)), "
        "nvmlDeviceGetName(part)]",
        shows=[1, 0, 2, 0, 0, "NVIDIA A100-SXM4-80GB MIG 2g.20gb"],
    ),
    Row("a board is of no GPU instance", "nvmlDeviceGetGpuInstanceId(gpu)", UNSUPPORTED, before=DIVIDED),
    Row("a board is part of no board", "nvmlDeviceGetDeviceHandleFromMigDeviceHandle(gpu)", INVALID, before=DIVIDED),
    Row(
        "instance and board are found by their UUIDs",
        "nvmlDeviceGetUUID(part)",
        before=DIVIDED,
        seen="[nvmlDeviceGetUUID(part) == lab.mig(0)['ids'][1], nvmlDeviceGetUUID(part)[:4], "
        "nvmlDeviceGetGpuInstanceId(nvmlDeviceGetHandleByUUID(nvmlDeviceGetUUID(part).encode())), "
        "nvmlDeviceGetIndex(nvmlDeviceGetHandleByUUID(nvmlDeviceGetUUID(other).encode()))]",
        shows=[True, "MIG-", 2, 1],
    ),
    Row(
        "what an instance has",
        "nvmlDeviceGetAttributes_v2(part)",
        before=DIVIDED,
        seen="(lambda has: [has.multiprocessorCount, has.gpuInstanceSliceCount, has.memorySizeMB, "
        "nvmlDeviceGetMemoryInfo(part).total])"
        "(nvmlDeviceGetAttributes_v2(part))",
        shows=[28, 2, 20 * 1024, 20 * GIB],
    ),
    Row("a board has no attributes", "nvmlDeviceGetAttributes_v2(gpu)", UNSUPPORTED),
    Row(
        "a process is on an instance",
        "None",
        before=f"{DIVIDED}; {BUSY_PROCESS}; first = nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0)",
        seen="[[(process.pid == os.getpid(), process.gpuInstanceId) "
        "for process in nvmlDeviceGetComputeRunningProcesses(handle)] "
        "for handle in (gpu, first, part)]",
        shows=[[[True, 1]], [[True, 1]], []],
    ),
    *[
        Row(f"an instance has no {call}", f"{call}(part)", UNSUPPORTED, before=DIVIDED)
        for call in (
            "nvmlDeviceGetPowerUsage",
            "nvmlDeviceGetTotalEnergyConsumption",
            "nvmlDeviceGetPowerManagementLimit",
            "nvmlDeviceGetEnforcedPowerLimit",
            "nvmlDeviceGetUtilizationRates",
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceResetGpuLockedClocks",
        )
    ],
    Row(
        "an instance takes no limit",
        "nvmlDeviceSetPowerManagementLimit(part, 250_000)",
        UNSUPPORTED,
        before=DIVIDED,
        **UNTOUCHED,
    ),
    Row("an instance has no fields", "nvmlDeviceGetFieldValues(part, [186])", UNSUPPORTED, before=DIVIDED),
    Row(
        "a divided board has power as before",
        "nvmlDeviceGetPowerUsage(gpu)",
        before=DIVIDED,
        seen="nvmlDeviceGetPowerUsage(gpu) > 0",
        shows=True,
    ),
    Row("a divided board tells no utilisation", "nvmlDeviceGetUtilizationRates(gpu)", UNSUPPORTED, before=DIVIDED),
    Row(
        "a divided board tells no use by processes",
        "nvmlDeviceGetProcessUtilization(gpu, 0)",
        UNSUPPORTED,
        before=f"{DIVIDED}; {BUSY_PROCESS}",
    ),
    Row(
        "an instance that is no more",
        "nvmlDeviceGetUUID(part)",
        INVALID,
        before=f"{DIVIDED}; lab.divide(0, 1, 7, {80 * GIB})",
        seen="nvmlDeviceGetName(nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0))[-11:]",
        shows="MIG 7g.80gb",
    ),
    Row(
        "MIG turned on",
        SET_MIG.format(1),
        before=ACTIVATION,
        seen=f"[activation.value, {MODE}, nvmlDeviceGetMaxMigDeviceCount(gpu)]",
        shows=[0, [[1, 1], 1, 1], 7],
        logs=((0, "mig", (0, 0), (1, 0)),),
    ),
    Row(
        "MIG turned off",
        SET_MIG.format(0),
        before=f"{ACTIVATION}; {DIVIDED}",
        seen=f"[activation.value, {MODE}, code(nvmlDeviceGetMigDeviceHandleByIndex, gpu, 0)]",
        shows=[0, [[0, 0], 0, 0], NOT_FOUND],
        logs=((0, "mig", (1, 3), (0, 0)),),
    ),
    Row(
        "MIG turned on while a process is there",
        SET_MIG.format(1),
        before=f"{ACTIVATION}; {BUSY_PROCESS}",
        seen=f"[activation.value, {MODE}]",
        shows=[19, [[0, 1], 0, 1]],
    ),
    Row(
        "MIG that waited comes with a boot",
        "reboot()",
        before=f"{ACTIVATION}; {BUSY_PROCESS}; {SET_MIG.format(1)}",
        seen="nvmlDeviceGetMigMode(GPU[0])",
        shows=[1, 1],
        logs=booted(),
    ),
    Row("MIG in a mode that is none", SET_MIG.format(2), INVALID, before=ACTIVATION, seen=MODE, shows=[[0, 0], 0, 0]),
    Row(
        "MIG without a place for the answer",
        "raw('nvmlDeviceSetMigMode', gpu, 1, None)",
        INVALID,
        seen=MODE,
        shows=[[0, 0], 0, 0],
    ),
    Row(
        "MIG turned on by nobody",
        SET_MIG.format(1),
        FORBIDDEN,
        before=ACTIVATION,
        permission="nobody",
        seen=MODE,
        shows=[[0, 0], 0, 0],
    ),
    Row("MIG turned on where there is none", SET_MIG.format(1), UNSUPPORTED, before=ACTIVATION, model=GEFORCE),
    Row(
        "MIG that changes is told",
        SET_MIG.format(1),
        before=f"{ACTIVATION}; {SET}; nvmlDeviceRegisterEvents(gpu, nvmlEventMigConfigChange, events)",
        seen=GOT,
        shows=[0x100, 0, 0],
        logs=((0, "mig", (0, 0), (1, 0)),),
    ),
]
