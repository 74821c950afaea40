"""The words for faults, and the host that has the library of an older driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eagent.sim import _faults, faults, symbols
from eagent.sim.host import SimulatedHost

if TYPE_CHECKING:
    from tests.conftest import SimHostFactory


def test_every_kind_of_the_plant_has_its_words_and_one_kind_is_the_directorys() -> None:
    assert set(faults.KINDS) == {*_faults.KINDS, faults.MISSING_SYMBOLS}
    assert list(faults.KINDS)[:-1] == list(_faults.KINDS)


def test_what_strikes_comes_behind_what_lasts_as_the_plant_has_it() -> None:
    strikes = [kind.strikes for name, kind in faults.KINDS.items() if name != faults.MISSING_SYMBOLS]
    assert strikes == [False] * 11 + [True] * 8


@pytest.mark.parametrize(
    ("kind", "values", "shown"),
    [
        ("not-supported", (0.25, 0), "0.25 of readings"),
        ("stuck-power", (46.19, 9), "power, clock; at 46.19 W"),
        ("stuck-power", (0, 6), "time, energy"),
        ("slow-calls", (0.1, 0), "0.1 s"),
        ("sysfs-read", (16, 0), "EBUSY"),
        ("foreign-lock", (210, 900), "210 to 900 MHz"),
        ("gpu-lost", (0, 0), ""),
    ],
)
def test_values_are_shown_in_words(kind: str, values: tuple[float, float], shown: str) -> None:
    assert faults.KINDS[kind].show(*values) == shown


def test_the_older_library_lacks_some_names_adds_none_and_is_the_same_host(sim_host: SimHostFactory) -> None:
    made = sim_host(gpus=3)
    host = SimulatedHost(made.dir)
    script = """
import re
library = re.search(r'\\S+_nvml\\S*', open('/proc/self/maps').read())[0]
listing = subprocess.run(['nm', '-D', '--defined-only', library], check=True, capture_output=True, text=True).stdout
tell([sorted(line.split()[-1] for line in listing.splitlines()), nvmlDeviceGetCount()])"""
    whole, count = made.nvml(script)
    assert not symbols.are_missing(host)
    symbols.drop(host)
    symbols.drop(host)
    assert symbols.are_missing(host)
    fewer, count_then = made.nvml(script)
    symbols.restore(host)
    again, _ = made.nvml(script)
    assert again == whole
    assert (count, count_then) == (3, 3)
    assert set(fewer) < set(whole)
    lacking = {name.removeprefix("nvmlDevice").removeprefix("nvml") for name in set(whole) - set(fewer)}
    families = ("WorkloadPowerProfile", "PowerSmoothing", "AdaptiveTgp", "RusdSettings")
    assert {name for name in lacking if not any(family in name for family in families)} == {
        "EventSetWait_v3",
        "GetPciInfoExt",
        "GetProcessesUtilizationInfo",
        "GetTemperatureV",
    }
    assert all(any(family in name for name in lacking) for family in families)
