"""What a kernel's powercap makes of what `eagent.hardware.rapl` asks. Also run on a real kernel: `make referee`."""

from __future__ import annotations

import errno
import os
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from eagent.errors import DriverError
from eagent.hardware import rapl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.referee.conftest import Stage

UNIT_UW = 125_000  # what a limit's register counts in
LONG_TERM = 0


@pytest.fixture
def zones(stage: Stage) -> tuple[rapl.Zone, ...]:
    return rapl.discover(stage.sysfs)


@pytest.fixture
def package(zones: tuple[rapl.Zone, ...]) -> rapl.Zone:
    return next(zone for zone in zones if zone.name == "package-0")


def limit_file(zone: rapl.Zone, index: int = LONG_TERM) -> Path:
    return zone.path / f"constraint_{index}_power_limit_uw"


def drawn_w(zone: rapl.Zone) -> float:
    """The zone's power, from its counter: the median of a few looks, as the hardware's ticks may come late."""
    looks = []
    for _ in range(5):
        begun, before = time.monotonic(), rapl.energy_uj(zone)
        time.sleep(0.15)
        drawn_uj = rapl.energy_delta_uj(zone, before, rapl.energy_uj(zone))
        looks.append(drawn_uj / 1e6 / (time.monotonic() - begun))
    return statistics.median(looks)


# --- What is there ---


def test_zones_are_found_whatever_their_prefix_and_the_control_type_is_none(
    stage: Stage, zones: tuple[rapl.Zone, ...]
) -> None:
    entries = {path.name for path in (stage.sysfs / "class/powercap").iterdir()}
    assert {zone.path.name for zone in zones} == {name for name in entries if ":" in name}
    assert entries - {zone.path.name for zone in zones} == {zone.path.name.partition(":")[0] for zone in zones}


def test_a_zone_within_another_names_it_and_is_not_counted_twice(zones: tuple[rapl.Zone, ...]) -> None:
    by_name = {zone.path.name: zone for zone in zones}
    for zone in zones:
        inside = zone.path.name.rpartition(":")[0]
        assert zone.parent == (by_name[inside].path if inside in by_name else None)
    assert any(zone.parent for zone in zones)
    assert {zone.name for zone in rapl.outermost(zones)} == {
        zone.name for zone in zones if zone.name.startswith("package-")
    }


def test_a_package_has_a_long_and_a_short_term_limit(package: rapl.Zone) -> None:
    assert [(one.index, one.name) for one in package.constraints] == [(0, "long_term"), (1, "short_term")]
    assert (package.constraints[0].max_power_uw or 0) > 0
    assert package.writable


def test_a_maximum_that_the_hardware_does_not_tell_is_missing_and_never_zero(zones: tuple[rapl.Zone, ...]) -> None:
    assert 0 not in [one.max_power_uw for zone in zones for one in zone.constraints]


# --- Energy ---


def test_energy_moves_in_every_zone_and_stays_within_its_range(stage: Stage, zones: tuple[rapl.Zone, ...]) -> None:
    for zone in zones:
        before = rapl.energy_uj(zone)
        assert 0 <= before <= zone.max_energy_uj
        assert stage.becomes(lambda zone=zone, before=before: rapl.energy_uj(zone) != before)


def test_a_package_draws_what_a_processor_may_draw(package: rapl.Zone) -> None:
    assert 5 < drawn_w(package) < 2000


def test_a_counter_that_begins_again_has_lost_no_joule(stage: Stage, package: rapl.Zone) -> None:
    power_w = drawn_w(package)
    stage.wrap_soon(package.name)
    begun, before = time.monotonic(), rapl.energy_uj(package)
    counted_uj, wrapped = 0, False
    while not wrapped:
        assert time.monotonic() - begun < 30, "the counter did not wrap"
        time.sleep(0.05)
        now = rapl.energy_uj(package)
        wrapped = now < before
        counted_uj += rapl.energy_delta_uj(package, before, now)
        before = now
    assert counted_uj / 1e6 / (time.monotonic() - begun) == pytest.approx(power_w, rel=0.25)


def test_a_descriptor_that_is_kept_reads_what_is_now(stage: Stage, package: rapl.Zone) -> None:
    handle = os.open(package.path / "energy_uj", os.O_RDONLY)
    try:
        before = os.pread(handle, 64, 0)
        assert stage.becomes(lambda: os.pread(handle, 64, 0) != before)
    finally:
        os.close(handle)


# --- Limits ---


def test_a_limit_is_rounded_down_to_the_register_s_unit_and_told_as_it_is(package: rapl.Zone) -> None:
    for asked_uw, kept_uw in ((80_000_000, 80_000_000), (80_124_999, 80_000_000), (80_125_000, 80_125_000)):
        assert rapl.set_limit_uw(package, LONG_TERM, asked_uw) == kept_uw
        assert rapl.limit_uw(package, LONG_TERM) == kept_uw


def test_a_limit_takes_effect_on_power_and_its_end_does_too(stage: Stage, package: rapl.Zone) -> None:
    free_uw, free_w = rapl.limit_uw(package, LONG_TERM), drawn_w(package)
    cap_w = rapl.set_limit_uw(package, LONG_TERM, int(free_w * 0.6e6)) / 1e6
    assert stage.becomes(lambda: 0.8 * cap_w < drawn_w(package) < 1.15 * cap_w)
    rapl.set_limit_uw(package, LONG_TERM, free_uw)
    assert stage.becomes(lambda: drawn_w(package) > 0.85 * free_w)


def test_a_limit_has_no_force_while_its_zone_is_disabled(stage: Stage, package: rapl.Zone) -> None:
    free_w = drawn_w(package)
    stage.write(package.path / "enabled", "0")
    cap_uw = int(free_w * 0.6) * 1_000_000
    stage.write(limit_file(package), str(cap_uw))
    assert int(limit_file(package).read_text()) == cap_uw
    assert stage.becomes(lambda: drawn_w(package) > 0.85 * free_w)
    stage.write(package.path / "enabled", "1")
    assert stage.becomes(lambda: drawn_w(package) < 1.15 * cap_uw / 1e6)


@pytest.mark.parametrize("text", ["2", "-1", "bogus"])
def test_enabled_is_yes_or_no(stage: Stage, package: rapl.Zone, text: str) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        stage.write(package.path / "enabled", text)


def test_the_long_and_the_short_term_limit_do_not_move_each_other(package: rapl.Zone) -> None:
    short_uw = rapl.limit_uw(package, 1)
    rapl.set_limit_uw(package, LONG_TERM, 70_000_000)
    assert rapl.limit_uw(package, 1) == short_uw
    rapl.set_limit_uw(package, 1, 60_000_000)
    assert (rapl.limit_uw(package, LONG_TERM), rapl.limit_uw(package, 1)) == (70_000_000, 60_000_000)


@pytest.mark.parametrize("text", ["bogus", "-1", "80e6", "0x4C4B400", "80000000 W"])
def test_what_is_no_limit_is_refused_and_changes_nothing(stage: Stage, package: rapl.Zone, text: str) -> None:
    before = rapl.limit_uw(package, LONG_TERM)
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        stage.write(limit_file(package), text)
    assert rapl.limit_uw(package, LONG_TERM) == before


def test_the_kernel_takes_a_limit_above_the_maximum_that_it_tells(stage: Stage, package: rapl.Zone) -> None:
    above_uw = 2 * (package.constraints[LONG_TERM].max_power_uw or 0)
    stage.write(limit_file(package), str(above_uw))
    assert int(limit_file(package).read_text()) == above_uw // UNIT_UW * UNIT_UW


def test_the_kernel_cuts_off_what_the_register_cannot_hold(stage: Stage, package: rapl.Zone) -> None:
    stage.write(limit_file(package), str(5_000_000_000))
    assert int(limit_file(package).read_text()) == 5_000_000_000 - 0x8000 * UNIT_UW


def test_a_limit_that_the_register_cannot_hold_is_refused_or_told_as_it_is(package: rapl.Zone) -> None:
    before = rapl.limit_uw(package, LONG_TERM)
    try:
        kept = rapl.set_limit_uw(package, LONG_TERM, 0x8000 * UNIT_UW)
    except DriverError:
        kept = before
    assert rapl.limit_uw(package, LONG_TERM) == kept


def test_a_limit_that_is_not_there_is_an_error_of_one_line(package: rapl.Zone) -> None:
    with pytest.raises(DriverError, match=os.strerror(errno.ENOENT)) as refusal:
        rapl.set_limit_uw(package, 7, 80_000_000)
    assert "constraint_7_power_limit_uw" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_zone_that_the_firmware_locked_keeps_its_limit_and_says_so(
    stage: Stage, zones: tuple[rapl.Zone, ...]
) -> None:
    def is_locked(zone: rapl.Zone) -> bool:
        try:
            stage.write(limit_file(zone), limit_file(zone).read_text())
        except OSError:
            return True
        return False

    locked = [zone for zone in zones if zone.constraints and limit_file(zone).exists() and is_locked(zone)]
    if not locked or os.geteuid():
        pytest.skip("no zone here is locked")
    for zone in locked:
        before = rapl.limit_uw(zone, LONG_TERM)
        with pytest.raises(DriverError, match="constraint_0_power_limit_uw"):
            rapl.set_limit_uw(zone, LONG_TERM, 6_000_000)
        assert rapl.limit_uw(zone, LONG_TERM) == before


# --- Privilege ---


@pytest.mark.parametrize("name", ["energy_uj", "max_energy_range_uj", "name", "constraint_0_max_power_uw"])
def test_what_only_reads_cannot_be_opened_for_writing_by_root_either(
    stage: Stage, package: rapl.Zone, name: str
) -> None:
    with pytest.raises(PermissionError) as refusal:
        stage.write(package.path / name, "0")
    assert refusal.value.errno == errno.EACCES


def test_without_privilege_limits_are_read_and_energy_and_writing_are_refused(stage: Stage, package: rapl.Zone) -> None:
    before = rapl.limit_uw(package, LONG_TERM)
    with stage.as_nobody():
        assert "package-0" in {zone.name for zone in rapl.discover(stage.sysfs)}
        assert rapl.limit_uw(package, LONG_TERM) == before
        with pytest.raises(DriverError, match=os.strerror(errno.EACCES)):
            rapl.energy_uj(package)
        with pytest.raises(DriverError, match=os.strerror(errno.EACCES)):
            rapl.set_limit_uw(package, LONG_TERM, 80_000_000)
    assert rapl.limit_uw(package, LONG_TERM) == before
