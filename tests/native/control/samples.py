"""The driver's buffer of samples."""

from tests.native.control.runner import GEFORCE, INVALID, NOT_FOUND, UNSUPPORTED, Row

GIB = 2**30
STEADY = "load(0.5); plant.advance(10)"
FETCH = "nvmlDeviceGetSamples(gpu, {}, 0)"
VALUES = "{{sample.sampleValue.uiVal for sample in nvmlDeviceGetSamples(gpu, {}, 0)[1]}}"
RAW = "raw('nvmlDeviceGetSamples', gpu, {}, c_ulonglong(0), byref(c_uint()), {}, {})"

ROWS = [
    Row(
        "samples of power, as many as are kept, in order, at the model's period",
        FETCH.format(0),
        before=STEADY,
        seen="(lambda kind, found: [kind, len(found), {after.timeStamp - before.timeStamp in (16_699, 16_700, 16_701) "
        "for before, after in zip(found, found[1:])} == {True}])(*nvmlDeviceGetSamples(gpu, 0, 0))",
        shows=[1, 120, True],
    ),
    Row(
        "samples of power are about what the sensor shows",
        FETCH.format(0),
        before=STEADY,
        seen=f"max(abs(value - nvmlDeviceGetPowerUsage(gpu)) for value in {VALUES.format(0)}) < 20_000",
        shows=True,
    ),
    Row("samples of utilisation", FETCH.format(1), before=STEADY, seen=f"sorted({VALUES.format(1)})", shows=[100]),
    Row("samples of memory use", FETCH.format(2), before=STEADY, seen=f"sorted({VALUES.format(2)})", shows=[30]),
    Row("samples of the SM clock", FETCH.format(5), before=STEADY, seen=f"sorted({VALUES.format(5)})", shows=[1410]),
    Row(
        "samples of the memory clock", FETCH.format(6), before=STEADY, seen=f"sorted({VALUES.format(6)})", shows=[1593]
    ),
    Row(
        "only those since the last seen",
        FETCH.format(0),
        before=f"{STEADY}; last = nvmlDeviceGetSamples(gpu, 0, 0)[1][-4].timeStamp",
        seen="[sample.timeStamp > last for sample in nvmlDeviceGetSamples(gpu, 0, last)[1]]",
        shows=[True] * 3,
    ),
    Row(
        "none since the last seen",
        "nvmlDeviceGetSamples(gpu, 0, last)",
        NOT_FOUND,
        before=f"{STEADY}; last = nvmlDeviceGetSamples(gpu, 0, 0)[1][-1].timeStamp",
    ),
    Row(
        "how many samples",
        RAW.format(0, "byref(count)", None),
        before=f"{STEADY}; count = c_uint(0)",
        seen="count.value",
        shows=120,
    ),
    Row(
        "samples into a buffer for none",
        RAW.format(0, "byref(c_uint(0))", "(c_nvmlSample_t * 1)()"),
        INVALID,
        before=STEADY,
    ),
    Row(
        "samples into a short buffer",
        RAW.format(0, "byref(count)", "room"),
        before=f"{STEADY}; count = c_uint(2); room = (c_nvmlSample_t * 3)()",
        seen="[count.value, room[1].timeStamp > room[0].timeStamp > 0, room[2].timeStamp]",
        shows=[2, True, 0],
    ),
    Row("samples without a count", RAW.format(0, None, None), INVALID, before=STEADY),
    Row("samples of a type that is none", RAW.format(10, "byref(c_uint(0))", None), INVALID, before=STEADY),
    Row("samples of an encoder", RAW.format(3, "byref(c_uint(0))", None), UNSUPPORTED, before=STEADY),
    Row(
        "samples of a module's power",
        RAW.format(7, "byref(c_uint(0))", None),
        UNSUPPORTED,
        before=STEADY,
        model=GEFORCE,
    ),
    Row(
        "of a divided board power, and not utilisation",
        FETCH.format(1),
        UNSUPPORTED,
        before=f"lab.divide(0, 7, 1, {10 * GIB}); {STEADY}",
        seen="[code(nvmlDeviceGetSamples, gpu, kind, 0) for kind in (0, 2, 5)]",
        shows=[0, UNSUPPORTED, 0],
    ),
]
