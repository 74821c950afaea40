from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.holders import HOLDINGS_MAX, KEEP_NS, REACH_NS, Held, Holders
from eagent.agent.lineage import Process
from eagent.model import Channel, Status

S = 1_000_000_000
JOB = Process((10, 1), 1000)
RANK = Process((11, 5), 1000, frozenset({JOB.identity, (1, 0)}))
NEIGHBOUR = Process((12, 5), 1000, frozenset({(1, 0)}))  # of the same user
STRANGER = Process((20, 7), 2000, frozenset({(1, 0)}))
PROCESSES = {process.identity[0]: process for process in (JOB, RANK, NEIGHBOUR, STRANGER)}


class World:
    def __init__(self, *devices: Any) -> None:
        self.now = dict(PROCESSES)
        self.uuids = [device.uuid for device in devices]
        self.holders = Holders(lambda pid, _: self.now.get(pid))
        self.holders.bind(devices)

    def look(self, at_s: float, *pids: int, place: int = 0, told: int | None = None) -> None:
        count = len(pids) if told is None else told
        self.holders.add((int(at_s * S), count, place, Channel.COMPUTE_PROCESSES, Status.OK, -1))
        for pid in pids:
            self.holders.add((int(at_s * S), pid, place, Channel.COMPUTE_PID, Status.OK, -1))

    def held(self, begin_s: float, end_s: float, by: Process = JOB, place: int = 0, **options: Any) -> Held:
        return self.holders.held(self.uuids[place], by, int(begin_s * S), int(end_s * S), **options)


@pytest.fixture
def world(new_device: Any) -> World:
    return World(new_device(0), new_device(1))


def test_a_device_is_held_by_whom_a_look_shows_and_by_his_ancestors(world: World) -> None:
    world.look(10, 11)
    world.look(11, 11)
    assert world.held(10.2, 10.5) == Held(held=True)
    assert world.held(10.2, 10.5, by=RANK) == Held(held=True)
    assert world.held(10.2, 10.5, by=NEIGHBOUR) == Held(held=False, others=1)
    assert world.held(10.2, 10.5, place=1) == Held(held=False)
    assert world.held(1, 2) == Held(held=False)


def test_between_two_looks_it_may_have_come_or_gone_and_counts_as_there(world: World) -> None:
    for at_s, pids in ((10, ()), (11, (11,)), (12, ())):
        world.look(at_s, *pids)
    assert world.held(10.1, 10.9).held
    assert world.held(11.1, 11.9).held
    assert not world.held(9.1, 9.9).held
    assert not world.held(12.1, 12.9).held


def test_between_two_looks_it_counts_as_gone_where_a_stranger_came(world: World) -> None:
    for at_s, pids in ((10, (20,)), (11, (11,)), (12, (20,))):
        world.look(at_s, *pids)
    assert not world.held(10.1, 10.9).held
    assert not world.held(11.1, 11.9).held
    assert world.held(10.9, 11.1).held
    assert world.held(10.1, 10.9, by=Process((1, 0), 0), of_all_users=True).held, "root sees all"


def test_a_long_silence_between_looks_is_nobodys(world: World) -> None:
    for at_s, pids in ((10, ()), (100, (11,)), (200, ())):
        world.look(at_s, *pids)
    assert not world.held(50, 60).held
    assert world.held(98, 99).held
    assert not world.held(150, 160).held


def test_others_are_counted_and_the_callers_own_are_not(world: World) -> None:
    world.look(10, 11, 10, 12, 20)
    world.look(11, 11, 10, 12, 20)
    assert world.held(10.2, 10.8) == Held(held=True, others=2)
    assert world.held(10.2, 10.8, by=STRANGER) == Held(held=True, others=3)


def test_a_descendant_of_another_user_is_only_roots_to_see(world: World) -> None:
    world.now[11] = Process((11, 5), 2000, frozenset({JOB.identity}))
    world.look(10, 11)
    assert not world.held(9.9, 10.1).held
    assert world.held(9.9, 10.1, of_all_users=True).held


def test_a_pid_that_is_used_again_is_another(world: World) -> None:
    world.look(10, 11)
    world.now[11] = Process((11, 999), 1000, frozenset({(1, 0)}))
    world.look(11, 11)
    assert world.held(10.9, 11.1) == Held(held=True, others=1), "the first may have gone at any time until then"
    world.look(12, 11)
    assert world.held(11.5, 12) == Held(held=False, others=1)


def test_a_process_that_cannot_be_looked_up_is_a_stranger(world: World) -> None:
    world.look(10, 99)
    assert world.held(9.9, 10.1) == Held(held=False, others=1)


def test_pids_that_the_warden_does_not_tell_are_not_nobody(world: World) -> None:
    world.look(10, told=2)
    assert not world.holders.told(world.uuids[0])
    world.look(11, told=2)
    assert world.holders.looked_ns(world.uuids[0]) >= 10 * S
    assert not world.holders.told(world.uuids[0])
    world.look(12, told=0)
    assert world.holders.told(world.uuids[0])
    world.look(13, 11, 12)
    assert world.holders.told(world.uuids[0])


def test_a_look_is_whole_when_its_last_pid_has_come(world: World) -> None:
    world.look(10, 11)
    world.look(11, 11, told=2)
    assert world.holders.looked_ns(world.uuids[0]) == 10 * S
    world.holders.add((11 * S, 12, 0, Channel.COMPUTE_PID, Status.OK, -1))
    assert world.holders.looked_ns(world.uuids[0]) == 11 * S


def test_a_refusal_is_a_look_that_shows_nothing(world: World) -> None:
    world.look(10, 11)
    world.holders.add((11 * S, 0, 0, Channel.COMPUTE_PROCESSES, Status.NOT_SUPPORTED, -1))
    assert not world.holders.told(world.uuids[0])
    assert world.holders.looked_ns(world.uuids[0]) == 11 * S
    assert world.held(9.9, 10.1).held


def test_the_past_goes_with_the_device_to_another_place(world: World, new_device: Any) -> None:
    world.look(10, 11)
    world.holders.bind([new_device(1), new_device(0)])
    world.look(11, 20, place=0)
    assert world.held(9.9, 10.1).held
    assert not world.held(10.9, 11.1, by=STRANGER).held
    assert world.held(10.9, 11.1, by=STRANGER, place=1).held


def test_records_that_come_again_and_of_unknown_devices_change_nothing(world: World) -> None:
    world.look(10, 11)
    world.look(10, 11)
    world.look(9)
    world.look(11, 12, place=7)
    assert world.held(9.9, 10.1) == Held(held=True)


def test_history_is_bounded_and_knows_how_far_it_reaches(world: World) -> None:
    for n in range(HOLDINGS_MAX + 100):
        world.now[1000 + n] = Process((1000 + n, n), 1000)
        world.look(10 + n, 1000 + n)
    assert world.holders.since_ns(world.uuids[0]) > 10 * S
    world.look(10 + HOLDINGS_MAX + 100 + KEEP_NS / S)
    assert not world.held(0, 10**6, by=Process((1, 1), 1000)).others


LOOKS = st.lists(st.tuples(st.integers(200, 1500), st.sets(st.sampled_from([10, 11, 12, 20]))), min_size=1, max_size=12)


@given(LOOKS, st.integers(0, 12_000), st.integers(0, 3000))
def test_nobody_gets_a_window_near_which_no_look_showed_his_own(
    new_device: Any, looks: list[tuple[int, set[int]]], begin_ms: int, long_ms: int
) -> None:
    world, at_ms, shown = World(new_device(0)), 0, []
    for apart_ms, pids in looks:
        at_ms += apart_ms
        world.look(at_ms / 1000, *pids)
        shown.append((at_ms, pids))
    end_ms, reach_ms = begin_ms + long_ms, REACH_NS // 1_000_000
    for caller, own in ((JOB, {10, 11}), (STRANGER, {20}), (NEIGHBOUR, {12})):
        held = world.held(begin_ms / 1000, end_ms / 1000, by=caller).held
        inside = any(begin_ms <= at <= end_ms and pids & own for at, pids in shown)
        near = any(begin_ms - reach_ms <= at <= end_ms + reach_ms and pids & own for at, pids in shown)
        assert held or not inside
        assert near or not held
