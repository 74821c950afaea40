"""cpufreq policies, on plain files for what they say and on the simulated kernel for what it does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import DriverError
from eagent.hardware import cpufreq
from eagent.hardware.cpufreq import PolicyState

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SimHostFactory
    from tests.hardware.conftest import Grow


def policy_files(number: int, **changes: object) -> dict[str, object]:
    files = {
        "affected_cpus": number,
        "scaling_driver": "acpi-cpufreq",
        "scaling_available_governors": "performance schedutil ",
        "scaling_governor": "schedutil",
        "cpuinfo_min_freq": 800000,
        "cpuinfo_max_freq": 3500000,
        "scaling_min_freq": 800000,
        "scaling_max_freq": 3500000,
        "scaling_cur_freq": 1200000,
    }
    return {f"devices/system/cpu/cpufreq/policy{number}/{name}": text for name, text in (files | changes).items()}


# ---- what the files say ----------------------------------------------------------------------------------------------


def test_a_machine_without_cpufreq_has_no_policies(tmp_path: Path) -> None:
    assert cpufreq.discover(tmp_path) == ()


def test_policies_come_by_number_with_what_they_offer(grow: Grow) -> None:
    root = grow({**policy_files(10, affected_cpus="10 11"), **policy_files(2), "devices/system/cpu/cpufreq/boost": 1})
    second, tenth = cpufreq.discover(root)
    assert (second.cpus, tenth.cpus) == ((2,), (10, 11))
    assert second.path == root / "devices/system/cpu/cpufreq/policy2"
    assert (second.driver, second.governors, second.epps) == ("acpi-cpufreq", ("performance", "schedutil"), ())
    assert (second.hardware_min_khz, second.hardware_max_khz) == (800_000, 3_500_000)
    assert cpufreq.read(second) == PolicyState(800_000, 3_500_000, 1_200_000, "schedutil", None)


def test_a_policy_with_epp_says_which(grow: Grow) -> None:
    root = grow(
        policy_files(
            0,
            energy_performance_available_preferences="default performance power ",
            energy_performance_preference="power",
        )
    )
    (policy,) = cpufreq.discover(root)
    assert policy.epps == ("default", "performance", "power")
    assert cpufreq.read(policy).epp == "power"


def test_a_policy_whose_cpus_are_off_line_is_left_out(grow: Grow) -> None:
    assert cpufreq.discover(grow({**policy_files(0), **policy_files(1, affected_cpus="")}))[-1].cpus == (0,)


@pytest.mark.parametrize("shown", ["<unknown>", None])
def test_a_frequency_that_is_not_told_is_missing_not_zero(grow: Grow, shown: str | None) -> None:
    root = grow(policy_files(0, **({} if shown is None else {"scaling_cur_freq": shown})))
    (policy,) = cpufreq.discover(root)
    if shown is None:
        (policy.path / "scaling_cur_freq").unlink()
    assert cpufreq.read(policy).current_khz is None


def test_a_policy_that_makes_no_sense_is_one_line(grow: Grow) -> None:
    root = grow(policy_files(0, cpuinfo_max_freq="fast"))
    with pytest.raises(DriverError, match=r"policy0/cpuinfo_max_freq: 'fast' is not a whole number"):
        cpufreq.discover(root)


@given(st.sets(st.integers(0, 300)))
def test_a_list_of_cpus_is_read_in_both_forms(cpus: set[int]) -> None:
    in_order = sorted(cpus)
    assert cpufreq.parse_cpus(" ".join(map(str, in_order))) == tuple(in_order)
    assert cpufreq.parse_cpus(",".join(f"{cpu}-{cpu}" for cpu in in_order) + "\n") == tuple(in_order)


@given(st.text(max_size=30))
def test_any_text_is_a_list_of_cpus_or_an_error(text: str) -> None:
    with suppress(DriverError):
        cpus = cpufreq.parse_cpus(text)
        assert list(cpus) == sorted(set(cpus))


@pytest.mark.parametrize("text", ["3-1", "0-99999999", "1--2", "-1", "a", "0x1", "٣"])
def test_what_is_no_list_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(DriverError, match="is not a list of CPUs"):
        cpufreq.parse_cpus(text)


# ---- what the kernel does --------------------------------------------------------------------------------------------


def test_settings_are_written_and_told_as_read_back(served_host: SimHostFactory) -> None:
    policies = cpufreq.discover(served_host(gpus=1).sysfs)
    assert [policy.cpus for policy in policies] == [(cpu,) for cpu in range(64)]
    policy = policies[7]
    assert policy.epps[0] == "default"
    assert cpufreq.set_max_khz(policy, 2_000_000) == 2_000_000
    assert cpufreq.set_max_khz(policy, 1) == 800_000
    assert cpufreq.set_max_khz(policy, 9_999_999) == 3_400_000
    assert cpufreq.set_min_khz(policy, 1_000_000) == 1_000_000
    assert cpufreq.set_epp(policy, "balance_power") == "balance_power"
    assert cpufreq.set_epp(policy, "default") == "balance_performance"
    assert cpufreq.read(policy) == PolicyState(1_000_000, 3_400_000, 1_000_000, "powersave", "balance_performance")
    assert cpufreq.set_governor(policy, "performance") == "performance"
    assert cpufreq.read(policy) == PolicyState(1_000_000, 3_400_000, 3_400_000, "performance", "performance")
    assert cpufreq.read(policies[8]) == PolicyState(800_000, 3_400_000, 800_000, "powersave", "balance_performance")


def test_a_lower_bound_above_the_upper_one_is_told_as_it_stands(served_host: SimHostFactory) -> None:
    policy = cpufreq.discover(served_host(gpus=1).sysfs)[0]
    cpufreq.set_max_khz(policy, 1_500_000)
    assert cpufreq.set_min_khz(policy, 2_500_000) == 1_500_000
    assert cpufreq.set_max_khz(policy, 3_000_000) == 3_000_000
    assert cpufreq.read(policy).min_khz == 2_500_000  # the kernel keeps the request


def test_what_the_kernel_refuses_is_one_line_with_what_and_why(served_host: SimHostFactory) -> None:
    policy = cpufreq.discover(served_host(gpus=1).sysfs)[0]
    with pytest.raises(DriverError, match=r"^cannot write 'turbo' to .*/policy0/scaling_governor: Invalid argument$"):
        cpufreq.set_governor(policy, "turbo")
    with pytest.raises(DriverError, match="Invalid argument"):
        cpufreq.set_max_khz(policy, -1)
    cpufreq.set_governor(policy, "performance")
    with pytest.raises(DriverError, match=r"resource busy; .*another setting governs it"):
        cpufreq.set_epp(policy, "power")


def test_missing_privilege_is_said(served_host: SimHostFactory) -> None:
    policy = cpufreq.discover(served_host(gpus=1, permission="nobody").sysfs)[0]
    with pytest.raises(DriverError, match="Read-only file system; a container must be given a writable /sys"):
        cpufreq.set_max_khz(policy, 2_000_000)
