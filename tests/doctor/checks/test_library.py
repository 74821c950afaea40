import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.doctor.checks import library
from eagent.doctor.driver import Driver
from eagent.doctor.host import Host
from eagent.doctor.symbols import NEEDED, SYMBOLS

Tell = Callable[[Any], list[tuple[str, str, str]]]
ROOT = Path(__file__).parents[3]


def test_a_driver_that_works_says_its_version_and_where_it_is_from(host: Host, tell: Tell) -> None:
    what = "driver 570.1, 2 GPUs, from /usr/lib/libnvidia-ml.so.1"
    assert tell(library.check(host)) == [("ok", "libnvidia-ml.so.1", what)]


@pytest.mark.parametrize(
    ("driver", "what", "fix"),
    [
        (Driver("x.so", not_opened="x.so: cannot open"), "NVML can't be loaded: cannot open", "install the NVIDIA dri"),
        (Driver("x.so", silent="it did not answer within 15 s"), "is there, but it did not answer within", "reset"),
        (Driver("x.so", path="/lib/x.so"), "/lib/x.so is there, but no NVIDIA kernel driver is loaded", "modprobe nv"),
        (Driver("x.so", code=9, text="Driver Not Loaded"), "NVML does not start: Driver Not Loaded", "modprobe nvidia"),
        (Driver("x.so", code=9, simulated=True), "none is chosen, or it is not on, or", "eagent sim list"),
        (Driver("x.so", code=18, text="mismatch"), "NVML does not start: mismatch", "modprobe -r"),
        (Driver("x.so", code=999, text="Unknown Error"), "NVML does not start: Unknown Error", "dmesg"),
        (Driver("x.so", code=0), "the driver shows no GPU", "lspci"),
    ],
)
def test_a_driver_that_does_not_work_is_one_problem_with_its_own_fix(
    host: Host, driver: Driver, what: str, fix: str
) -> None:
    (found,) = library.check(replace(host, driver=driver))
    assert found.severity == "problem"
    assert what in found.what
    assert fix in found.fix


def test_a_missing_name_says_what_goes_without_it(host: Host, tell: Tell) -> None:
    missing = frozenset({"nvmlDeviceGetTemperature", "nvmlDeviceSetPowerManagementLimit"})
    found = tell(library.check(replace(host, driver=replace(host.driver, missing=missing))))
    assert found[:2] == [
        ("problem", "nvmlDeviceSetPowerManagementLimit", "missing in libnvidia-ml.so.1: eagent can't use it"),
        ("warning", "nvmlDeviceGetTemperature", "missing in libnvidia-ml.so.1: temperatures can't be read"),
    ]


def test_a_gpu_that_does_not_open_is_a_problem(host: Host, gpu: Callable[..., Any], tell: Tell) -> None:
    driver = replace(host.driver, gpus=(gpu(0), gpu(1, lost=True)))
    assert ("problem", "gpu1", "the driver counts it, but does not open it") in tell(
        library.check(replace(host, driver=driver))
    )


def test_the_names_are_all_that_the_hot_loop_asks_for() -> None:
    header = (ROOT / "native" / "nvml.h").read_text()
    required, _, optional = header.partition("#define NVML_OPTIONAL")
    names = {kind: set(re.findall(r"X\(\w+, (nvml\w+)\)", text)) for kind, text in (("r", required), ("o", optional))}
    assert names["r"]
    assert names["o"]
    assert names["r"] | names["o"] | {"nvmlErrorString"} == SYMBOLS.keys(), (
        "say in eagent/doctor/symbols.py what goes without it"
    )
    assert {name for name in names["r"] if SYMBOLS[name] != NEEDED} == set()
    assert {name for name in names["o"] if SYMBOLS[name] == NEEDED} == set()
