"""Persistence mode, and which calls are open to everybody."""

from tests.native.control.runner import FORBIDDEN, INVALID, UNSUPPORTED, Row, booted

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

ROWS = [*RESTRICTIONS, *MODES]
