"""Each control call of NVML, as a row: arguments and permission, the code, and the effect seen through another call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.native.control import Row, run

INVALID, UNSUPPORTED, FORBIDDEN, NOT_FOUND, TOO_SMALL, TIMEOUT, VERSION = 2, 3, 4, 6, 7, 10, 25
VOLTA = {"identity": {"architecture": 5, "compute_capability": [7, 0]}}
GEFORCE = {"identity": {"brand": 5, "compute_capability": [8, 6]}}  # of the same generation, and without MIG
GIB = 2**30

LIMIT = "[nvmlDeviceGetPowerManagementLimit(gpu), nvmlDeviceGetEnforcedPowerLimit(gpu), field(192), field(190)]"
UNTOUCHED = {"seen": LIMIT, "shows": [400_000] * 4}


def booted(limit_mw: int = 400_000) -> tuple[tuple[Any, ...], ...]:
    """What a boot enters in the log, of which nobody is the author."""
    off = ((0, "limit_mw", limit_mw, 0, False), (1, "limit_mw", 400_000, 0, False))
    return (*off, (0, "limit_mw", 0, 400_000, False), (1, "limit_mw", 0, 400_000, False))


def limit_v2(scope: int, mw: int, version: str = "nvmlPowerValue_v2") -> str:
    struct = f"versioned(c_nvmlPowerValue_v2_t, {version}, 0, {scope}, {mw})"
    return f"raw('nvmlDeviceSetPowerManagementLimit_v2', gpu, byref({struct}))"


POWER_LIMIT = [
    Row(
        "a limit within the constraints",
        "nvmlDeviceSetPowerManagementLimit(gpu, 250_000)",
        seen=LIMIT,
        shows=[250_000] * 4,
        logs=((0, "limit_mw", 400_000, 250_000),),
    ),
    Row(
        "a limit leaves the other board alone",
        "nvmlDeviceSetPowerManagementLimit(other, 250_000)",
        seen=LIMIT,
        shows=[400_000] * 4,
        logs=((1, "limit_mw", 400_000, 250_000),),
    ),
    Row(
        "the lowest limit", "nvmlDeviceSetPowerManagementLimit(gpu, 100_000)", logs=((0, "limit_mw", 400_000, 100_000),)
    ),
    Row("a limit below the lowest", "nvmlDeviceSetPowerManagementLimit(gpu, 99_999)", INVALID, **UNTOUCHED),
    Row("a limit above the highest", "nvmlDeviceSetPowerManagementLimit(gpu, 400_001)", INVALID, **UNTOUCHED),
    Row(
        "a limit by nobody of importance",
        "nvmlDeviceSetPowerManagementLimit(gpu, 250_000)",
        FORBIDDEN,
        permission="nobody",
        **UNTOUCHED,
    ),
    Row(
        "a limit is lost in a boot",
        "nvmlDeviceSetPowerManagementLimit(gpu, 250_000); reboot()",
        seen=LIMIT,
        shows=[400_000] * 4,
        logs=((0, "limit_mw", 400_000, 250_000), *booted(250_000)),
    ),
    Row(
        "a limit by the newer call",
        limit_v2(0, 250_000),
        seen=LIMIT,
        shows=[250_000] * 4,
        logs=((0, "limit_mw", 400_000, 250_000),),
    ),
    Row(
        "a limit by nvidia-ml-py's own face of the newer call",
        "nvmlDeviceSetPowerManagementLimit_v2(gpu, NVML_POWER_SCOPE_GPU, 250_000)",
        seen=LIMIT,
        shows=[250_000] * 4,
        logs=((0, "limit_mw", 400_000, 250_000),),
    ),
    Row(
        "the newer call without a struct",
        "raw('nvmlDeviceSetPowerManagementLimit_v2', gpu, None)",
        INVALID,
        **UNTOUCHED,
    ),
    Row("the newer call with version 1", limit_v2(0, 250_000, "1"), VERSION, **UNTOUCHED),
    Row("the newer call with another size", limit_v2(0, 250_000, "0x2000010"), VERSION, **UNTOUCHED),
    Row("the newer call, of the module", limit_v2(1, 250_000), UNSUPPORTED, **UNTOUCHED),
    Row("the newer call, of the memory", limit_v2(2, 250_000), UNSUPPORTED, **UNTOUCHED),
    Row("the newer call, of the GPU alone", limit_v2(3, 250_000), UNSUPPORTED, **UNTOUCHED),
    Row("the newer call, of a scope that is none", limit_v2(4, 250_000), INVALID, **UNTOUCHED),
    Row("the newer call, too low", limit_v2(0, 99_999), INVALID, **UNTOUCHED),
    Row("the newer call by nobody", limit_v2(0, 250_000), FORBIDDEN, permission="nobody", **UNTOUCHED),
    Row("the limit into nothing", "raw('nvmlDeviceGetPowerManagementLimit', gpu, None)", INVALID),
    Row(
        "constraints into half of nothing",
        "raw('nvmlDeviceGetPowerManagementLimitConstraints', gpu, byref(c_uint()), None)",
        INVALID,
    ),
    Row("the default limit into nothing", "raw('nvmlDeviceGetPowerManagementDefaultLimit', gpu, None)", INVALID),
    Row("the enforced limit into nothing", "raw('nvmlDeviceGetEnforcedPowerLimit', gpu, None)", INVALID),
    Row(
        "constraints and default are told twice alike",
        "nvmlDeviceGetPowerManagementLimitConstraints(gpu)",
        seen="[nvmlDeviceGetPowerManagementLimitConstraints(gpu), nvmlDeviceGetPowerManagementDefaultLimit(gpu), "
        "field(187), field(188), field(189)]",
        shows=[[100_000, 400_000], 400_000, 100_000, 400_000, 400_000],
    ),
]

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

RESTRICTED = "[nvmlDeviceGetAPIRestriction(gpu, 0), lab.knobs(0)['open']]"
RESTRICTIONS = [
    Row(
        "a call opened to everybody",
        "nvmlDeviceSetAPIRestriction(gpu, NVML_RESTRICTED_API_SET_APPLICATION_CLOCKS, 0)",
        seen=RESTRICTED,
        shows=[0, 1],
        logs=((0, "open", 0, 1),),
    ),
    Row(
        "a call closed again",
        "nvmlDeviceSetAPIRestriction(gpu, NVML_RESTRICTED_API_SET_APPLICATION_CLOCKS, 1)",
        before="nvmlDeviceSetAPIRestriction(gpu, NVML_RESTRICTED_API_SET_APPLICATION_CLOCKS, 0)",
        seen=RESTRICTED,
        shows=[1, 0],
        logs=((0, "open", 1, 0),),
    ),
    Row(
        "a call opened by nobody",
        "nvmlDeviceSetAPIRestriction(gpu, 0, 0)",
        FORBIDDEN,
        permission="nobody",
        seen=RESTRICTED,
        shows=[1, 0],
    ),
    Row("a call that is none", "nvmlDeviceSetAPIRestriction(gpu, 7, 0)", INVALID, seen=RESTRICTED, shows=[1, 0]),
    Row("a call opened by half", "nvmlDeviceSetAPIRestriction(gpu, 0, 2)", INVALID, seen=RESTRICTED, shows=[1, 0]),
    Row("clocks that boost by themselves", "nvmlDeviceSetAPIRestriction(gpu, 1, 0)", UNSUPPORTED),
    Row("restriction into nothing", "raw('nvmlDeviceGetAPIRestriction', gpu, 0, None)", INVALID),
]

PERSISTENCE = {"seen": "[nvmlDeviceGetPersistenceMode(gpu), plant.view(0)['persistence_mode']]"}
MODES = [
    Row(
        "persistence off",
        "nvmlDeviceSetPersistenceMode(gpu, 0)",
        shows=[0, 0],
        logs=((0, "persistence_mode", 1, 0),),
        **PERSISTENCE,
    ),
    Row(
        "persistence in a mode that is none",
        "nvmlDeviceSetPersistenceMode(gpu, 2)",
        INVALID,
        shows=[1, 1],
        **PERSISTENCE,
    ),
    Row(
        "persistence by nobody",
        "nvmlDeviceSetPersistenceMode(gpu, 0)",
        FORBIDDEN,
        permission="nobody",
        shows=[1, 1],
        **PERSISTENCE,
    ),
    Row("a mode that is none, by nobody", "nvmlDeviceSetPersistenceMode(gpu, 2)", INVALID, permission="nobody"),
    Row("persistence is off after a boot", "reboot()", shows=[0, 0], logs=booted(), **PERSISTENCE),
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

REASONS = "nvmlDeviceGetCurrentClocksEventReasons(gpu)"
OLD_REASONS = "nvmlDeviceGetCurrentClocksThrottleReasons(gpu)"
POLICY = "nvmlDeviceGetViolationStatus(gpu, {}).violationTime"
CAPPED = "nvmlDeviceSetPowerManagementLimit(gpu, 150_000); load(1.0); plant.advance(10)"
EVENT_REASONS = [
    Row("nothing runs", REASONS, seen=f"[{REASONS}, {OLD_REASONS}]", shows=[1, 1]),
    Row("a load at full clocks", REASONS, before=BUSY, seen=REASONS, shows=0),
    Row("a load under a limit that binds", REASONS, before=CAPPED, seen=REASONS, shows=4),
    Row("a lock is nobody's fault", REASONS, before=f"{lock(210, 900)}; {BUSY}", seen=REASONS, shows=0),
    Row(
        "application clocks that bind",
        REASONS,
        before=f"nvmlDeviceSetApplicationsClocks(gpu, 1593, 1005); {BUSY}",
        seen=REASONS,
        shows=2,
    ),
    Row("reasons into nothing", "raw('nvmlDeviceGetCurrentClocksEventReasons', gpu, None)", INVALID),
    Row(
        "every reason that shows is among those that can",
        "nvmlDeviceGetSupportedClocksEventReasons(gpu)",
        seen="nvmlDeviceGetSupportedClocksEventReasons(gpu) & (1 | 2 | 4 | 8 | 0x20 | 0x40)",
        shows=0x6F,
    ),
    Row(
        "the time under a limit that binds",
        POLICY.format("NVML_PERF_POLICY_POWER"),
        before=CAPPED,
        seen=f"[{POLICY.format(0)} == field(74) == lab.throttle(0)['power_ns'], 9e9 < field(74) <= 10e9, field(80) == field(74), "
        f"{POLICY.format(11)} == field(81), 8e9 < field(81) <= field(74)]",
        shows=[True] * 5,
    ),
    Row(
        "no time without a limit that binds",
        POLICY.format("NVML_PERF_POLICY_POWER"),
        before="load(0.3); plant.advance(10)",
        seen="[field(number) for number in (74, 75, 76, 77, 78, 79, 80, 81, 269, 270, 271)]",
        shows=[0] * 11,
    ),
    Row(
        "the time of application clocks is not that of the limit",
        POLICY.format("NVML_PERF_POLICY_TOTAL_APP_CLOCKS"),
        before=f"nvmlDeviceSetApplicationsClocks(gpu, 1593, 1005); {BUSY}",
        seen=f"[field(74), {POLICY.format(10)} == field(80) > 0, field(81)]",
        shows=[0, True, 0],
    ),
    Row(
        "times begin anew with a boot",
        "reboot()",
        before=CAPPED,
        seen="[field(74), field(81)]",
        shows=[0, 0],
        logs=booted(150_000),
    ),
    Row("a policy that is none", POLICY.format(7), INVALID),
    Row("a policy into nothing", "raw('nvmlDeviceGetViolationStatus', gpu, 0, None)", INVALID),
    Row(
        "the clock of the times is the host's",
        POLICY.format(0),
        before="first = nvmlDeviceGetViolationStatus(gpu, 0).referenceTime; plant.advance(plant.time_s + 3)",
        seen="nvmlDeviceGetViolationStatus(gpu, 0).referenceTime - first",
        shows=3_000_000,
    ),
]

ENERGY = "nvmlDeviceGetTotalEnergyConsumption(gpu)"
VALUES = [
    Row(
        "energy, three times alike",
        ENERGY,
        before="plant.advance(20)",
        seen=f"{ENERGY} == field(83) == field(191) > 1e6",
        shows=True,
    ),
    Row("energy into nothing", "raw('nvmlDeviceGetTotalEnergyConsumption', gpu, None)", INVALID),
    Row(
        "energy is counted anew after a boot",
        "reboot()",
        before="plant.advance(20)",
        seen="field(83) < 60_000 < plant.energy_true_j(0) * 1e3",
        shows=True,
        logs=booted(),
    ),
    Row("values into nothing", "raw('nvmlDeviceGetFieldValues', gpu, 1, None)", INVALID),
    Row("no values", "nvmlDeviceGetFieldValues(gpu, [])", INVALID),
    Row(
        "each value answers for itself",
        "nvmlDeviceGetFieldValues(gpu, [186, 1, 60_000])",
        seen="[value.nvmlReturn for value in nvmlDeviceGetFieldValues(gpu, [186, 1, 60_000, 192])]",
        shows=[0, UNSUPPORTED, UNSUPPORTED, 0],
    ),
    Row(
        "power has the scope of the whole GPU alone",
        "nvmlDeviceGetFieldValues(gpu, [(186, 1)])",
        seen="[value.nvmlReturn for value in nvmlDeviceGetFieldValues(gpu, [(id, scope) for id in (186, 187, 191) for scope in range(5)])]",
        shows=[0, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, INVALID] * 3,
    ),
    Row(
        "a board without the average field",
        "nvmlDeviceGetFieldValues(gpu, [185])",
        seen="[field(185), field(186) == nvmlDeviceGetPowerUsage(gpu) == plant.view(0)['power_instant_mw']]",
        shows=["error 3", True],
    ),
]

EVENTS = "nvmlEventTypeXidCriticalError | nvmlEventTypePState | nvmlEventTypeClock"
SET = "events = nvmlEventSetCreate()"
REGISTERED = f"{SET}; nvmlDeviceRegisterEvents(gpu, {EVENTS}, events)"
GOT = "(lambda data: [data.eventType, data.eventData, nvmlDeviceGetIndex(data.device)])(nvmlEventSetWait_v2(events, 0))"
DRIVER_EVENTS = [
    Row(
        "an XID",
        "nvmlEventSetWait_v2(events, 0)",
        before=f"{REGISTERED}; lab.signal(0, 'xid', 79); lab.signal(0, 'xid', 48)",
        seen=GOT,
        shows=[8, 48, 0],
    ),
    Row("a performance state", "None", before=f"{REGISTERED}; lab.signal(0, 'pstate', 2)", seen=GOT, shows=[4, 2, 0]),
    Row("a clock", "None", before=f"{REGISTERED}; lab.signal(0, 'clock', 900)", seen=GOT, shows=[16, 900, 0]),
    Row("nothing happens", "nvmlEventSetWait_v2(events, 20)", TIMEOUT, before=REGISTERED),
    Row("what was before", "nvmlEventSetWait_v2(events, 0)", TIMEOUT, before=f"lab.signal(0, 'xid', 79); {REGISTERED}"),
    Row(
        "what was before, in a set that was there",
        "nvmlEventSetWait_v2(events, 0)",
        TIMEOUT,
        before=f"{SET}; lab.signal(0, 'xid', 79); nvmlDeviceRegisterEvents(gpu, {EVENTS}, events)",
    ),
    Row(
        "what nobody registered for",
        "nvmlEventSetWait_v2(events, 0)",
        TIMEOUT,
        before=f"{SET}; nvmlDeviceRegisterEvents(gpu, nvmlEventTypeClock, events); lab.signal(0, 'xid', 79)",
    ),
    Row(
        "what happens to another board",
        "nvmlEventSetWait_v2(events, 0)",
        TIMEOUT,
        before=f"{REGISTERED}; lab.signal(1, 'xid', 79)",
    ),
    Row(
        "two boards in a set",
        "None",
        before=f"{REGISTERED}; nvmlDeviceRegisterEvents(other, {EVENTS}, events); lab.signal(1, 'xid', 79)",
        seen=GOT,
        shows=[8, 79, 1],
    ),
    Row(
        "each event once",
        "nvmlEventSetWait_v2(events, 0)",
        TIMEOUT,
        before=f"{REGISTERED}; lab.signal(0, 'xid', 79); nvmlEventSetWait_v2(events, 0)",
    ),
    Row(
        "each set has its own",
        "None",
        before=f"{REGISTERED}; first = events; {REGISTERED}; lab.signal(0, 'xid', 79); nvmlEventSetWait_v2(first, 0)",
        seen=GOT,
        shows=[8, 79, 0],
    ),
    Row(
        "the older name fills the older struct",
        "raw('nvmlEventSetWait', events, room, 0)",
        before=f"{REGISTERED}; lab.signal(0, 'xid', 79); room = ctypes.create_string_buffer(b'\\xaa' * 40, 40)",
        seen="len(room.raw.rstrip(b'\\xaa'))",
        shows=24,
    ),
    Row("an event type that is none", "nvmlDeviceRegisterEvents(gpu, 1 << 20, events)", INVALID, before=SET),
    Row("no event type", "nvmlDeviceRegisterEvents(gpu, 0, events)", INVALID, before=SET),
    Row("a set that is none", "raw('nvmlDeviceRegisterEvents', gpu, c_ulonglong(8), ctypes.c_void_p(12345))", INVALID),
    Row(
        "a set that was freed",
        "nvmlDeviceRegisterEvents(gpu, 8, events)",
        INVALID,
        before=f"{SET}; nvmlEventSetFree(events)",
    ),
    Row("waiting into nothing", "raw('nvmlEventSetWait_v2', events, None, 0)", INVALID, before=REGISTERED),
    Row("a set into nothing", "raw('nvmlEventSetCreate', None)", INVALID),
    Row(
        "one type that is not supported registers none",
        "nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError | nvmlEventTypePowerSourceChange, events)",
        UNSUPPORTED,
        before=SET,
        seen="[lab.signal(0, 'xid', 79), code(nvmlEventSetWait_v2, events, 0)]",
        shows=[None, TIMEOUT],
    ),
    Row(
        "event types of a board that cannot be divided",
        "nvmlDeviceGetSupportedEventTypes(gpu)",
        model=GEFORCE,
        seen="nvmlDeviceGetSupportedEventTypes(gpu)",
        shows=0x4 | 0x8 | 0x10 | 0x4000 | 0x8000,
    ),
    Row("event types into nothing", "raw('nvmlDeviceGetSupportedEventTypes', gpu, None)", INVALID),
]

LIST = "raw('nvmlDeviceGetComputeRunningProcesses{}', gpu, byref(count), {})"
ME = "os.getpid()"
BUSY_PROCESS = "load(1.0); plant.advance(2)"
USE = "raw('nvmlDeviceGetProcessUtilization', gpu, None, byref(count), {})"
USE_INFO = "raw('nvmlDeviceGetProcessesUtilizationInfo', gpu, byref(info))"
INFO = "info = versioned(c_nvmlProcessesUtilizationInfo_v1_t, {})"
PROCESSES = [
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

DIVIDED = f"lab.divide(0, 3, 2, {20 * GIB}); part = nvmlDeviceGetMigDeviceHandleByIndex(gpu, 1)"
MODE = "[nvmlDeviceGetMigMode(gpu), lab.mig(0)['mode'], lab.mig(0)['pending']]"
ACTIVATION = "activation = c_uint(99)"
SET_MIG = "raw('nvmlDeviceSetMigMode', gpu, {}, byref(activation))"
MIG = [
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
        seen="[nvmlDeviceIsMigDeviceHandle(part).value, nvmlDeviceIsMigDeviceHandle(gpu).value, nvmlDeviceGetGpuInstanceId(part), "
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
        seen="(lambda has: [has.multiprocessorCount, has.gpuInstanceSliceCount, has.memorySizeMB, nvmlDeviceGetMemoryInfo(part).total])"
        "(nvmlDeviceGetAttributes_v2(part))",
        shows=[28, 2, 20 * 1024, 20 * GIB],
    ),
    Row("a board has no attributes", "nvmlDeviceGetAttributes_v2(gpu)", UNSUPPORTED),
    Row(
        "a process is on an instance",
        "None",
        before=f"{DIVIDED}; {BUSY_PROCESS}; first = nvmlDeviceGetMigDeviceHandleByIndex(gpu, 0)",
        seen="[[(process.pid == os.getpid(), process.gpuInstanceId) for process in nvmlDeviceGetComputeRunningProcesses(handle)] "
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

NEWER_STRUCTS = {
    "nvmlDeviceWorkloadPowerProfileGetProfilesInfo": 0x1002BF8,
    "nvmlDeviceWorkloadPowerProfileGetCurrentProfiles": 0x1000064,
    "nvmlDeviceWorkloadPowerProfileSetRequestedProfiles": 0x1000024,
    "nvmlDeviceWorkloadPowerProfileClearRequestedProfiles": 0x1000024,
    "nvmlDevicePowerSmoothingSetState": 0x1000008,
    "nvmlDevicePowerSmoothingActivatePresetProfile": 0x1000018,
    "nvmlDevicePowerSmoothingUpdatePresetProfileParam": 0x1000018,
    "nvmlDeviceSetRusdSettings_v1": 0x1000010,
}
GIVEN = "room = (c_uint * 3000)({})"
NEWER = [
    *[
        Row(f"{name}, right", f"raw('{name}', gpu, room)", UNSUPPORTED, before=GIVEN.format(version))
        for name, version in NEWER_STRUCTS.items()
    ],
    *[
        Row(f"{name}, other version", f"raw('{name}', gpu, room)", VERSION, before=GIVEN.format(version + (1 << 24)))
        for name, version in NEWER_STRUCTS.items()
    ],
    *[Row(f"{name}, without a struct", f"raw('{name}', gpu, None)", INVALID) for name in NEWER_STRUCTS],
    Row(
        "profiles updated",
        "raw('nvmlDeviceWorkloadPowerProfileUpdateProfiles_v1', gpu, room)",
        UNSUPPORTED,
        before=GIVEN.format(2),
    ),
    Row(
        "profiles updated in no way",
        "raw('nvmlDeviceWorkloadPowerProfileUpdateProfiles_v1', gpu, room)",
        INVALID,
        before=GIVEN.format(3),
    ),
    Row("an adaptive limit", "nvmlDeviceSetAdaptiveTgpMode_v1(gpu, 1)", UNSUPPORTED),
    Row("an adaptive limit by half", "nvmlDeviceSetAdaptiveTgpMode_v1(gpu, 2)", INVALID),
    Row(
        "whether the limit is adaptive",
        "raw('nvmlDeviceGetAdaptiveTgpModeInfo_v1', gpu, room)",
        UNSUPPORTED,
        before=GIVEN.format(0),
    ),
    Row(
        "whether the limit is adaptive, into nothing", "raw('nvmlDeviceGetAdaptiveTgpModeInfo_v1', gpu, None)", INVALID
    ),
    Row(
        "power smoothing is in no field",
        "None",
        seen="[field(251), field(288), field(300), field(309)]",
        shows=["error 3"] * 4,
    ),
]

BOARD = [
    Row(
        "thresholds of heat",
        "None",
        seen="[nvmlDeviceGetTemperatureThreshold(gpu, kind) for kind in (NVML_TEMPERATURE_THRESHOLD_SHUTDOWN, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)]",
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
        seen="[nvmlDeviceGetMaxPcieLinkGeneration(gpu), nvmlDeviceGetCurrPcieLinkGeneration(gpu), nvmlDeviceGetMaxPcieLinkWidth(gpu), nvmlDeviceGetCurrPcieLinkWidth(gpu)]",
        shows=[4, 4, 16, 16],
    ),
    Row("the PCIe link before Ampere", "None", model=VOLTA, seen="nvmlDeviceGetMaxPcieLinkGeneration(gpu)", shows=3),
    Row("what goes over PCIe", "nvmlDeviceGetPcieThroughput(gpu, NVML_PCIE_UTIL_TX_BYTES)", UNSUPPORTED),
    Row(
        "who the boards are",
        "None",
        seen="[len({nvmlDeviceGetSerial(handle) for handle in GPU}), len(nvmlDeviceGetSerial(gpu)), len({nvmlDeviceGetBoardId(handle) for handle in GPU}), nvmlDeviceGetMultiGpuBoard(gpu)]",
        shows=[2, 13, 2, 0],
    ),
    Row("the window into memory", "None", seen="nvmlDeviceGetBAR1MemoryInfo(gpu).bar1Total", shows=128 * GIB),
    Row(
        "errors of memory",
        "None",
        seen="nvmlDeviceGetTotalEccErrors(gpu, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC)",
        shows=0,
    ),
    Row("errors of memory of a kind that is none", "nvmlDeviceGetTotalEccErrors(gpu, 2, 0)", INVALID),
    Row("the address, at length", "None", seen="nvmlDeviceGetPciInfo(gpu).busId", shows="00000000:07:00.0"),
    Row("the brand", "None", model=GEFORCE, seen="nvmlDeviceGetBrand(gpu)", shows=5),
]

ROWS = [
    *POWER_LIMIT,
    *LOCKS,
    *MEMORY_LOCKS,
    *APPLICATION_CLOCKS,
    *RESTRICTIONS,
    *MODES,
    *LISTS,
    *EVENT_REASONS,
    *VALUES,
    *DRIVER_EVENTS,
    *PROCESSES,
    *MIG,
    *NEWER,
    *BOARD,
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Those of all rows."""
    folder = tmp_path_factory.mktemp("rows")
    return run(ROWS, folder)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_call_answers_and_acts_as_its_row_says(answers: dict[str, dict[str, Any]], row: Row) -> None:
    assert answers[row.name] == row.expected()


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
