from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.hardware.frequency import POLICIES_MOST, Frequencies

if TYPE_CHECKING:
    from tests.hardware.conftest import Grow

POLICY = {
    "scaling_driver": "acpi-cpufreq",
    "scaling_available_governors": "performance schedutil",
    "cpuinfo_min_freq": 800000,
    "cpuinfo_max_freq": 3500000,
}


def cpu(number: int, khz: object, package: int = 0, cpus: str = "") -> dict[str, object]:
    policy = {**POLICY, "affected_cpus": cpus or number, "scaling_cur_freq": khz}
    return {
        f"devices/system/cpu/cpu{number}/topology/physical_package_id": package,
        **{f"devices/system/cpu/cpufreq/policy{number}/{name}": text for name, text in policy.items()},
    }


def test_a_package_runs_at_the_mean_of_its_cpus(grow: Grow) -> None:
    root = grow({**cpu(0, 1_000_000), **cpu(1, 3_000_000), **cpu(2, 2_000_000, package=1)})
    assert Frequencies(root).read() == {"CPU-0": 2000.0, "CPU-1": 2000.0}


def test_a_policy_of_several_cpus_counts_as_often(grow: Grow) -> None:
    root = grow({**cpu(0, 1_000_000, cpus="0-2"), **cpu(3, 3_000_000)})
    assert Frequencies(root).read() == {"CPU-0": 1500.0}


def test_what_is_read_is_of_now(grow: Grow) -> None:
    frequencies = Frequencies(grow(cpu(0, 1_000_000)))
    assert frequencies.read() == {"CPU-0": 1000.0}
    grow({"devices/system/cpu/cpufreq/policy0/scaling_cur_freq": 1_500_000})
    assert frequencies.read() == {"CPU-0": 1500.0}


def test_a_cpu_that_went_off_line_has_no_part_in_the_mean(grow: Grow) -> None:
    root = grow({**cpu(0, 1_000_000), **cpu(1, 3_000_000)})
    frequencies = Frequencies(root)
    frequencies.read()
    gone = root / "devices/system/cpu/cpufreq/policy1/scaling_cur_freq"
    gone.unlink()
    gone.mkdir()  # what can't be read, for root too
    assert frequencies.read() == {"CPU-0": 1000.0}


def test_a_driver_that_does_not_tell_makes_no_zero(grow: Grow) -> None:
    assert Frequencies(grow(cpu(0, "<unknown>"))).read() == {}


def test_a_host_without_cpufreq_has_no_frequency_until_it_has_one(grow: Grow, tmp_path: Path) -> None:
    frequencies = Frequencies(tmp_path / "sys")
    assert frequencies.read() == {}
    grow(cpu(0, 1_000_000))
    assert frequencies.read() == {"CPU-0": 1000.0}


def test_a_policy_that_can_not_be_read_is_no_error(grow: Grow) -> None:
    assert Frequencies(grow(cpu(0, 1_000_000, cpus="nonsense"))).read() == {}


@pytest.mark.parametrize("cpus", [POLICIES_MOST, 100])
def test_of_a_package_with_many_policies_some_are_read_from_all_over_it(grow: Grow, cpus: int) -> None:
    files: dict[str, object] = {}
    for number in range(cpus):
        files |= cpu(number, 1_000_000 if number < cpus // 2 else 3_000_000)
    assert Frequencies(grow(files)).read() == {"CPU-0": 2000.0}
