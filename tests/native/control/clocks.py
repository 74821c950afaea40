"""Clock locks, application clocks and the lists of what may be set."""

from tests.native.control.runner import FORBIDDEN, INVALID, NOT_FOUND, TOO_SMALL, UNSUPPORTED, VOLTA, Row, booted

LOCKED = "(plant.advance(plant.time_s + 1), nvmlDeviceGetClockInfo(gpu, NVML_CLOCK_SM))[1]"
TDP, UNLIMITED = "NVML_CLOCK_LIMIT_ID_TDP", "NVML_CLOCK_LIMIT_ID_UNLIMITED"
BUSY = "load(0.3); plant.advance(1)"
FREE = {"before": BUSY, "seen": LOCKED, "shows": 1410}


def lock(low: int | str, high: int | str) -> str:
    return f"nvmlDeviceSetGpuLockedClocks(gpu, {low}, {high})"


LOCKS = [
    Row("a lock", lock(210, 900), before=BUSY, seen=LOCKED, shows=900, logs=((0, "locked_mhz", None, (210, 900)),)),
    Row(
        "a lock to the base clock by name",
        lock(TDP, TDP),
        before=BUSY,
        seen=LOCKED,
        shows=1275,
        logs=((0, "locked_mhz", None, (1275, 1275)),),
    ),
    Row(
        "a lock to no limit by name", lock(UNLIMITED, UNLIMITED), logs=((0, "locked_mhz", None, (1410, 1410)),), **FREE
    ),
    Row(
        "a lock from base to no limit by name",
        lock(TDP, UNLIMITED),
        logs=((0, "locked_mhz", None, (1275, 1410)),),
        **FREE,
    ),
    Row("a lock with one name and one number", lock(TDP, 900), INVALID, **FREE),
    Row("a lock with one number and one name", lock(900, UNLIMITED), INVALID, **FREE),
    Row("a lock with a name that is none", lock("0xffffff03", "0xffffff03"), INVALID, **FREE),
    Row("a lock upside down", lock(900, 600), INVALID, **FREE),
    Row("a lock above the fastest", lock(210, 1425), INVALID, **FREE),
    Row("a lock by nobody", lock(210, 900), FORBIDDEN, permission="nobody", **FREE),
    Row("a lock upside down is wrong whoever asks", lock(900, 600), INVALID, permission="nobody", **FREE),
    Row(
        "a lock is lost in a boot",
        "reboot()",
        before=lock(210, 900),
        seen="plant.view(0)['locked_max_mhz']",
        shows=0,
        logs=((0, "locked_mhz", None, (0, 0), False), *booted()),
    ),
    Row(
        "a lock taken off",
        "nvmlDeviceResetGpuLockedClocks(gpu)",
        before=f"{BUSY}; {lock(210, 900)}; plant.advance(2)",
        seen=LOCKED,
        shows=1410,
        logs=((0, "locked_mhz", None, (0, 0)),),
    ),
    Row(
        "a lock taken off by nobody",
        "nvmlDeviceResetGpuLockedClocks(gpu)",
        FORBIDDEN,
        permission="nobody",
        before=f"{BUSY}; plant.lock_clocks(0, 210, 900)",
        seen=LOCKED,
        shows=900,
    ),
]

MEMORY_LOCK = (
    "[lab.knobs(0)['memory_min_mhz'], lab.knobs(0)['memory_max_mhz'], nvmlDeviceGetClockInfo(gpu, NVML_CLOCK_MEM)]"
)
UNLOCKED = {"seen": MEMORY_LOCK, "shows": [0, 0, 1593]}
MEMORY_LOCKS = [
    Row(
        "a memory lock",
        "nvmlDeviceSetMemoryLockedClocks(gpu, 1593, 1593)",
        seen=MEMORY_LOCK,
        shows=[1593, 1593, 1593],
        logs=((0, "memory_locked_mhz", None, (1593, 1593)),),
    ),
    Row(
        "a memory lock from zero, as zeus gives it",
        "nvmlDeviceSetMemoryLockedClocks(gpu, 0, 1593)",
        seen=MEMORY_LOCK,
        shows=[0, 1593, 1593],
        logs=((0, "memory_locked_mhz", None, (0, 1593)),),
    ),
    Row(
        "a memory lock that the memory cannot keep",
        "nvmlDeviceSetMemoryLockedClocks(gpu, 800, 1000)",
        INVALID,
        **UNLOCKED,
    ),
    Row("a memory lock upside down", "nvmlDeviceSetMemoryLockedClocks(gpu, 1593, 800)", INVALID, **UNLOCKED),
    Row(
        "a memory lock by nobody",
        "nvmlDeviceSetMemoryLockedClocks(gpu, 1593, 1593)",
        FORBIDDEN,
        permission="nobody",
        **UNLOCKED,
    ),
    Row(
        "a memory lock before Ampere",
        "nvmlDeviceSetMemoryLockedClocks(gpu, 1593, 1593)",
        UNSUPPORTED,
        model=VOLTA,
        **UNLOCKED,
    ),
    Row(
        "a memory lock taken off before Ampere",
        "nvmlDeviceResetMemoryLockedClocks(gpu)",
        UNSUPPORTED,
        model=VOLTA,
        **UNLOCKED,
    ),
    Row(
        "a memory lock taken off",
        "nvmlDeviceResetMemoryLockedClocks(gpu)",
        before="nvmlDeviceSetMemoryLockedClocks(gpu, 1593, 1593)",
        logs=((0, "memory_locked_mhz", None, (0, 0)),),
        **UNLOCKED,
    ),
    Row("a memory lock taken off by nobody", "nvmlDeviceResetMemoryLockedClocks(gpu)", FORBIDDEN, permission="nobody"),
    Row(
        "a memory lock is lost in a boot",
        "reboot()",
        before="nvmlDeviceSetMemoryLockedClocks(gpu, 1593, 1593)",
        logs=((0, "memory_locked_mhz", None, (0, 0), False), *booted()),
        **UNLOCKED,
    ),
]

APPLICATION = (
    "[nvmlDeviceGetApplicationsClock(gpu, NVML_CLOCK_SM), nvmlDeviceGetApplicationsClock(gpu, NVML_CLOCK_MEM)]"
)
AS_IT_CAME = {"seen": APPLICATION, "shows": [1410, 1593]}
APPLICATION_CLOCKS = [
    Row(
        "application clocks",
        "nvmlDeviceSetApplicationsClocks(gpu, 1593, 1005)",
        before=BUSY,
        seen=f"[{LOCKED}, *{APPLICATION}, nvmlDeviceGetClock(gpu, NVML_CLOCK_SM, NVML_CLOCK_ID_APP_CLOCK_TARGET)]",
        shows=[1005, 1005, 1593, 1005],
        logs=((0, "application_mhz", 0, 1005),),
    ),
    Row(
        "application clocks that are not listed",
        "nvmlDeviceSetApplicationsClocks(gpu, 1593, 1000)",
        INVALID,
        **AS_IT_CAME,
    ),
    Row(
        "application clocks with another memory clock",
        "nvmlDeviceSetApplicationsClocks(gpu, 1215, 1005)",
        INVALID,
        **AS_IT_CAME,
    ),
    Row(
        "application clocks by nobody",
        "nvmlDeviceSetApplicationsClocks(gpu, 1593, 1005)",
        FORBIDDEN,
        permission="nobody",
        **AS_IT_CAME,
    ),
    Row(
        "application clocks back as they came",
        "nvmlDeviceResetApplicationsClocks(gpu)",
        before="nvmlDeviceSetApplicationsClocks(gpu, 1593, 1005)",
        logs=((0, "application_mhz", 1005, 0),),
        **AS_IT_CAME,
    ),
    Row("default application clocks", "nvmlDeviceGetDefaultApplicationsClock(gpu, NVML_CLOCK_SM)", **AS_IT_CAME),
    Row("application clocks of video", "nvmlDeviceGetApplicationsClock(gpu, NVML_CLOCK_VIDEO)", UNSUPPORTED),
]

SHORT = "room = (c_uint * 1)(); count = c_uint(1)"
LISTS = [
    Row(
        "memory clocks",
        "nvmlDeviceGetSupportedMemoryClocks(gpu)",
        seen="nvmlDeviceGetSupportedMemoryClocks(gpu)",
        shows=[1593],
    ),
    Row(
        "memory clocks without room",
        "raw('nvmlDeviceGetSupportedMemoryClocks', gpu, byref(count), None)",
        TOO_SMALL,
        before="count = c_uint(0)",
        seen="count.value",
        shows=1,
    ),
    Row(
        "SM clocks with too little room",
        "raw('nvmlDeviceGetSupportedGraphicsClocks', gpu, 1593, byref(count), room)",
        TOO_SMALL,
        before=SHORT,
        seen="[count.value, room[0], len(nvmlDeviceGetSupportedGraphicsClocks(gpu, 1593))]",
        shows=[81, 0, 81],
    ),
    Row("SM clocks of an unknown memory clock", "nvmlDeviceGetSupportedGraphicsClocks(gpu, 1000)", NOT_FOUND),
    Row("SM clocks without a count", "raw('nvmlDeviceGetSupportedGraphicsClocks', gpu, 1593, None, None)", INVALID),
]

ROWS = [*LOCKS, *MEMORY_LOCKS, *APPLICATION_CLOCKS, *LISTS]
