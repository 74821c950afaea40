"""Power limits, energy and the values that are asked for by number."""

from tests.native.control.runner import FORBIDDEN, INVALID, UNSUPPORTED, VERSION, Row, booted

LIMIT = "[nvmlDeviceGetPowerManagementLimit(gpu), nvmlDeviceGetEnforcedPowerLimit(gpu), field(192), field(190)]"
UNTOUCHED = {"seen": LIMIT, "shows": [400_000] * 4}


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
        seen="[value.nvmlReturn for value in nvmlDeviceGetFieldValues("
        "gpu, [(id, scope) for id in (186, 187, 191) for scope in range(5)])]",
        shows=[0, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, INVALID] * 3,
    ),
    Row(
        "a board whose plain reading is an average",
        "nvmlDeviceGetFieldValues(gpu, [185])",
        model={"sensor": {"average_window_s": 1.0, "plain": "average"}},
        before="load(1.0); plant.advance(0.5)",
        seen="[0 < field(185) == nvmlDeviceGetPowerUsage(gpu) == plant.view(0)['power_average_mw'], "
        "field(186) > field(185) + 50_000]",
        shows=[True, True],
    ),
    Row(
        "a board without the average field",
        "nvmlDeviceGetFieldValues(gpu, [185])",
        seen="[field(185), field(186) == nvmlDeviceGetPowerUsage(gpu) == plant.view(0)['power_instant_mw']]",
        shows=["error 3", True],
    ),
]

ROWS = [*POWER_LIMIT, *VALUES]
