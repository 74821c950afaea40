"""CPU packages under a warden on plain files, for what the kernel's attributes do when CPUs come and go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.warden import durable

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]

CPU0 = "CPU-0"
TOP_KHZ, OURS_KHZ = 2_500_000, 1_500_000
CPUS = "devices/system/cpu"


class Tree:
    """A /sys of plain files: one package, a policy for each CPU."""

    def __init__(self, root: Path, cpus: int) -> None:
        self.root = root
        for number in range(cpus):
            self.put(f"cpu{number}/topology/physical_package_id", "0")
            for name, text in {
                "affected_cpus": str(number),
                "scaling_driver": "intel_pstate",
                "scaling_available_governors": "performance powersave",
                "scaling_governor": "powersave",
                "scaling_min_freq": "800000",
                "scaling_max_freq": str(TOP_KHZ),
                "cpuinfo_min_freq": "800000",
                "cpuinfo_max_freq": str(TOP_KHZ),
                "energy_performance_available_preferences": "performance powersaving",
                "energy_performance_preference": "performance",
            }.items():
                self.put(f"cpufreq/policy{number}/{name}", text)

    def put(self, path: str, text: str) -> None:
        target = self.root / CPUS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def ceiling(self, number: int) -> Path:
        return self.root / CPUS / f"cpufreq/policy{number}/scaling_max_freq"

    def offline(self, number: int) -> None:
        """Neither read nor written any more, as by EBUSY, and the kernel keeps what was asked for."""
        self.put(f"cpufreq/policy{number}/affected_cpus", "")
        self.ceiling(number).rename(self.ceiling(number).with_name("kept"))
        self.ceiling(number).mkdir()

    def online(self, number: int) -> None:
        self.put(f"cpufreq/policy{number}/affected_cpus", str(number))
        self.ceiling(number).rmdir()
        self.ceiling(number).with_name("kept").rename(self.ceiling(number))


@pytest.fixture
def host(rig: MakeRig, tmp_path: Path) -> Any:
    made = rig(gpus=1)
    made.tree = Tree(tmp_path / "sys", cpus=2)
    made.sysfs = made.tree.root
    made.start()
    return made


def ceilings_khz(host: Any, *numbers: int) -> list[int]:
    return [int(host.tree.ceiling(number).read_text()) for number in numbers]


def test_a_cpu_that_went_off_line_under_a_lease_is_put_back_when_it_returns(host: Any, journalled: Journalled) -> None:
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500})
    host.step(1.0)
    assert ceilings_khz(host, 0, 1) == [OURS_KHZ, OURS_KHZ]
    host.tree.offline(1)
    host.step(4.0)
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 1
    host.tree.online(1)
    host.step(2.0)
    host.warden.tick(host.now_ns)
    assert (ceilings_khz(host, 0, 1), journalled(host.state)) == ([TOP_KHZ, TOP_KHZ], 0)


def test_so_it_is_when_the_warden_was_killed_while_the_cpu_was_away(host: Any, journalled: Journalled) -> None:
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500})
    host.step(1.0)
    host.tree.offline(1)
    host.start()
    host.step(2.0)
    host.warden.tick(host.now_ns)
    assert (ceilings_khz(host, 0), journalled(host.state)) == ([TOP_KHZ], 1)
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1200})  # and it costs the others nothing
    host.step(1.0)
    assert ceilings_khz(host, 0) == [1_200_000]
    host.tree.online(1)
    host.step(5.0)
    host.warden.tick(host.now_ns)
    assert (ceilings_khz(host, 0, 1), journalled(host.state)) == ([TOP_KHZ, TOP_KHZ], 0)


def test_a_cpu_that_was_taken_out_for_good_keeps_no_entry(host: Any, journalled: Journalled) -> None:
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500})
    host.step(1.0)
    host.tree.offline(1)
    host.tree.ceiling(1).rmdir()
    host.start()
    host.step(2.0)
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_a_cpu_off_line_costs_its_package_no_lease(host: Any) -> None:
    host.tree.offline(1)
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500})
    host.step(1.0)
    assert ceilings_khz(host, 0) == [OURS_KHZ]
    host.tree.online(1)
    host.step(1.0)
    assert ceilings_khz(host, 1) == [TOP_KHZ]  # where it is to go back to is not in the journal


def test_a_preference_that_can_t_be_set_at_a_start_goes_back_when_it_can(host: Any, journalled: Journalled) -> None:
    preference = host.tree.ceiling(0).with_name("energy_performance_preference")
    host.warden.lease({}, 3, host.now_ns, {}, {CPU0: "powersaving"})
    host.step(1.0)
    assert preference.read_text().startswith("powersaving")
    for number in (0, 1):
        host.tree.put(f"cpufreq/policy{number}/scaling_governor", "performance")
    host.start()
    assert not host.warden.devices[1].preference.writable
    host.step(2.0)
    host.warden.tick(host.now_ns)
    assert preference.read_text().startswith("performance")
    assert journalled(host.state) == 0


@pytest.mark.parametrize("text", ["9" * 40, "9" * 5000, ""])
def test_an_entry_that_no_attribute_can_hold_costs_its_knob_and_not_the_warden(host: Any, text: str) -> None:
    host.warden.lease({}, 3, host.now_ns, {CPU0: 1500})
    path = host.state / "journal" / f"{CPU0}.cpu_clock.json"
    entry = durable.load(path)
    assert entry is not None
    durable.store(path, {**entry, "texts": dict.fromkeys(entry["texts"], text)})
    host.start()
    assert "not a journal entry" in host.warden.devices[1].clock.why


def test_more_policies_than_there_is_room_for_cost_their_knobs_and_not_the_warden(rig: MakeRig, tmp_path: Path) -> None:
    made = rig(gpus=1)
    made.sysfs = Tree(tmp_path / ("x" * 150), cpus=1).root
    made.start()
    assert "longer than 159 bytes" in made.warden.devices[1].clock.why
    made.step()
    assert made.warden.status(made.now_ns)["clocks"][1]["state"] == "unwritable"


def test_a_limit_beyond_all_numbers_costs_its_knob_and_not_the_warden(host: Any) -> None:
    place = host.tree.root / "class/powercap/intel-rapl:0"
    place.mkdir(parents=True)
    for name, text in {
        "name": "package-0",
        "energy_uj": "5",
        "max_energy_range_uj": "1000000000",
        "constraint_0_name": "long_term",
        "constraint_0_power_limit_uw": "18446744073709551615",
    }.items():
        (place / name).write_text(text)
    host.start()
    assert host.warden.devices[1].power_limit.why == "its power limits can't be read"
    (place / "max_energy_range_uj").write_text("9" * 30)
    host.start()
    assert len(host.warden.devices) == 1
    assert any("cpu0 is left alone" in alarm for alarm in host.warden.status(host.now_ns)["alarms"])


def test_two_sockets_of_192_cores_with_two_threads_each_have_room(rig: MakeRig, tmp_path: Path) -> None:
    made = rig(gpus=1)
    made.sysfs = Tree(tmp_path / "sys", cpus=768).root
    made.start()
    assert made.warden.devices[1].clock.writable
    assert made.warden.devices[1].preference.writable
