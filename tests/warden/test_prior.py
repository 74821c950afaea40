"""What the journal would put back is looked at before it is written: wrong for this host, it is kept and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.sim._faults import Faults
from eagent.warden import durable

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]

SETTLED_S = 1.0
TOP_KHZ = 3_400_000


def entry_file(host: Any, uuid: str, knob: str) -> Path:
    return Path(host.state / "journal" / f"{uuid}.{knob}.json")


def alter(file: Path, **fields: Any) -> None:
    """As no accident would: the checksum fits."""
    content = durable.load(file)
    assert content is not None
    durable.store(file, {**content, **fields})


def kept(host: Any) -> list[str]:
    return list(host.warden.status(host.now_ns)["kept"])


@pytest.mark.parametrize("prior_mw", [99_999, 400_001, 900_000, 0, 2**32 - 1])
def test_a_limit_that_the_gpu_does_not_take_is_never_written(rig: MakeRig, prior_mw: int) -> None:
    host = rig(gpus=2)
    host.lease(250, 250)
    host.step()
    host.die()
    alter(entry_file(host, host.warden.devices[0].uuid, "power_limit"), prior=prior_mw)
    writes = len(host.plant.limit_log())
    host.start()
    host.step(3)
    host.warden.tick(host.now_ns)
    assert host.limits_w() == [250, 400]  # each knob on its own
    assert [gpu for _, gpu, *_ in host.plant.limit_log()[writes:]] == [1, 1]  # its no-op write, and its way back
    (line,) = kept(host)
    assert f"a limit of {prior_mw / 1000:g} W is none that gpu0 takes, 100 to 400 W" in line
    assert "set the knob by hand as it should be, remove the file and restart the warden" in line
    assert line in host.warden.status(host.now_ns)["alarms"]
    assert entry_file(host, host.warden.devices[0].uuid, "power_limit").exists()
    assert host.warden.devices[0].power_limit.writable is False  # nor is anything else written there


@pytest.mark.parametrize("prior_mw", [100_000, 400_000])
def test_the_ends_of_the_range_are_in_it(rig: MakeRig, prior_mw: int) -> None:
    host = rig(gpus=1)
    host.lease(250)
    host.step()
    host.die()
    alter(entry_file(host, host.warden.devices[0].uuid, "power_limit"), prior=prior_mw)
    host.start()
    assert host.limits_w() == [prior_mw / 1000]
    assert kept(host) == []


def test_a_clock_that_the_gpu_does_not_have_is_never_written(rig: MakeRig) -> None:
    host = rig(gpus=1)
    uuid = host.warden.devices[0].uuid
    host.warden.lease({uuid: 250_000}, 3, host.now_ns, {uuid: 705})
    host.step()
    host.die()
    alter(entry_file(host, uuid, "gpu_clock"), prior=1291)
    host.start()
    host.step(3)
    assert (host.plant.view(0)["locked_max_mhz"], host.limits_w()) == (705, [400])
    (line,) = kept(host)
    assert "a clock of 1291 MHz is none that gpu0 has, 210 to 1410 MHz" in line


def test_a_damaged_limit_keeps_no_clock_from_going_back_nor_from_being_leased(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig(gpus=1)
    uuid = host.warden.devices[0].uuid
    host.warden.lease({uuid: 250_000}, 3, host.now_ns, {uuid: 705})
    host.step()
    host.die()
    entry_file(host, uuid, "power_limit").write_text("torn")
    host.start()
    host.step(1.1)
    host.warden.tick(host.now_ns)
    assert host.plant.view(0)["locked_max_mhz"] == 0
    assert journalled(host.state) == 1  # the torn one
    host.warden.lease({}, 3, host.now_ns, {uuid: 705})
    host.step(1.1)
    assert host.plant.view(0)["locked_max_mhz"] == 705


@pytest.mark.parametrize(
    ("knob", "field", "value", "line"),
    [
        ("cpu_clock", "texts", {"policy0/scaling_max_freq": "9900000"}, "9900 MHz for policy0/scaling_max_freq is out"),
        ("cpu_clock", "texts", {"policy0/scaling_max_freq": "fast"}, "'fast' for policy0/scaling_max_freq is no freq"),
        ("cpu_preference", "texts", {"policy0/energy_performance_preference": "thrifty"}, "'thrifty' for policy0"),
        ("power_limit", "texts", {}, "the limits of nothing, and there are intel-rapl:0/constraint_0_power_limit_uw"),
        ("power_limit", "prior", 250_000, "don't agree, or are none"),
    ],
)
def test_what_a_package_can_t_have_had_is_never_written(
    rig: MakeRig, knob: str, field: str, value: Any, line: str
) -> None:
    host = rig(gpus=1, sysfs=True)
    host.warden.lease({"CPU-0": 200_000}, 3, host.now_ns, {"CPU-0": 1500}, {"CPU-0": "power"})
    host.step(SETTLED_S)
    before = host.plant.rapl_view(0)["limit_uw"], host.plant.cpu_view(0)
    host.die()
    alter(entry_file(host, "CPU-0", knob), **{field: value})
    host.start()
    host.step(SETTLED_S)
    host.warden.tick(host.now_ns)
    (told,) = kept(host)
    assert line in told
    after = host.plant.rapl_view(0)["limit_uw"], host.plant.cpu_view(0)
    assert (after[0] == before[0]) is (knob == "power_limit")
    assert (after[1]["max_khz"] == before[1]["max_khz"] < TOP_KHZ) is (knob == "cpu_clock")
    assert (after[1]["epp"] == before[1]["epp"]) is (knob == "cpu_preference")


def test_a_number_is_a_preference_where_the_kernel_has_no_name_for_it(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(gpus=1, sysfs=True)
    host.plant.set_cpu_epp(3, 77)
    host.start()
    host.warden.lease({}, 3, host.now_ns, {}, {"CPU-0": "power"})
    host.step(SETTLED_S)
    host.start()
    host.step(SETTLED_S)
    host.warden.tick(host.now_ns)
    assert host.plant.cpu_view(3)["epp"] == 77
    assert journalled(host.state) == 0


def test_limits_go_back_lower_before_raise(rig: MakeRig) -> None:
    host = rig(gpus=3)
    for gpu, limit_w in enumerate((200.0, 400.0, 150.0)):
        host.plant.set_power_limit(gpu, limit_w)
    host.start()
    host.lease(390, 250, 390, ttl_s=60)
    host.step(3)
    writes = len(host.plant.limit_log())
    host.start()
    moved = [(gpu, new_w) for _, gpu, old_w, new_w, _ in host.plant.limit_log()[writes:] if old_w != new_w]
    assert moved == [(2, 150.0), (0, 200.0), (1, 400.0)]


def test_a_knob_that_fails_keeps_no_other_and_is_tried_until_the_driver_answers(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig(gpus=2)
    host.lease(250, 250)
    host.step()
    with Faults(host.made.plant) as faults:
        faults.inject("no-permission", "gpu", 0, from_s=host.plant.time_s, until_s=host.plant.time_s + 2.5)
    host.warden.release()
    host.step(2)
    host.warden.tick(host.now_ns)
    assert (host.limits_w()[1], journalled(host.state)) == (400, 1)
    assert host.warden.at_rest() is False
    assert [row["state"] for row in host.warden.status(host.now_ns)["knobs"]] == ["restoring", "baseline"]
    host.step(2)
    host.warden.tick(host.now_ns)
    assert (host.limits_w(), journalled(host.state)) == ([400, 400], 0)


@pytest.mark.parametrize(("driver", "back_w"), [("8", 380.0), ("7", 400.0), ("", 400.0)])
def test_what_an_earlier_life_of_the_driver_held_is_not_put_back(rig: MakeRig, driver: str, back_w: float) -> None:
    host = rig(gpus=1, foreign="overrule")
    host.driver = "7"
    host.start()
    host.warden.lease({host.warden.devices[0].uuid: 250_000}, 3, host.now_ns, {host.warden.devices[0].uuid: 705})
    host.step()
    host.die()
    host.plant.set_power_limit(0, 380.0)  # what somebody set after the reload
    locks = len(host.plant.lock_log())
    host.driver = driver
    host.start()
    host.step(2)
    host.warden.tick(host.now_ns)
    assert host.limits_w() == [back_w]
    assert len(host.plant.lock_log()) == (locks if driver == "8" else locks + 1)
    assert host.warden.standing() == ()
