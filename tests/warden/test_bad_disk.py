"""A warden whose journal can't be written, in virtual time: what is held goes back, and only a budget is still kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.errors import RefusedError
from eagent.model import Device

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]


RETRIED_S = 2.4  # in this time what the disk refused is tried again


def live(host: Any, seconds: float) -> None:
    for _ in range(round(seconds / 0.2)):
        host.step(0.2)
        host.warden.tick(host.now_ns)


def knobs(device: Device) -> tuple[bool, bool]:
    return device.power_limit.writable, device.clock.writable


def alarms(host: Any) -> list[str]:
    return list(host.warden.status(host.now_ns)["alarms"])


class Disk:
    """A journal's directory that takes nothing, also from root, until it is mended."""

    def __init__(self, host: Any) -> None:
        self.directory = host.state / "journal"

    def fail(self) -> None:
        self.directory.rename(self.directory.with_name("away"))
        self.directory.write_text("a file is in the way")

    def mend(self) -> None:
        self.directory.unlink()
        self.directory.with_name("away").rename(self.directory)


def test_after_a_boot_onto_a_bad_disk_a_budget_is_kept_and_nothing_else_is_set(rig: MakeRig) -> None:
    host = rig()
    disk = Disk(host)
    host.warden.budget_set(host.budget(1000))
    host.die()
    for gpu in range(4):
        host.plant.set_power_limit(gpu, 400.0)  # the driver's default after the boot
    host.plant.set_power_limit(1, 380.0)  # and what somebody sets then
    host.boot_id, host.meanwhile = "boot-2", disk.fail
    host.start()
    assert host.limits_w() == [150] * 4
    assert sum("the value is in memory alone" in alarm for alarm in host.warden.status(host.now_ns)["alarms"]) == 4
    with pytest.raises(RefusedError, match="the journal can't be written, so nothing is set but"):
        host.lease(300, 300, 200, 200)

    disk.mend()
    host.warden.tick(host.now_ns)
    assert [alarm for alarm in alarms(host) if "exposure" not in alarm] == []
    host.lease(300, 300, 200, 200)
    host.meanwhile = lambda: None
    host.start()
    host.warden.budget_clear()
    host.step()
    assert host.limits_w() == [400, 380, 400, 400]


def test_a_budget_that_is_cleared_on_a_bad_disk_goes_back_to_what_is_remembered(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig()
    disk = Disk(host)
    host.warden.budget_set(host.budget(1000))
    host.die()
    host.boot_id, host.meanwhile = "boot-2", disk.fail
    for gpu in range(4):
        host.plant.set_power_limit(gpu, 390.0)
    host.start()
    host.warden.budget_clear()
    host.step()
    assert host.limits_w() == [390] * 4
    host.warden.tick(host.now_ns)
    assert host.warden.standing() == ()
    disk.mend()
    assert journalled(host.state) == 4  # of the old boot: void


def test_without_a_budget_a_bad_disk_means_that_nothing_is_written_at_all(rig: MakeRig) -> None:
    host = rig()
    host.meanwhile = Disk(host).fail
    writes = len(host.plant.limit_log())
    host.start()
    assert len(host.plant.limit_log()) == writes
    assert host.warden.devices[0].power_limit.why == "the journal can't be written: Not a directory"


def test_a_clock_that_can_t_be_leased_on_a_bad_disk_goes_back_all_the_same(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig(gpus=1)
    disk = Disk(host)
    host.warden.lease({}, 3, host.now_ns, {host.warden.devices[0].uuid: 705})
    host.step()
    assert host.plant.view(0)["locked_max_mhz"] == 705
    host.meanwhile = disk.fail
    host.start()
    host.step(1.1)
    assert host.plant.view(0)["locked_max_mhz"] == 0
    assert not host.warden.devices[0].clock.writable
    assert any("is done with, and can't be removed" in alarm for alarm in host.warden.status(host.now_ns)["alarms"])
    disk.mend()
    live(host, RETRIED_S)
    assert journalled(host.state) == 0
    assert host.warden.devices[0].clock.writable
    assert host.warden.status(host.now_ns)["alarms"] == []


def test_what_a_start_on_a_bad_disk_left_alone_comes_back_by_itself(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(sysfs=True)
    disk = Disk(host)
    host.meanwhile = disk.fail
    host.start()
    assert [knobs(device) for device in host.warden.devices] == [(False, False)] * len(host.warden.devices)
    assert any("the journal can't be written (Not a directory)" in alarm for alarm in alarms(host))
    disk.mend()
    live(host, RETRIED_S)
    assert [knobs(device) for device in host.warden.devices] == [(True, True)] * len(host.warden.devices)
    live(host, 1)
    assert journalled(host.state) == 0, "the tries have left nothing"
    assert alarms(host) == []
    host.warden.lease({host.warden.devices[0].uuid: 250_000}, 3, host.now_ns, {host.warden.devices[1].uuid: 705})
    host.step(1.1)
    assert (host.limits_w()[0], host.plant.view(1)["locked_max_mhz"]) == (250, 705)


def test_a_try_writes_nothing_but_what_is_there_and_only_after_its_entry(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(gpus=1)
    disk = Disk(host)
    host.meanwhile = disk.fail
    host.start()
    host.plant.set_power_limit(0, 380.0)  # somebody sets it meanwhile
    disk.mend()
    before = len(host.plant.limit_log())
    live(host, RETRIED_S)
    assert [(old_w, new_w) for _, _, old_w, new_w, _ in host.plant.limit_log()[before:]] == [(380, 380)]
    live(host, 1)
    assert (host.limits_w(), journalled(host.state)) == ([380], 0)
    host.lease(250)
    host.step()
    host.warden.release()
    live(host, 1)
    assert host.limits_w() == [380]


def test_what_has_no_entry_is_told_as_observed_while_the_disk_takes_none_and_what_has_one_is_held(rig: MakeRig) -> None:
    host = rig(gpus=2)
    disk = Disk(host)
    first, second = (device.uuid for device in host.warden.devices)
    host.warden.lease({first: 250_000}, 30, host.now_ns)
    live(host, 1)
    disk.fail()
    with pytest.raises(RefusedError, match="the journal can't be written"):
        host.warden.lease({first: 250_000, second: 250_000}, 30, host.now_ns)
    live(host, 0.2)
    told = host.warden.status(host.now_ns)
    assert [row["writable"] for row in told["knobs"]] == [True, False]
    assert told["knobs"][1]["why"] == "the journal can't be written: Not a directory"
    host.warden.lease({first: 240_000}, 30, host.now_ns)  # it is in the journal, and held on
    live(host, 1)
    assert host.limits_w() == [240, 400]
    disk.mend()
    live(host, RETRIED_S)
    host.warden.lease({first: 250_000, second: 250_000}, 30, host.now_ns)
    live(host, 3)
    assert host.limits_w() == [250, 250]
