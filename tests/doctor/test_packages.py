from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.doctor.packages import Package, look_at_packages
from eagent.hardware import cpufreq

Tree = Callable[..., None]
EPP = "energy_performance_preference"


def zone(place: str, name: str, long_w: float, short_w: float, **more: str) -> dict[str, Any]:
    return {
        "place": place,
        "name": name,
        "constraint_0_name": "long_term",
        "constraint_0_power_limit_uw": round(long_w * 1e6),
        "constraint_1_name": "short_term",
        "constraint_1_power_limit_uw": round(short_w * 1e6),
        **more,
    }


def test_a_host_without_knobs_has_no_packages(tmp_path: Path) -> None:
    assert look_at_packages(tmp_path) == ()


def test_each_package_has_the_knobs_of_its_cpus(tmp_path: Path, cpu_tree: Tree) -> None:
    policies = [
        {"package": number // 2, "scaling_max_freq": khz, EPP: epp}
        for number, (khz, epp) in enumerate(
            [(3_400_000, "power"), (3_400_000, "power"), (1_800_000, "power"), (3_000_000, "balance_power")]
        )
    ]
    zones = [zone("intel-rapl:0", "package-0", 250, 300), zone("intel-rapl:1", "package-1", 200.5, 200.5)]
    cpu_tree(tmp_path, policies, zones)
    assert look_at_packages(tmp_path) == (
        Package(0, (3400.0,), ("power",), (250.0, 300.0)),
        Package(1, (1800.0, 3000.0), ("balance_power", "power"), (200.5, 200.5)),
    )
    first, second = look_at_packages(tmp_path)
    assert (first.uuid, first.ceiling_mhz, first.preference) == ("CPU-0", 3400.0, "power")
    assert (second.ceiling_mhz, second.preference) == (3000.0, "mixed")


def test_what_can_not_be_read_is_absent(tmp_path: Path, cpu_tree: Tree) -> None:
    cpu_tree(tmp_path, [{"cpu": "4 5", "package": 1, "scaling_max_freq": "<unknown>"}, {"cpu": "", "package": 0}])
    assert look_at_packages(tmp_path) == ()
    cpu_tree(tmp_path, [{"cpu": "4 5", "package": 1, "scaling_max_freq": 2_000_000}])
    (package,) = look_at_packages(tmp_path)
    assert (package.number, package.preference, package.limits_w) == (1, None, ())


def test_of_a_package_that_is_shown_twice_the_first_counts_and_its_peak_limit_does_not(
    tmp_path: Path, cpu_tree: Tree
) -> None:
    peak = {"constraint_2_name": "peak_power", "constraint_2_power_limit_uw": "900000000"}
    zones = [
        zone("intel-rapl-mmio:0", "package-0", 100, 100),
        zone("intel-rapl:0", "package-0", 250, 300, **peak),
        zone("intel-rapl:0:0", "dram", 10, 10),
        {"place": "intel-rapl:1", "name": "package-1"},  # AMD's, without limits
        {"place": "intel-rapl:2", "name": "psys"},
    ]
    cpu_tree(tmp_path, zones=zones)
    assert [(package.number, package.limits_w) for package in look_at_packages(tmp_path)] == [
        (0, (250.0, 300.0)),
        (1, ()),
    ]


@pytest.mark.parametrize("model", ["xeon-platinum-8358", "epyc-7543"])
def test_a_simulated_hosts_tree_is_read_as_the_warden_reads_it(served_host: Callable[..., Any], model: str) -> None:
    made = served_host(gpus=1, cpu_model=model)
    packages = look_at_packages(made.sysfs)
    policies = cpufreq.discover(made.sysfs)
    assert {package.ceiling_mhz for package in packages} == {policy.hardware_max_khz / 1000 for policy in policies}
    assert len(packages) == 2
    assert all(bool(package.preference) == bool(policies[0].epps) for package in packages)
    assert all(bool(package.limits_w) == (model != "epyc-7543") for package in packages)
