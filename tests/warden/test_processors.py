"""CPU packages under a warden in virtual time, through the simulated host's /sys: the plant is the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.errors import RefusedError
from eagent.model import Budget
from eagent.telemetry._ring import RingReader
from eagent.warden import durable

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]

CPUS = 64
TOP_KHZ = 3_400_000
OWNERS_KHZ = 3_000_000  # what somebody had set on one core before eagent
CPU0, CPU1 = "CPU-0", "CPU-1"
SETTLED_S = 1.0  # 64 policies in bounded turns


@pytest.fixture
def host(rig: MakeRig) -> Any:
    """A host with two packages, one of whose cores has a ceiling of its owner's."""
    made = rig(gpus=1, sysfs=True)
    made.plant.set_cpu_max_khz(40, OWNERS_KHZ)
    return made


def ceilings_khz(host: Any) -> list[int]:
    return [host.plant.cpu_view(cpu)["max_khz"] for cpu in range(CPUS)]


def epps(host: Any) -> set[int]:
    return {host.plant.cpu_view(cpu)["epp"] for cpu in range(CPUS)}


def limits_uw(host: Any, package: int) -> list[int]:
    return list(host.plant.rapl_view(package)["limit_uw"])


def test_packages_are_described_with_what_can_be_set(host: Any) -> None:
    gpu, cpu0, cpu1 = host.warden.devices
    assert (gpu.label, cpu0.label, cpu1.label) == ("gpu0", "cpu0", "cpu1")
    assert (cpu0.uuid, cpu0.cpus, cpu0.clocks_mhz[0], cpu0.clocks_mhz[-1]) == (CPU0, 32, 800, 3400)
    assert (cpu0.min_limit_w, cpu0.max_limit_w) == (150, 300)
    assert cpu0.power_limit.writable
    assert cpu0.clock.writable
    assert cpu0.preference.writable
    row = host.warden.status(host.now_ns)["clocks"][1]
    assert (row["knob"], row["held_mhz"], row["baseline_mhz"], row["state"]) == ("cpu_clock", None, 3400, "baseline")
    assert cpu0.preferences == ("performance", "balance_performance", "balance_power", "power")


def test_a_leased_ceiling_is_set_and_given_back_when_the_lease_ends(host: Any, journalled: Journalled) -> None:
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500}, {CPU0: "balance_power"})
    assert journalled(host.state) == 2  # before the loop writes
    host.step(SETTLED_S)
    assert ceilings_khz(host) == [1_500_000] * 32 + [TOP_KHZ] * 8 + [OWNERS_KHZ] + [TOP_KHZ] * 23
    assert epps(host) == {128, 192}
    status = host.warden.status(host.now_ns)
    row = next(row for row in status["clocks"] if row["uuid"] == CPU0)
    assert (row["held_mhz"], row["ours_mhz"], row["baseline_mhz"], row["state"]) == (1500, 1500, 3400, "leased")
    assert status["preferences"][0]["held"] == "balance_power"
    host.step(3.1)
    assert ceilings_khz(host)[:32] == [TOP_KHZ] * 32
    assert epps(host) == {128}
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_no_core_is_raised_above_its_owners_ceiling_and_each_gets_its_own_back(host: Any) -> None:
    host.warden.lease({}, 3, host.now_ns, {CPU1: 3200})
    host.step(SETTLED_S)
    assert ceilings_khz(host)[40] == OWNERS_KHZ
    assert ceilings_khz(host)[41] == 3_200_000
    host.step(3.1)
    assert ceilings_khz(host)[40] == OWNERS_KHZ
    assert ceilings_khz(host)[41] == TOP_KHZ


def test_what_a_killed_warden_held_is_put_back_by_the_next(host: Any, journalled: Journalled) -> None:
    host.warden.lease({CPU0: 200_000}, 3, host.now_ns, {CPU0: 1500, CPU1: 1500}, {CPU1: "power"})
    host.step(SETTLED_S)
    assert limits_uw(host, 0) == [200_000_000, 200_000_000]
    host.start()
    host.step(SETTLED_S)
    assert ceilings_khz(host) == [TOP_KHZ] * 40 + [OWNERS_KHZ] + [TOP_KHZ] * 23
    assert epps(host) == {128}
    assert limits_uw(host, 0) == [250_000_000, 300_000_000]
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_after_a_boot_what_was_journalled_before_it_is_void(host: Any, journalled: Journalled) -> None:
    host.warden.lease({CPU0: 200_000}, 3, host.now_ns, {CPU0: 1500})
    host.step(SETTLED_S)
    host.plant.set_rapl_limit_uw(0, 0, 180_000_000)  # as the firmware leaves it now
    host.plant.set_rapl_limit_uw(0, 1, 180_000_000)
    for cpu in range(CPUS):
        host.plant.set_cpu_max_khz(cpu, 2_000_000)
    host.boot_id = "boot-2"
    host.start()
    host.step(SETTLED_S)
    assert set(ceilings_khz(host)) == {2_000_000}
    assert limits_uw(host, 0) == [180_000_000, 180_000_000]
    assert journalled(host.state) == 0


def test_a_foreign_writer_is_noticed_and_overruled_while_a_lease_runs(rig: MakeRig) -> None:
    host = rig(gpus=1, sysfs=True, foreign="overrule")
    host.warden.lease({}, 10, host.now_ns, {CPU0: 1500})
    host.step(SETTLED_S)
    host.plant.set_cpu_max_khz(3, TOP_KHZ)
    host.step(2.0)
    assert ceilings_khz(host)[3] == 1_500_000
    assert any(
        "cpu0: frequency ceiling: changed by somebody else" in a for a in host.warden.status(host.now_ns)["alarms"]
    )


def test_without_a_lease_ceilings_are_their_owners(host: Any) -> None:
    host.warden.lease({}, 1, host.now_ns, {CPU0: 1500})
    host.step(2.0)
    host.warden.tick(host.now_ns)
    host.plant.set_cpu_max_khz(3, 2_000_000)
    host.step(3.0)
    assert ceilings_khz(host)[3] == 2_000_000


@pytest.mark.parametrize(
    ("clocks", "preferences", "line"),
    [
        ({CPU0: 1234}, {}, "cpu0: 1234 MHz is not one of its frequencies, 800 to 3400 MHz"),
        ({CPU0: 1500}, {CPU0: "thrifty"}, "cpu0: 'thrifty' is not one of its preferences: performance, balance_perf"),
        ({CPU0: 1500}, {"CPU-7": "power"}, "CPU-7: no CPU package of this host"),
    ],
)
def test_a_lease_with_a_wrong_value_is_refused_whole(
    host: Any, clocks: dict[str, int], preferences: dict[str, str], line: str
) -> None:
    with pytest.raises(RefusedError, match=line):
        host.warden.lease({}, 3, host.now_ns, clocks, preferences)
    host.step(SETTLED_S)
    assert set(ceilings_khz(host)) == {TOP_KHZ, OWNERS_KHZ}


def test_what_was_journalled_for_a_lease_that_was_refused_is_retired(host: Any, journalled: Journalled) -> None:
    gpu = host.warden.devices[0].uuid
    with pytest.raises(RefusedError):
        host.warden.lease({gpu: 250_000, CPU0: 200_000}, 3, host.now_ns, {gpu: 1200, CPU0: 1500}, {CPU1: "thrifty"})
    host.step(SETTLED_S)
    host.warden.tick(host.now_ns)
    assert (journalled(host.state), host.plant.lock_log()) == (0, [])
    (host.state / "budget.json").mkdir()
    with pytest.raises(RefusedError, match="can't be stored"):
        host.warden.budget_set(Budget(2000, 0, {gpu: 100}))
    host.step(SETTLED_S)
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_a_damaged_entry_costs_its_knob_alone(host: Any) -> None:
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500, CPU1: 1500})
    host.step(SETTLED_S)
    (host.state / "journal" / f"{CPU0}.cpu_clock.json").write_text("torn")
    host.start()
    host.step(SETTLED_S)
    assert ceilings_khz(host)[0] == 1_500_000  # where it should be, nobody knows
    assert ceilings_khz(host)[32] == TOP_KHZ
    assert "damaged" in host.warden.devices[1].clock.why


def test_an_entry_never_names_an_attribute_that_is_not_the_knobs(host: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("before")
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500})
    host.step(SETTLED_S)
    entry = json.loads((host.state / "journal" / f"{CPU0}.cpu_clock.json").read_text())["content"]
    entry["texts"] = {f"../../../../../../{victim}": "after", **entry["texts"]}
    durable.store(host.state / "journal" / f"{CPU0}.cpu_clock.json", entry)
    host.start()
    host.step(SETTLED_S)
    assert victim.read_text() == "before"
    assert ceilings_khz(host)[0] == TOP_KHZ


def test_under_the_governor_performance_there_is_no_other_preference(rig: MakeRig) -> None:
    made = rig(gpus=1, sysfs=True)
    for cpu in range(CPUS):
        made.plant.set_cpu_governor(cpu, "performance")
    made.start()
    assert "`performance`" in made.warden.devices[1].preference.why
    with pytest.raises(RefusedError, match="cpu0: its energy preference can't be set: the governor"):
        made.warden.lease({}, 3, made.now_ns, {CPU0: 1500}, {CPU0: "power"})


# ---- power limits ----------------------------------------------------------------------------------------------------


def test_a_power_limit_binds_both_windows_and_each_goes_back_to_its_own(host: Any, journalled: Journalled) -> None:
    host.warden.lease({CPU1: 275_000}, 3, host.now_ns)
    host.step(SETTLED_S)
    assert limits_uw(host, 1) == [250_000_000, 275_000_000]  # never above its owner's
    host.warden.lease({CPU1: 160_000}, 3, host.now_ns)
    host.step()
    assert limits_uw(host, 1) == [160_000_000, 160_000_000]
    host.step(3.1)
    assert limits_uw(host, 1) == [250_000_000, 300_000_000]
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_a_package_that_a_lease_leaves_out_is_its_owners_once_it_is_back(host: Any, journalled: Journalled) -> None:
    host.warden.lease({}, 9, host.now_ns, {CPU0: 1500, CPU1: 1500}, {CPU0: "power", CPU1: "power"})
    host.step(SETTLED_S)
    host.warden.lease({}, 9, host.now_ns, {CPU1: 1500}, {CPU1: "power"})
    host.step(SETTLED_S)
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 2
    host.warden.lease({}, 9, host.now_ns, {CPU1: 1500}, {CPU1: "power"})
    host.plant.set_cpu_max_khz(3, 2_000_000)
    host.step(2.0)
    assert (ceilings_khz(host)[3], ceilings_khz(host)[33]) == (2_000_000, 1_500_000)


@pytest.mark.parametrize("term", [0, 1])
def test_a_kill_between_the_writes_of_two_windows_leaves_neither_behind(
    host: Any, journalled: Journalled, term: int
) -> None:
    host.warden.lease({CPU0: 200_000}, 3, host.now_ns)
    host.step(SETTLED_S)
    host.die()
    host.plant.set_rapl_limit_uw(0, term, [250_000_000, 300_000_000][term])  # the other one was not yet back
    host.start()
    host.step(SETTLED_S)
    assert limits_uw(host, 0) == [250_000_000, 300_000_000]
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_one_window_below_its_owners_is_not_back_though_the_greater_one_is(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig(gpus=1, sysfs=True, foreign="overrule")
    host.warden.lease({CPU0: 300_000}, 9, host.now_ns)
    host.step(SETTLED_S)
    host.plant.set_rapl_limit_uw(0, 0, 200_000_000)
    host.step(SETTLED_S)
    host.warden.release()
    host.step(2.0)
    host.warden.tick(host.now_ns)
    assert (limits_uw(host, 0), journalled(host.state)) == ([250_000_000, 300_000_000], 0)


@pytest.mark.parametrize(
    ("limit_mw", "line"),
    [(100_000, "outside of its range, 150 to 300 W"), (4_200_000, "outside"), (160_125, "must be in whole watts")],
)
def test_a_power_limit_that_the_register_would_bend_is_refused(host: Any, limit_mw: int, line: str) -> None:
    with pytest.raises(RefusedError, match=line):
        host.warden.lease({CPU0: limit_mw}, 3, host.now_ns)
    host.step()
    assert limits_uw(host, 0) == [250_000_000, 300_000_000]


def test_limits_that_are_switched_off_or_not_there_can_t_be_set(rig: MakeRig) -> None:
    amd = rig(gpus=1, sysfs=True, powercap="amd")
    assert amd.warden.devices[1].power_limit.why == "its RAPL zone only counts energy, as AMD's do"
    off = rig(gpus=1, sysfs=True)
    off.plant.set_rapl_enabled(0, False)
    off.start()
    assert "switched off" in off.warden.devices[1].power_limit.why
    assert off.warden.devices[2].power_limit.writable


def test_a_budget_counts_packages_at_their_limits_and_lowers_before_it_raises(host: Any) -> None:
    gpu = host.warden.devices[0].uuid
    host.warden.budget_set(Budget(1700, 1000, {gpu: 100, CPU0: 150, CPU1: 150}))
    assert limits_uw(host, 0) == limits_uw(host, 1) == [150_000_000, 150_000_000]
    with pytest.raises(RefusedError, match="above the envelope of 700 W"):
        host.warden.lease({gpu: 300_000, CPU0: 201_000, CPU1: 200_000}, 3, host.now_ns)
    host.warden.lease({gpu: 400_000, CPU0: 150_000, CPU1: 150_000}, 9, host.now_ns)
    host.step(2.0)
    assert host.limits_w() == [400]
    host.warden.lease({gpu: 200_000, CPU0: 300_000, CPU1: 200_000}, 9, host.now_ns)
    host.step(2.0)
    assert (host.limits_w(), limits_uw(host, 0)) == ([200], [250_000_000, 300_000_000])


def test_unless_a_budget_says_so_a_package_counts_in_full_and_is_not_slowed(host: Any) -> None:
    gpu = host.warden.devices[0].uuid
    with pytest.raises(RefusedError, match="700 W of safe caps"):
        host.warden.budget_set(Budget(699, 0, {gpu: 100}))
    host.warden.budget_set(Budget(700, 0, {gpu: 100}))
    assert limits_uw(host, 0) == [250_000_000, 300_000_000]


def test_a_package_that_was_capped_when_the_budget_was_made_counts_in_full_when_it_can_t_be_any_more(host: Any) -> None:
    gpu = host.warden.devices[0].uuid
    host.warden.budget_set(Budget(700, 0, {gpu: 100, CPU0: 150, CPU1: 150}))
    host.plant.set_rapl_enabled(0, False)
    host.start()
    with pytest.raises(RefusedError, match="above the envelope"):
        host.warden.lease({gpu: 300_000, CPU1: 150_000}, 3, host.now_ns)
    host.warden.lease({gpu: 250_000, CPU1: 150_000}, 3, host.now_ns)
    host.step(2.0)
    assert host.limits_w() == [250]


def test_packages_that_a_budget_counts_are_reserved_while_the_kernel_does_not_show_them(
    host: Any, tmp_path: Path
) -> None:
    gpu = host.warden.devices[0].uuid
    host.warden.budget_set(Budget(700, 0, {gpu: 100, CPU0: 300, CPU1: 300}))
    seen, host.sysfs = host.sysfs, tmp_path / "nothing"
    host.start()
    assert any("not here" in alarm for alarm in host.warden.status(host.now_ns)["alarms"])
    with pytest.raises(RefusedError, match="above the envelope"):
        host.warden.lease({gpu: 150_000}, 3, host.now_ns)
    host.step(2.0)
    assert host.limits_w() == [100]
    host.sysfs = tmp_path / "without_rapl"
    (host.sysfs / "devices/system").mkdir(parents=True)
    (host.sysfs / "devices/system/cpu").symlink_to(seen / "devices/system/cpu")
    host.start()
    assert len(host.warden.devices) == 3
    with pytest.raises(RefusedError, match="above the envelope"):
        host.warden.lease({gpu: 150_000}, 3, host.now_ns)


def test_a_safe_cap_is_kept_though_its_owner_has_raised_a_package_since(host: Any) -> None:
    gpu = host.warden.devices[0].uuid
    host.warden.budget_set(Budget(400, 0, {gpu: 100, CPU0: 150, CPU1: 150}))
    host.die()
    for term in (0, 1):
        host.plant.set_rapl_limit_uw(0, term, 400_000_000)
    host.boot_id = "boot-2"
    host.start()
    host.step(SETTLED_S)
    assert limits_uw(host, 0) == limits_uw(host, 1) == [150_000_000, 150_000_000]


def test_energy_and_power_of_packages_are_in_the_ring(host: Any) -> None:
    reader = RingReader(host.made.dir / "run" / "ring")
    host.step(1.0)
    records = [record for record in reader.drain() if record[2] == 1]
    watts = [value / 1000 for _, value, _, channel, status, _ in records if channel == 1 and status == 0]
    joules = [value / 1000 for _, value, _, channel, status, _ in records if channel == 3 and status == 0]
    limits = {value for _, value, _, channel, status, _ in records if channel == 8 and status == 0}
    reader.close()
    assert 9 <= len(watts) <= 11
    assert all(watt == pytest.approx(65, rel=0.05) for watt in watts)  # two idle packages of 65 W
    assert joules == sorted(joules)
    assert limits == {300_000}
