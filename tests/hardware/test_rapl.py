"""RAPL zones, on plain files for what they say and on the simulated kernel for what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import DriverError
from eagent.hardware import rapl
from eagent.hardware.rapl import Constraint, Zone
from eagent.sim._plant import Host
from eagent.sim.workload import Square

if TYPE_CHECKING:
    from tests.conftest import SimHostFactory
    from tests.hardware.conftest import Grow

RANGE_UJ = 262_143_328_850


def zone_files(zone: str, name: str, limits: int = 0, **changes: object) -> dict[str, object]:
    files: dict[str, object] = {"name": name, "energy_uj": 5, "max_energy_range_uj": RANGE_UJ}
    for index in range(limits):
        files |= {
            f"constraint_{index}_name": ("long_term", "short_term", "peak_power")[index],
            f"constraint_{index}_power_limit_uw": 200_000_000 + index,
            f"constraint_{index}_max_power_uw": 250_000_000,
        }
    return {f"class/powercap/{zone}/{key}": text for key, text in (files | changes).items()}


def names(zones: tuple[Zone, ...]) -> list[str]:
    return [f"{zone.path.name} {zone.name}" for zone in zones]


# ---- what the files say ----------------------------------------------------------------------------------------------


def test_a_machine_without_rapl_has_no_zones(tmp_path: Path) -> None:
    assert rapl.discover(tmp_path) == ()


@pytest.mark.parametrize("prefix", ["intel-rapl", "intel-rapl-mmio", "amd-rapl"])
def test_zones_are_found_under_any_prefix_with_their_parents(grow: Grow, prefix: str) -> None:
    root = grow(
        {
            **zone_files(f"{prefix}:1", "package-1", 2),
            **zone_files(f"{prefix}:0", "package-0", 2),
            **zone_files(f"{prefix}:0:1", "dram", 1),
            **zone_files(f"{prefix}:0:0", "core"),
            f"class/powercap/{prefix}/enabled": 1,
        }
    )
    zones = rapl.discover(root)
    place = root / "class/powercap"
    assert names(zones) == [
        f"{prefix}:0 package-0",
        f"{prefix}:0:0 core",
        f"{prefix}:0:1 dram",
        f"{prefix}:1 package-1",
    ]
    assert [zone.parent for zone in zones] == [None, place / f"{prefix}:0", place / f"{prefix}:0", None]
    assert zones[0].constraints == (Constraint(0, "long_term", 250_000_000), Constraint(1, "short_term", 250_000_000))
    assert zones[0].max_energy_uj == RANGE_UJ
    assert [zone.writable for zone in zones] == [True, False, True, True]
    assert (rapl.limit_uw(zones[0], 1), rapl.energy_uj(zones[0])) == (200_000_001, 5)


def test_zones_are_numbered_in_hexadecimal(grow: Grow) -> None:
    files = {}
    for number in (0, 2, 0xA, 0x10):
        files |= zone_files(f"intel-rapl:{number:x}", f"package-{number}")
    assert [zone.name for zone in rapl.discover(grow(files))] == ["package-0", "package-2", "package-10", "package-16"]


def test_zones_of_other_kinds_and_limits_without_data_are_left_out(grow: Grow) -> None:
    root = grow(
        {
            **zone_files("intel-rapl:0", "package-0", 1, constraint_0_power_limit_uw=""),
            "class/powercap/dtpm:0/name": "package",
            "class/powercap/dtpm:0/constraint_0_power_limit_uw": 5,
            "class/powercap/intel-rapl:1/energy_uj": 5,
        }
    )
    (only,) = rapl.discover(root)
    assert (only.name, only.constraints, only.writable) == ("package-0", (), False)


def test_a_limit_that_is_not_described_is_still_a_limit(grow: Grow) -> None:
    root = grow(
        {**zone_files("intel-rapl:0", "package-0"), "class/powercap/intel-rapl:0/constraint_1_power_limit_uw": 9}
    )
    assert rapl.discover(root)[0].constraints == (Constraint(1, "", None),)


def test_a_maximum_of_zero_is_none(grow: Grow) -> None:
    files = zone_files("intel-rapl:0", "package-0", 1, constraint_0_max_power_uw=0)
    assert rapl.discover(grow(files))[0].constraints == (Constraint(0, "long_term", None),)


@pytest.mark.parametrize(
    ("zones", "counted"),
    [
        ({"r:0": "package-0", "r:1": "package-1", "r:0:0": "core", "r:0:1": "dram"}, ["package-0", "package-1"]),
        ({"r:0": "package-0", "r:1": "psys", "r:0:0": "uncore"}, ["package-0"]),
        ({"r:0": "psys"}, ["psys"]),
        ({"intel-rapl:0": "package-0", "intel-rapl-mmio:0": "package-0"}, ["package-0"]),
        ({"r:0": "package-0-die-0", "r:1": "package-0-die-1"}, ["package-0-die-0", "package-0-die-1"]),
        ({}, []),
    ],
)
def test_the_outermost_zones_count_nothing_twice(grow: Grow, zones: dict[str, str], counted: list[str]) -> None:
    files = {}
    for zone, name in zones.items():
        files |= zone_files(zone, name)
    found = rapl.outermost(rapl.discover(grow(files)))
    assert [zone.name for zone in found] == counted


@given(st.integers(1, 2**48), st.data())
def test_a_delta_is_what_was_drawn_also_over_a_wrap(range_uj: int, data: st.DataObject) -> None:
    zone = Zone(Path("z"), "package-0", None, range_uj, (), False)
    before = data.draw(st.integers(0, range_uj))
    drawn = data.draw(st.integers(0, range_uj - 1))
    after = before + drawn
    if after > range_uj:
        after -= range_uj
    assert rapl.energy_delta_uj(zone, before, after) == drawn


def test_a_counter_that_is_no_number_is_one_line(grow: Grow) -> None:
    (zone,) = rapl.discover(grow(zone_files("intel-rapl:0", "package-0", energy_uj="-1")))
    with pytest.raises(DriverError, match="'-1' is not a whole number"):
        rapl.energy_uj(zone)


# ---- what the kernel does --------------------------------------------------------------------------------------------


def test_energy_follows_what_is_drawn(served_host: SimHostFactory) -> None:
    made = served_host(gpus=8, clock="virtual")
    zones = rapl.discover(made.sysfs)
    assert [zone.name for zone in zones] == ["package-0", "dram", "package-1", "dram"]
    with Host(made.plant) as plant:
        Square(duty=1.0).start(plant, range(8))
        before = [rapl.energy_uj(zone) for zone in zones]
        plant.advance(10.0)
        after = [rapl.energy_uj(zone) for zone in zones]
    drawn_j = [1e-6 * rapl.energy_delta_uj(*each) for each in zip(zones, before, after, strict=True)]
    assert drawn_j == pytest.approx([1290, 170, 1290, 170], abs=1)


def test_energy_goes_on_over_a_wrap(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1, clock="virtual")
    zone = rapl.discover(made.sysfs)[0]
    with Host(made.plant) as plant:
        plant.advance(4032.0)  # 262.08 kJ at 65 W
        before = rapl.energy_uj(zone)
        plant.advance(4034.0)
        after = rapl.energy_uj(zone)
    assert after < before
    assert 1e-6 * rapl.energy_delta_uj(zone, before, after) == pytest.approx(130, abs=0.01)


def test_a_limit_is_told_as_read_back_and_acts(served_host: SimHostFactory) -> None:
    made = served_host(gpus=8, clock="virtual")
    zone = rapl.discover(made.sysfs)[0]
    assert rapl.set_limit_uw(zone, 0, 100_000_001) == rapl.limit_uw(zone, 0) == 100_000_000
    assert rapl.limit_uw(zone, 1) == 300_000_000
    with Host(made.plant) as plant:
        Square(duty=1.0).start(plant, range(8))
        plant.advance(1.0)
        before = rapl.energy_uj(zone)
        plant.advance(2.0)
        assert 1e-6 * (rapl.energy_uj(zone) - before) == pytest.approx(100, abs=0.1)
        assert [entry[1:6] for entry in plant.cpu_log()] == [("limit_uw", 0, 0, 250_000_000, 100_000_000)]


def test_a_limit_that_firmware_has_locked_says_so(served_host: SimHostFactory) -> None:
    dram = rapl.discover(served_host(gpus=1).sysfs)[1]
    with pytest.raises(DriverError, match=r"No data available; the firmware has locked this limit"):
        rapl.set_limit_uw(dram, 0, 5_000_000)


def test_amd_counts_energy_and_has_no_limits(served_host: SimHostFactory) -> None:
    zones = rapl.discover(served_host(gpus=1, cpu_model="epyc-7543").sysfs)
    assert [(zone.name, zone.constraints, zone.writable) for zone in zones] == [
        ("package-0", (), False),
        ("package-1", (), False),
    ]
    assert rapl.energy_uj(zones[0]) >= 0
    with pytest.raises(DriverError, match="No such file"):
        rapl.set_limit_uw(zones[0], 0, 100_000_000)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_missing_privilege_is_said(grow: Grow) -> None:
    root = grow(zone_files("intel-rapl:0", "package-0", 1))
    (root / "class/powercap/intel-rapl:0/energy_uj").chmod(0o400)
    for path in (root, *root.parents):
        if path != Path("/tmp") and path.is_relative_to("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)
    script = f"""
import os
from pathlib import Path
from eagent.hardware import rapl
os.setgroups([]); os.setgid(65534); os.setuid(65534)
(zone,) = rapl.discover(Path({str(root)!r}))
print(zone.writable)
for action in (lambda: rapl.energy_uj(zone), lambda: rapl.set_limit_uw(zone, 0, 1)):
    try:
        action()
    except Exception as problem:
        print(problem)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    writable, energy, limit = done.stdout.splitlines()
    assert writable == "False"
    assert energy.endswith("energy_uj: Permission denied; needs root, or the capability CAP_DAC_OVERRIDE")
    assert "cannot write '1' to" in limit
    assert limit.endswith("Permission denied; needs root, or the capability CAP_DAC_OVERRIDE")
