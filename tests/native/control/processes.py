"""Who is on a board, and what they do there."""

from tests.native.control.runner import INVALID, NOT_FOUND, TOO_SMALL, VERSION, Row

LIST = "raw('nvmlDeviceGetComputeRunningProcesses{}', gpu, byref(count), {})"
BUSY_PROCESS = "load(1.0); plant.advance(2)"
USE = "raw('nvmlDeviceGetProcessUtilization', gpu, None, byref(count), {})"
USE_INFO = "raw('nvmlDeviceGetProcessesUtilizationInfo', gpu, byref(info))"
INFO = "info = versioned(c_nvmlProcessesUtilizationInfo_v1_t, {})"
ROWS = [
    *[
        Row(
            f"processes{version or ' without a version'}: how many",
            LIST.format(version, None),
            TOO_SMALL,
            before=f"{BUSY_PROCESS}; count = c_uint(0)",
            seen="count.value",
            shows=1,
        )
        for version in ("", "_v2", "_v3")
    ],
    *[
        Row(
            f"processes{version or ' without a version'}: records of {size} bytes",
            LIST.format(version, "room"),
            before=f"{BUSY_PROCESS}; count = c_uint(2); room = ctypes.create_string_buffer(b'\\xaa' * 64, 64)",
            seen="[count.value, int.from_bytes(room.raw[:4], 'little') == os.getpid(), room.raw.find(b'\\xaa' * 8)]",
            shows=[1, True, size],
        )
        for version, size in (("", 16), ("_v2", 24), ("_v3", 24))
    ],
    Row("processes without a count", "raw('nvmlDeviceGetComputeRunningProcesses_v3', gpu, None, None)", INVALID),
    Row(
        "a process that is dead",
        "None",
        before="load(1.0, pid=2**22 - 1); plant.advance(2)",
        seen="nvmlDeviceGetComputeRunningProcesses(gpu)",
        shows=[],
    ),
    Row(
        "use by a process: how many records",
        USE.format(0),
        TOO_SMALL,
        before=f"{BUSY_PROCESS}; count = c_uint(0)",
        seen="count.value",
        shows=1,
    ),
    Row(
        "use by a process",
        "nvmlDeviceGetProcessUtilization(gpu, 0)",
        before=BUSY_PROCESS,
        seen="[[sample.pid == os.getpid(), sample.smUtil] for sample in nvmlDeviceGetProcessUtilization(gpu, 0)]",
        shows=[[True, 100]],
    ),
    Row("no use", USE.format(0), NOT_FOUND, before="count = c_uint(0)"),
    Row(
        "no use since",
        "nvmlDeviceGetProcessUtilization(gpu, last)",
        NOT_FOUND,
        before=f"{BUSY_PROCESS}; last = nvmlDeviceGetProcessUtilization(gpu, 0)[0].timeStamp",
    ),
    Row(
        "use, newer call",
        "nvmlDeviceGetProcessesUtilizationInfo(gpu, 0)",
        before=BUSY_PROCESS,
        seen="[[sample.pid == os.getpid(), sample.smUtil] for sample in nvmlDeviceGetProcessesUtilizationInfo(gpu, 0)]",
        shows=[[True, 100]],
    ),
    Row(
        "use, newer call: how many",
        USE_INFO,
        TOO_SMALL,
        before=f"{BUSY_PROCESS}; {INFO.format('ProcessesUtilizationInfo_v1')}",
        seen="info.processSamplesCount",
        shows=1,
    ),
    Row(
        "use, newer call of another version",
        USE_INFO,
        VERSION,
        before=f"{BUSY_PROCESS}; {INFO.format('ProcessesUtilizationInfo_v1 + 1')}",
    ),
    Row("use, newer call without a struct", "raw('nvmlDeviceGetProcessesUtilizationInfo', gpu, None)", INVALID),
    Row("use, newer call, nothing runs", USE_INFO, NOT_FOUND, before=INFO.format("ProcessesUtilizationInfo_v1")),
]
