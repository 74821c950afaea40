"""While a host's driver hangs nobody can see its limits lowered, so none of its watts go to another host."""

from __future__ import annotations

import time

from eagent.sim._faults import Faults
from tests.integration.rack import RESERVE_W, Rack, until
from tests.integration.test_mesh import ALL_W, MOVED_S, margin_w, rack

__all__ = ["rack"]

HUNG_S = 10.0


def test_a_host_whose_driver_hangs_gives_no_watts_away_before_it_answers(rack: Rack) -> None:
    n1, n2, n3 = rack.members.values()
    began_s = time.monotonic()
    n1.work()
    assert until(lambda: n1.rights_w() > ALL_W, MOVED_S), rack.told()
    assert until(lambda: sum(n1.limits_now_w()) > ALL_W - RESERVE_W, MOVED_S), rack.told()
    held_w = n1.limits_now_w()
    with Faults(n1.made.plant) as faults:
        faults.inject("hung-calls")
        n1.rest()  # which it can't see
        n2.work()
        assert until(lambda: n3.rights_w() <= RESERVE_W + 60, MOVED_S), rack.told()
        hung_s = time.monotonic()
        while time.monotonic() < hung_s + HUNG_S:
            assert n2.rights_w() < ALL_W, rack.told()
        assert n1.limits_now_w() == held_w
        assert margin_w(rack, began_s) >= 0, rack.sums_w(began_s)
        faults.clear()
    assert until(lambda: n2.rights_w() > ALL_W, MOVED_S), rack.told()
    assert margin_w(rack, began_s) >= 0, rack.sums_w(began_s)
