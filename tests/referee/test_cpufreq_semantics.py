"""What a kernel's cpufreq makes of what `eagent.hardware.cpufreq` asks. Also run on a real kernel: `make referee`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from eagent.errors import DriverError
from eagent.hardware import cpufreq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.referee.conftest import Stage


@pytest.fixture
def policies(stage: Stage) -> tuple[cpufreq.Policy, ...]:
    return cpufreq.discover(stage.sysfs)


@pytest.fixture
def policy(policies: tuple[cpufreq.Policy, ...]) -> cpufreq.Policy:
    return policies[0]


@pytest.fixture
def steps(policy: cpufreq.Policy) -> list[int]:
    """The driver's frequencies in kHz, ascending, where it has a table of them."""
    table = policy.path / "scaling_available_frequencies"
    if not table.exists():
        pytest.skip(f"{policy.driver} sets any frequency within its range")
    return sorted(map(int, table.read_text().split()))


def bounds(policy: cpufreq.Policy) -> tuple[int, int]:
    state = cpufreq.read(policy)
    return state.min_khz, state.max_khz


def settles(stage: Stage, policy: cpufreq.Policy, low: int, high: int) -> None:
    """The bounds come to this. Not at once: the kernel notes what is asked and lets a worker bring it into force."""
    assert stage.becomes(lambda: bounds(policy) == (low, high)), bounds(policy)


def middle(policy: cpufreq.Policy, share: float) -> int:
    """A frequency that the driver takes as it is, this far up its range."""
    wish = policy.hardware_min_khz + share * (policy.hardware_max_khz - policy.hardware_min_khz)
    table = policy.path / "scaling_available_frequencies"
    if table.exists():
        return min(map(int, table.read_text().split()), key=lambda khz: abs(khz - wish))
    return round(wish / 100_000) * 100_000


# --- What is there ---


def test_every_cpu_online_has_its_policy_and_policies_come_in_the_order_of_their_numbers(
    stage: Stage, policies: tuple[cpufreq.Policy, ...]
) -> None:
    numbers = [int(policy.path.name.removeprefix("policy")) for policy in policies]
    assert numbers == sorted(numbers)
    assert sorted(cpu for policy in policies for cpu in policy.cpus) == [
        int(link.parent.name.removeprefix("cpu")) for link in sorted_cpus(stage.sysfs)
    ]


def sorted_cpus(sysfs: Path) -> list[Path]:
    links = (sysfs / "devices/system/cpu").glob("cpu[0-9]*/cpufreq")
    return sorted(links, key=lambda link: int(link.parent.name.removeprefix("cpu")))


def test_a_policy_says_what_it_is_and_can(policy: cpufreq.Policy) -> None:
    assert policy.driver
    assert 0 < policy.hardware_min_khz < policy.hardware_max_khz
    assert {"performance", "powersave"} <= set(policy.governors)


def test_a_state_is_within_the_hardware_s_range(policy: cpufreq.Policy) -> None:
    state = cpufreq.read(policy)
    assert policy.hardware_min_khz <= state.min_khz <= state.max_khz <= policy.hardware_max_khz
    assert state.current_khz is not None
    assert policy.hardware_min_khz <= state.current_khz <= policy.hardware_max_khz
    assert state.governor in policy.governors
    assert (state.epp is None) == (policy.epps == ())


def test_a_governor_s_own_directory_is_not_taken_for_a_policy(stage: Stage, policy: cpufreq.Policy) -> None:
    if "schedutil" in policy.governors:
        cpufreq.set_governor(policy, "schedutil")
    if not (policy.path.parent / "schedutil").is_dir():
        pytest.skip(f"{policy.driver} here shows nothing beside its policies")
    assert all(one.path.name.startswith("policy") for one in cpufreq.discover(stage.sysfs))


@pytest.fixture
def offline(stage: Stage, policies: tuple[cpufreq.Policy, ...]) -> Iterator[cpufreq.Policy]:
    """The last policy, after its CPU has gone offline."""
    switch = stage.sysfs / f"devices/system/cpu/cpu{policies[-1].cpus[0]}/online"
    if not switch.exists() or not switch.stat().st_mode & 0o200 or len(policies[-1].cpus) > 1:
        pytest.skip("no CPU here can go offline and take its policy with it")
    stage.write(switch, "0")
    yield policies[-1]
    stage.write(switch, "1")


def test_the_policy_of_an_offline_cpu_is_busy_and_not_discovered(stage: Stage, offline: cpufreq.Policy) -> None:
    assert offline.path.is_dir()
    with pytest.raises(DriverError, match=os.strerror(errno.EBUSY)):
        cpufreq.read(offline)
    assert offline.path not in [one.path for one in cpufreq.discover(stage.sysfs)]


# --- Floor and ceiling ---


@pytest.mark.parametrize("khz", [0, 99])
def test_a_ceiling_below_what_the_hardware_can_becomes_its_lowest(
    stage: Stage, policy: cpufreq.Policy, khz: int
) -> None:
    cpufreq.set_max_khz(policy, khz)
    settles(stage, policy, policy.hardware_min_khz, policy.hardware_min_khz)


def test_a_ceiling_above_what_the_hardware_can_becomes_its_highest(stage: Stage, policy: cpufreq.Policy) -> None:
    cpufreq.set_max_khz(policy, policy.hardware_min_khz)
    cpufreq.set_max_khz(policy, 99_999_999)
    settles(stage, policy, policy.hardware_min_khz, policy.hardware_max_khz)


def test_a_floor_out_of_range_becomes_the_nearest_that_the_hardware_can(stage: Stage, policy: cpufreq.Policy) -> None:
    cpufreq.set_min_khz(policy, 99_999_999)
    settles(stage, policy, policy.hardware_max_khz, policy.hardware_max_khz)
    cpufreq.set_min_khz(policy, 99)
    settles(stage, policy, policy.hardware_min_khz, policy.hardware_max_khz)


def test_between_two_steps_a_ceiling_goes_down_and_a_floor_up(
    stage: Stage, policy: cpufreq.Policy, steps: list[int]
) -> None:
    low, high = steps[1:3]
    for khz in (low + 1, high - 1):
        cpufreq.set_max_khz(policy, policy.hardware_max_khz)
        cpufreq.set_max_khz(policy, khz)
        settles(stage, policy, policy.hardware_min_khz, low)
    cpufreq.set_max_khz(policy, policy.hardware_max_khz)
    cpufreq.set_min_khz(policy, low + 1)
    settles(stage, policy, high, policy.hardware_max_khz)


def test_what_is_told_after_a_write_is_what_came_into_force(policy: cpufreq.Policy) -> None:
    low, high = middle(policy, 0.25), middle(policy, 0.75)
    for _ in range(20):
        assert cpufreq.set_max_khz(policy, high) == high
        assert cpufreq.set_min_khz(policy, low) == low
        assert cpufreq.set_max_khz(policy, policy.hardware_max_khz) == policy.hardware_max_khz
        assert cpufreq.set_min_khz(policy, 0) == policy.hardware_min_khz


def test_a_ceiling_below_the_floor_wins_and_the_floor_comes_back_with_room(
    stage: Stage, policy: cpufreq.Policy
) -> None:
    floor, ceiling = middle(policy, 0.5), middle(policy, 0.25)
    cpufreq.set_min_khz(policy, floor)
    cpufreq.set_max_khz(policy, ceiling)
    settles(stage, policy, ceiling, ceiling)
    cpufreq.set_max_khz(policy, policy.hardware_max_khz)
    settles(stage, policy, floor, policy.hardware_max_khz)


def test_a_floor_above_the_ceiling_waits_until_there_is_room(stage: Stage, policy: cpufreq.Policy) -> None:
    floor, ceiling = middle(policy, 0.5), middle(policy, 0.25)
    cpufreq.set_max_khz(policy, ceiling)
    cpufreq.set_min_khz(policy, floor)
    settles(stage, policy, ceiling, ceiling)
    cpufreq.set_max_khz(policy, policy.hardware_max_khz)
    settles(stage, policy, floor, policy.hardware_max_khz)


@pytest.mark.parametrize("first", ["floor", "ceiling"])
@pytest.mark.parametrize("start", [(0.0, 0.25), (0.75, 1.0), (0.0, 1.0)])
def test_floor_and_ceiling_come_to_the_same_in_either_order(
    stage: Stage, policy: cpufreq.Policy, start: tuple[float, float], first: str
) -> None:
    cpufreq.set_min_khz(policy, middle(policy, start[0]))
    cpufreq.set_max_khz(policy, middle(policy, start[1]))
    low, high = middle(policy, 0.25), middle(policy, 0.5)
    if first == "floor":
        cpufreq.set_min_khz(policy, low)
        cpufreq.set_max_khz(policy, high)
    else:
        cpufreq.set_max_khz(policy, high)
        cpufreq.set_min_khz(policy, low)
    settles(stage, policy, low, high)


def test_one_policy_s_bounds_are_not_another_s(stage: Stage, policies: tuple[cpufreq.Policy, ...]) -> None:
    if len(policies) < 2:
        pytest.skip("there is one policy")
    lowest_khz = policies[0].hardware_min_khz
    cpufreq.set_max_khz(policies[0], lowest_khz)
    settles(stage, policies[0], lowest_khz, lowest_khz)
    assert cpufreq.read(policies[1]).max_khz == policies[1].hardware_max_khz


@pytest.mark.parametrize("text", ["junk", "-5", "2147483648"])
@pytest.mark.parametrize("name", ["scaling_min_freq", "scaling_max_freq"])
def test_what_is_no_frequency_is_refused_and_changes_nothing(
    stage: Stage, policy: cpufreq.Policy, name: str, text: str
) -> None:
    before = bounds(policy)
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        stage.write(policy.path / name, text)
    assert bounds(policy) == before


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_line_may_end_or_not(stage: Stage, policy: cpufreq.Policy, ending: str) -> None:
    khz = middle(policy, 0.5)
    stage.write(policy.path / "scaling_max_freq", f"{khz}{ending}")
    settles(stage, policy, policy.hardware_min_khz, khz)


# --- Governors ---


def test_every_governor_on_offer_can_be_had(policy: cpufreq.Policy) -> None:
    for name in policy.governors:
        cpufreq.set_governor(policy, name)
        assert cpufreq.read(policy).governor == name


@pytest.mark.parametrize("name", ["bogus", "x" * 40])
def test_a_governor_that_is_not_there_is_refused_and_the_old_one_stays(policy: cpufreq.Policy, name: str) -> None:
    cpufreq.set_governor(policy, "powersave")
    with pytest.raises(DriverError, match=os.strerror(errno.EINVAL)) as refusal:
        cpufreq.set_governor(policy, name)
    assert "scaling_governor" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert cpufreq.read(policy).governor == "powersave"


def test_the_clock_obeys_a_ceiling_that_goes_down_and_up(stage: Stage, policy: cpufreq.Policy) -> None:
    cpufreq.set_governor(policy, "performance")
    for share in (0.5, 0.25, 0.0, 0.5):
        khz = middle(policy, share)
        cpufreq.set_max_khz(policy, khz)
        assert stage.becomes(lambda khz=khz: 0 < (cpufreq.read(policy).current_khz or 0) <= khz)


def test_governors_of_a_table_hold_the_clock_at_its_ends(
    stage: Stage, policy: cpufreq.Policy, steps: list[int]
) -> None:
    low, high = steps[1], steps[-2]
    cpufreq.set_min_khz(policy, low)
    cpufreq.set_max_khz(policy, high)
    for governor, khz in (("performance", high), ("powersave", low), ("performance", high)):
        cpufreq.set_governor(policy, governor)
        assert stage.becomes(lambda khz=khz: cpufreq.read(policy).current_khz == khz)


# --- Energy preference ---


def test_an_energy_preference_is_had_where_there_are_any_and_refused_elsewhere(policy: cpufreq.Policy) -> None:
    if not policy.epps:
        with pytest.raises(DriverError):
            cpufreq.set_epp(policy, "power")
        return
    cpufreq.set_governor(policy, "powersave")
    for name in policy.epps:
        cpufreq.set_epp(policy, name)
        told = cpufreq.read(policy).epp
        assert told in policy.epps
        assert told == name or name == "default"  # which is one of the others
    with pytest.raises(DriverError, match=os.strerror(errno.EINVAL)):
        cpufreq.set_epp(policy, "bogus")


# --- Privilege ---


@pytest.mark.parametrize("name", ["scaling_cur_freq", "cpuinfo_max_freq", "scaling_available_governors"])
def test_what_only_reads_cannot_be_opened_for_writing_by_root_either(
    stage: Stage, policy: cpufreq.Policy, name: str
) -> None:
    with pytest.raises(PermissionError) as refusal:
        stage.write(policy.path / name, "1")
    assert refusal.value.errno == errno.EACCES


def test_anybody_may_read_and_nobody_without_privilege_may_write(stage: Stage, policy: cpufreq.Policy) -> None:
    before = cpufreq.read(policy)
    with stage.as_nobody():
        assert cpufreq.discover(stage.sysfs)[0] == policy
        assert bounds(policy) == (before.min_khz, before.max_khz)
        with pytest.raises(DriverError, match=os.strerror(errno.EACCES)):
            cpufreq.set_max_khz(policy, policy.hardware_min_khz)
        with pytest.raises(DriverError, match=os.strerror(errno.EACCES)):
            cpufreq.set_governor(policy, "performance")
    assert bounds(policy) == (before.min_khz, before.max_khz)
