"""Calls of boards that came later: checked, and supported by none."""

from tests.native.control.runner import INVALID, UNSUPPORTED, VERSION, Row

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
ROWS = [
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
