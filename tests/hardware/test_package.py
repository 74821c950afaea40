"""CPU packages found in a tree like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagent.hardware.package import Package, describe, discover

CPUS = "devices/system/cpu"
LONG_UW, SHORT_UW = 100_000_000, 125_500_000


def put(root: Path, path: str, text: object) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{text}\n")


def cpu(
    root: Path, number: int, package: int | None, policy: bool = True, top_khz: int = 2_500_000, epp: str = ""
) -> None:
    if package is not None:
        put(root, f"{CPUS}/cpu{number}/topology/physical_package_id", package)
    else:
        (root / f"{CPUS}/cpu{number}").mkdir(parents=True)
    if not policy:
        return
    place = f"{CPUS}/cpufreq/policy{number}"
    files = {
        "affected_cpus": number,
        "scaling_driver": "intel_pstate",
        "scaling_available_governors": "performance powersave",
        "scaling_governor": "powersave",
        "scaling_min_freq": 800_000,
        "scaling_max_freq": top_khz,
        "cpuinfo_min_freq": 800_000,
        "cpuinfo_max_freq": top_khz,
    }
    if epp:
        files |= {"energy_performance_available_preferences": epp, "energy_performance_preference": "power"}
    for name, text in files.items():
        put(root, f"{place}/{name}", text)


def zone(root: Path, place: str, name: str, *limits: tuple[str, int], enabled: int = 1) -> None:
    files: dict[str, object] = {"name": name, "energy_uj": 5, "max_energy_range_uj": 10**9, "enabled": enabled}
    for index, (limit, uw) in enumerate(limits):
        files |= {f"constraint_{index}_name": limit, f"constraint_{index}_power_limit_uw": uw}
    for file, text in files.items():
        put(root, f"class/powercap/{place}/{file}", text)


def described(package: Package) -> tuple[float, float, bool, str]:
    device = describe(package, 0, [LONG_UW, SHORT_UW][: len(package.limits)])
    return device.min_limit_w, device.max_limit_w, device.power_limit.writable, device.power_limit.why


def test_policies_and_zones_go_to_their_packages(tmp_path: Path) -> None:
    for number in range(4):
        cpu(tmp_path, number, number // 2)
    for number in (0, 1):
        zone(tmp_path, f"intel-rapl:{number}", f"package-{number}", ("long_term", LONG_UW), ("short_term", SHORT_UW))
        zone(tmp_path, f"intel-rapl:{number}:0", "core")
    zone(tmp_path, "intel-rapl:2", "psys", ("long_term", LONG_UW))
    first, second = discover(tmp_path)
    assert (first.uuid, first.cpus, [policy.cpus for policy in first.policies]) == ("CPU-0", 2, [(0,), (1,)])
    assert second.zone is not None
    assert second.zone.name == "package-1"
    assert described(second) == (62.0, 125.5, True, "")
    assert [path.name for path in second.limit_paths] == ["constraint_0_power_limit_uw", "constraint_1_power_limit_uw"]


def test_a_host_without_any_of_it_has_no_packages(tmp_path: Path) -> None:
    cpu(tmp_path, 0, 0, policy=False)
    assert discover(tmp_path) == ()


def test_cpus_off_line_and_unknown_topology_do_no_harm(tmp_path: Path) -> None:
    cpu(tmp_path, 0, 0)
    cpu(tmp_path, 1, None, policy=False)  # off line: it has no topology
    put(tmp_path, f"{CPUS}/cpu2/topology/physical_package_id", -1)
    (package,) = discover(tmp_path)
    assert (package.number, package.cpus, len(package.policies)) == (0, 2, 1)


def test_a_limit_on_an_instant_is_not_one_on_the_mean(tmp_path: Path) -> None:
    cpu(tmp_path, 0, 0)
    zone(
        tmp_path,
        "intel-rapl:0",
        "package-0",
        ("long_term", LONG_UW),
        ("short_term", SHORT_UW),
        ("peak_power", 200_000_000),
    )
    (package,) = discover(tmp_path)
    assert [limit.name for limit in package.limits] == ["long_term", "short_term"]


def test_a_die_is_not_taken_for_its_package(tmp_path: Path) -> None:
    cpu(tmp_path, 0, 0)
    for die in (0, 1):
        zone(tmp_path, f"intel-rapl:{die}", f"package-0-die-{die}", ("long_term", LONG_UW))
    (package,) = discover(tmp_path)
    assert package.zone is None
    assert "no RAPL zone" in described(package)[3]


def test_why_a_limit_can_t_be_set_is_said(tmp_path: Path) -> None:
    cpu(tmp_path, 0, 0)
    zone(tmp_path, "intel-rapl:0", "package-0", ("long_term", LONG_UW), enabled=0)
    assert "switched off" in described(discover(tmp_path)[0])[3]


@pytest.mark.parametrize(
    ("uw", "why"), [(0, "are 0"), (4_095_000_000, "has set no limit"), (4_095_875_000, "no limit")]
)
def test_a_limit_that_nobody_has_set_is_none_to_lower(tmp_path: Path, uw: int, why: str) -> None:
    cpu(tmp_path, 0, 0)
    zone(tmp_path, "intel-rapl:0", "package-0", ("long_term", LONG_UW if uw else 0), ("short_term", uw))
    (package,) = discover(tmp_path)
    device = describe(package, 0, [LONG_UW if uw else 0, uw])
    assert not device.power_limit.writable
    assert why in device.power_limit.why


def test_the_ladder_ends_at_the_top_and_preferences_are_those_of_all(tmp_path: Path) -> None:
    cpu(tmp_path, 0, 0, top_khz=2_350_000, epp="default performance balance_power power ")
    cpu(tmp_path, 1, 0, top_khz=2_000_000, epp="default balance_power power ")
    device = describe(discover(tmp_path)[0], 0, [])
    assert (device.clocks_mhz[0], device.clocks_mhz[-2:], device.preferences) == (
        800,
        (2300, 2350),
        ("balance_power", "power"),
    )
    assert device.preference.writable
    put(tmp_path, f"{CPUS}/cpufreq/policy1/scaling_governor", "performance")
    assert "`performance`" in describe(discover(tmp_path)[0], 0, []).preference.why
