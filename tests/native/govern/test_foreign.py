"""What becomes of a limit that somebody else writes, by the order in which the driver saw the writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MakeBench = Callable[..., Any]
SAFE_W = 300.0


def governed(
    bench: MakeBench, *lease_w: float, policy: str = "respect", envelope_w: float = 0.0, **options: Any
) -> Any:
    """A host whose devices are at their leased limits."""
    host = bench(lease_w, **options)
    host.on_foreign(policy)
    host.safe_w, host.envelope_w, host.lease_w = [SAFE_W] * len(lease_w), envelope_w, list(lease_w)
    host.step()
    return host


def test_a_respected_value_is_left_alone_whatever_is_leased(bench: MakeBench) -> None:
    host = governed(bench, 400, 400)
    host.intrude(0, 500)
    for lease_w in ([400, 400], [250, 400], [650, 400]):
        host.lease_w = lease_w
        host.step(3)
    host.lease_w = None
    host.step(3)
    assert (host.limits_w(), host.fate(0), host.foreign(0)) == ([500, SAFE_W], "stands", 1)
    assert [write.device for write in host.writes()] == [1]


def test_it_is_ours_again_when_it_is_moved_back_to_where_we_had_it(bench: MakeBench) -> None:
    host = governed(bench, 400)
    host.intrude(0, 500)
    host.step(1)
    host.intrude(0, 520)
    host.step(1)
    assert (host.foreign(0), host.fate(0), host.limits_w()) == (2, "stands", [520])
    host.intrude(0, 400)
    host.lease_w = [350]
    host.step(1)
    assert (host.foreign(0), host.fate(0), host.limits_w()) == (2, "moved back", [350])
    host.intrude(0, 360)
    host.step(1)
    assert (host.foreign(0), host.fate(0), host.limits_w()) == (3, "stands", [360])


def test_it_is_ours_again_when_it_is_taken_back(bench: MakeBench) -> None:
    host = governed(bench, 400)
    host.intrude(0, 405)
    host.step(1)
    host.take_back(0)
    host.step()
    assert (host.fate(0), host.limits_w(), host.held_w()) == ("taken back", [400], [400])
    host.take_back(0)  # of what does not stand: nothing
    host.step()
    assert host.fate(0) == "taken back"


def test_a_reported_value_stands_until_our_own_wish_is_another_one(bench: MakeBench) -> None:
    host = governed(bench, 400, policy="report")
    host.intrude(0, 500)
    host.step(5)
    assert (host.limits_w(), host.fate(0)) == ([500], "stands")
    host.lease_w = [410]
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([410], "taken back")


def test_an_overruled_value_is_written_over_in_the_next_turn(bench: MakeBench) -> None:
    host = governed(bench, 400, policy="overrule")
    host.intrude(0, 500)
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([400], "overruled")


def test_what_a_foreign_lowering_frees_others_may_use(bench: MakeBench) -> None:
    host = governed(bench, 500, 500, envelope_w=1000)
    host.intrude(0, 350)
    host.lease_w = [350, 650]
    host.step(1.1)
    assert (host.limits_w(), host.fate(0)) == ([350, 650], "stands")


def test_a_lease_that_does_not_count_a_foreign_raise_is_scaled_around_it(bench: MakeBench) -> None:
    host = governed(bench, 400, 400, 400, envelope_w=1200)
    host.intrude(0, 500)
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([500, 350, 350], "stands")
    assert [write.device for write in host.writes()] == [1, 2]  # never the foreign one


def test_a_foreign_raise_that_the_others_can_t_make_room_for_is_overruled(bench: MakeBench) -> None:
    host = governed(bench, 400, 400, 400, envelope_w=1200)
    host.intrude(0, 601)  # two safe caps and this are more than there is
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([400, 400, 400], "overruled")


def test_of_two_raises_the_one_farthest_above_its_safe_cap_is_overruled(bench: MakeBench) -> None:
    host = governed(bench, 400, 400, 400, envelope_w=1200)
    host.intrude(0, 450)
    host.intrude(1, 500)
    host.step()
    assert (host.fate(0), host.fate(1)) == ("stands", "overruled")
    assert (host.limits_w()[0], math.fsum(host.limits_w()) <= 1200) == (450, True)


def test_a_foreign_raise_without_a_lease_stands_if_the_safe_caps_leave_room(bench: MakeBench) -> None:
    host = governed(bench, 400, 400, envelope_w=1000)
    host.lease_w = None
    host.step()
    host.intrude(0, 700)
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([700, SAFE_W], "stands")
    host.intrude(0, 300)
    host.step()
    host.intrude(0, 701)
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([SAFE_W, SAFE_W], "overruled")


def test_an_envelope_that_shrinks_below_what_stands_overrules_it(bench: MakeBench) -> None:
    host = governed(bench, 400, 400, envelope_w=1000)
    host.intrude(0, 650)
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([650, 350], "stands")
    host.envelope_w = 800
    host.step()
    assert (host.limits_w(), host.fate(0)) == ([400, 400], "overruled")


LIMIT_W = st.integers(200, 700)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_others_write_the_sum_is_within_the_envelope_one_turn_later_and_theirs_is_not_written(
    bench: MakeBench, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 6))
    vector = st.lists(LIMIT_W, min_size=count, max_size=count)
    host = bench(data.draw(vector))
    host.on_foreign(data.draw(st.sampled_from(["respect", "report", "overrule"])))
    host.safe_w = [200] * count
    host.envelope_w = data.draw(st.integers(200 * count, 700 * count))
    host.lease_w = data.draw(vector)
    host.step()
    assert math.fsum(host.limits_w()) <= host.envelope_w + 1e-6
    seen = len(host.writes())
    for _ in range(data.draw(st.integers(1, 12))):
        act = data.draw(st.sampled_from(["lease", "end", "envelope", "intrude", "intrude", "take back", "wait"]))
        device = data.draw(st.integers(0, count - 1))
        if act == "lease":
            host.lease_w = data.draw(vector)
        elif act == "end":
            host.lease_w = None
        elif act == "envelope":
            host.envelope_w = data.draw(st.integers(200 * count, 700 * count))
        elif act == "intrude":
            host.intrude(device, data.draw(LIMIT_W))
        elif act == "take back":
            host.take_back(device)
        stood = [host.fate(each) == "stands" for each in range(count)]
        host.step(data.draw(st.sampled_from([0.05, 0.5, 2.0])))
        assert math.fsum(host.limits_w()) <= host.envelope_w + 1e-6
        written = {write.device for write in host.writes()[seen:]}
        still = {each for each in range(count) if stood[each] and host.fate(each) == "stands"}
        assert not written & still
        seen = len(host.writes())
