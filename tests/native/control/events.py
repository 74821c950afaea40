"""Sets of events, and waiting for one."""

from tests.native.control.runner import GEFORCE, INVALID, TIMEOUT, UNSUPPORTED, Row

EVENTS = "nvmlEventTypeXidCriticalError | nvmlEventTypePState | nvmlEventTypeClock"
SET = "events = nvmlEventSetCreate()"
REGISTERED = f"{SET}; nvmlDeviceRegisterEvents(gpu, {EVENTS}, events)"
GOT = "(lambda data: [data.eventType, data.eventData, nvmlDeviceGetIndex(data.device)])(nvmlEventSetWait_v2(events, 0))"
ROWS = [
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
