"""What holds clocks down, and for how long."""

from tests.native.control.clocks import BUSY, lock
from tests.native.control.runner import INVALID, Row, booted

REASONS = "nvmlDeviceGetCurrentClocksEventReasons(gpu)"
OLD_REASONS = "nvmlDeviceGetCurrentClocksThrottleReasons(gpu)"
POLICY = "nvmlDeviceGetViolationStatus(gpu, {}).violationTime"
CAPPED = "nvmlDeviceSetPowerManagementLimit(gpu, 150_000); load(1.0); plant.advance(10)"
ROWS = [
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
    Row(
        "heat that slows down",
        REASONS,
        before="load(0.6); plant.advance(60)",
        model={"heat": {"slow_c": 45.0, "stop_c": 90.0}},
        seen=f"[{REASONS} & 0x68, 0 < field(269) == field(75) <= field(80), field(270), field(74) < field(269)]",
        shows=[0x20, True, 0, True],
    ),
    Row(
        "heat near the stop",
        REASONS,
        before="load(0.3); plant.advance(60)",
        model={"heat": {"slow_c": 26.0, "stop_c": 26.0}},
        seen=f"[{REASONS}, field(270) == {POLICY.format(1)} > 50e9, field(81) == field(270), field(74)]",
        shows=[0x48, True, True, 0],
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
        seen=f"[{POLICY.format(0)} == field(74) == lab.throttle(0)['power_ns'], 9e9 < field(74) <= 10e9, "
        "field(80) == field(74), "
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
