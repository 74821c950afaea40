"""A limit that the driver refused when the warden started is tried again, and taken in when it can be set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eagent.errors import RefusedError
from eagent.sim._faults import Faults
from eagent.warden.probing import MOST_NS

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]


@contextmanager
def refused(host: Any, gpu: int) -> Iterator[Callable[[], None]]:
    """A GPU that lets nobody set anything, under a new warden; gives what ends that."""
    faults = Faults(host.made.plant)
    number = faults.inject("no-permission", "gpu", gpu, (), from_s=host.plant.time_s)
    host.plant.advance(host.plant.time_s + 0.001)
    host.start()
    assert not host.warden.devices[gpu].power_limit.writable
    yield lambda: faults.clear(number)
    faults.close()


def live(host: Any, seconds: float) -> None:
    for _ in range(round(seconds / 0.2)):
        host.step(0.2)
        host.warden.tick(host.now_ns)


def test_a_limit_that_was_refused_at_the_start_is_taken_in_when_it_may_be_set(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig(gpus=2)
    with refused(host, 1) as permit:
        assert "Insufficient Permissions" in host.warden.devices[1].power_limit.why
        permit()
        live(host, 3)
        assert [row["writable"] for row in host.warden.status(host.now_ns)["knobs"]] == [True, True]
        assert [row["writable"] for row in host.warden.status(host.now_ns)["clocks"]] == [True, True]
        live(host, 1)
        assert journalled(host.state) == 0
        host.lease(300, 300)
        live(host, 1)
        assert host.limits_w() == [300, 300]


def test_under_a_budget_what_may_be_set_again_comes_from_its_greatest_into_the_share_and_no_sum_is_above(
    rig: MakeRig,
) -> None:
    host = rig(gpus=2)
    with refused(host, 1) as permit:
        host.warden.budget_set(host.budget(800))  # 150 and 400
        host.warden.lease({host.warden.devices[0].uuid: 400_000}, 60, host.now_ns)
        live(host, 2)
        permit()
        live(host, 5)
        assert host.limits_w() == [400, 150], "who is in no lease goes to its safe cap"
        with pytest.raises(RefusedError, match="names each of the 2 writable devices"):
            host.warden.lease({host.warden.devices[0].uuid: 400_000}, 60, host.now_ns)
        host.lease(300, 400, ttl_s=60)
        live(host, 3)
        assert host.limits_w() == [300, 400]
        assert max(host.sums_w()) <= 800
        host.warden.release()
        host.warden.budget_clear()
        live(host, 1)
        assert host.limits_w() == [400, 400]


def test_a_limit_that_is_refused_for_good_is_tried_ever_more_rarely_and_leaves_nothing(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig(gpus=2)
    assert host.warden.wait_s is None
    with refused(host, 1):
        live(host, 200)
        assert host.warden.wait_s == MOST_NS / 1e9
        assert journalled(host.state) == 0
        assert len(list(host.plant.limit_log())) == 3, "a try at each of the two starts, where one took it"
        assert "Insufficient Permissions" in host.warden.devices[1].power_limit.why


def test_who_ends_tries_nothing_more_and_leaves_no_entry_of_a_try(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(gpus=2)
    with refused(host, 1) as permit:
        live(host, 1)
        permit()
        host.step(10)  # nobody ticks meanwhile: the next try is due
        assert any(_ended(host) for _ in range(50))
        assert journalled(host.state) == 0
        assert not host.warden.standing()


def test_who_ends_under_a_budget_leaves_nothing_above_its_safe_cap_that_may_be_set_again(rig: MakeRig) -> None:
    host = rig(gpus=2)
    host.warden.budget_set(host.budget(800))
    host.lease(300, 300)
    live(host, 1)
    with refused(host, 1) as permit:
        permit()
        assert any(_ended(host) for _ in range(50))
        assert host.limits_w() == [150, 150]


def _ended(host: Any) -> bool:
    host.step(0.1)
    return bool(host.warden.ended(host.now_ns))
