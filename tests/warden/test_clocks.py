"""GPU clock ceilings in virtual time: what the simulated driver holds is the truth that eagent can't read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from eagent.errors import RefusedError

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]


def locks(host: Any) -> list[int]:
    """The ceilings as the driver holds them; 0: not locked."""
    return [host.plant.view(gpu)["locked_max_mhz"] for gpu in range(host.gpus)]


def lock(host: Any, *clocks_mhz: int | None, ttl_s: float = 3.0) -> None:
    named = zip((device.uuid for device in host.warden.devices), clocks_mhz, strict=True)
    host.warden.lease({}, ttl_s, host.now_ns, {uuid: clock for uuid, clock in named if clock})


def test_a_leased_ceiling_is_set_and_reset_when_the_lease_ends(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(gpus=2)
    lock(host, 705, None)
    assert journalled(host.state) == 1  # before the loop writes
    host.step()
    assert locks(host) == [705, 0]
    assert host.plant.view(0)["locked_min_mhz"] == 210
    host.step(3.1)
    assert locks(host) == [0, 0]
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_a_ceiling_whose_warden_was_killed_is_reset_by_the_next(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(gpus=2)
    lock(host, 705, 705)
    host.step()
    host.start()
    assert locks(host) == [0, 0]
    assert journalled(host.state) == 0


def test_a_declared_baseline_is_what_ceilings_go_back_to(rig: MakeRig) -> None:
    host = rig(gpus=1, clock_baseline_mhz=1300)  # not one of its clocks: the next below is
    lock(host, 705)
    host.step()
    host.step(3.1)
    assert locks(host) == [1290]
    assert host.warden.status(host.now_ns)["clocks"][0]["baseline_mhz"] == 1290


def test_clocks_are_written_at_most_once_a_second(rig: MakeRig) -> None:
    host = rig(gpus=1)
    for clock_mhz in (705, 1005, 1410):
        lock(host, clock_mhz)
        host.step(0.4)
    host.step(1.0)
    times = [at_s for at_s, *_ in host.plant.lock_log()]
    assert len(times) >= 2
    assert min(after - before for before, after in pairwise(times)) >= 0.99


def test_a_device_without_a_ceiling_in_the_lease_is_given_back(rig: MakeRig) -> None:
    host = rig(gpus=2)
    lock(host, 705, 705)
    host.step(1.1)
    lock(host, None, 705)
    host.step()
    assert locks(host) == [0, 705]


def test_a_lease_of_clocks_alone_leaves_power_limits_to_their_owner(rig: MakeRig) -> None:
    host = rig(gpus=1)
    lock(host, 705)
    host.step()
    host.plant.set_power_limit(0, 300.0)
    host.step(1.1)
    assert host.limits_w() == [300]


def test_ceilings_are_retired_also_while_a_budget_stands(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(gpus=1)
    host.warden.budget_set(host.budget(300))
    host.lease(300)
    host.step()
    host.warden.lease({host.warden.devices[0].uuid: 300_000}, 1, host.now_ns, {host.warden.devices[0].uuid: 705})
    host.step(1.2)
    host.warden.tick(host.now_ns)
    assert locks(host) == [0]
    assert journalled(host.state) == 1  # the power limit's, as long as the budget stands


@pytest.mark.parametrize(
    ("clock_mhz", "line"), [(700, "700 MHz is not one of its clocks, 210 to 1410 MHz"), (0, "0 MHz")]
)
def test_a_clock_that_the_device_does_not_have_is_refused_whole(rig: MakeRig, clock_mhz: int, line: str) -> None:
    host = rig(gpus=2)
    one, two = (device.uuid for device in host.warden.devices)
    with pytest.raises(RefusedError, match=line):
        host.warden.lease({}, 3, host.now_ns, {one: 705, two: clock_mhz})
    host.step()
    assert locks(host) == [0, 0]


def test_without_permission_no_clock_is_locked(rig: MakeRig) -> None:
    host = rig(gpus=1, permission="nobody")
    with pytest.raises(RefusedError, match="Insufficient Permissions"):
        lock(host, 705)
    assert host.plant.lock_log() == []
