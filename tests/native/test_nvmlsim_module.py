"""A simulated host tells the driver's life where a real kernel does: by the directory of the driver's module."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from eagent.paths import Paths
from eagent.sim._faults import Faults


def life(host: Any, opens: bool = True) -> str:
    if opens:
        host.nvml("tell(code(nvmlInit))", initialise=False)
    return Paths(run=host.dir, state=host.dir, sysfs=host.sysfs).driver_life()


def reload(host: Any) -> None:
    with closing(Faults(host.plant)) as faults:
        faults.inject("driver-reload")


@pytest.mark.parametrize("maker", ["sim_host", "served_host"])
def test_each_loading_of_the_driver_is_a_life_of_its_own(request: pytest.FixtureRequest, maker: str) -> None:
    host = request.getfixturevalue(maker)(gpus=1)
    assert life(host, opens=False) == "", "nobody has had to do with it"
    lives = [life(host)]
    assert lives == [life(host)]
    for _ in range(3):
        reload(host)
        lives.append(life(host))
    assert len(set(lives)) == 4, "and no number comes again"


def test_who_was_bound_to_an_earlier_life_shows_nothing_over_a_later_one(sim_host: Any) -> None:
    host = sim_host(gpus=1)
    first = life(host)
    reload(host)
    shown = host.dir / "driver" / "nvidia"
    assert life(host) != first
    later = shown.readlink()
    shown.unlink()
    shown.symlink_to("7.0")  # of a boot that is to come
    (host.dir / "driver" / "7.0").mkdir()
    life(host)
    assert str(shown.readlink()) == "7.0"
    assert str(later) == "1.1"


def test_who_may_not_show_it_has_the_driver_all_the_same(sim_host: Any) -> None:
    host = sim_host(gpus=1)
    (host.dir / "driver").rmdir()
    assert host.nvml("tell(code(nvmlInit))", initialise=False) == 0
    assert life(host, opens=False) == ""
