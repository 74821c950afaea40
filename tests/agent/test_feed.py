from __future__ import annotations

from typing import Any

from eagent.agent.feed import Feed
from eagent.errors import UnavailableError

SECOND_NS = 1_000_000_000


def test_records_are_handed_on_and_all_is_well(host: Any) -> None:
    feed = Feed(lambda: host.ring)
    host.ring.show(0, 200, SECOND_NS)
    host.ring.beat(SECOND_NS)
    assert len(feed.drain(SECOND_NS)) == 147
    assert (feed.problem, feed.silent_ns(SECOND_NS + 5)) == (None, 5)
    assert feed.drain(SECOND_NS) == []


def test_without_a_ring_there_is_nothing_and_a_reason_and_tries_are_few() -> None:
    tries = []

    def refuse() -> Any:
        tries.append(1)
        raise UnavailableError("ring: no sample ring: No such file or directory")

    feed = Feed(refuse)
    for tick in range(16):  # four seconds
        assert feed.drain(tick * SECOND_NS // 4) == []
    assert feed.problem == "ring: no sample ring: No such file or directory"
    assert feed.silent_ns(0) is None
    assert len(tries) == 5  # at 0, 0.25, 0.75, 1.75 and 3.75 s


def test_a_silent_writer_is_told_and_its_ring_is_kept_while_it_is_the_only_one(host: Any) -> None:
    feed = Feed(host._open)
    host.ring.beat(SECOND_NS)
    feed.drain(SECOND_NS)
    feed.drain(2 * SECOND_NS)
    assert not feed.pulse(2 * SECOND_NS).reading.hangs
    feed.drain(3 * SECOND_NS)
    assert [half.hangs for half in feed.pulse(3 * SECOND_NS).halves] == [True, True]
    assert (host.opened, feed.problem) == (1, None)
    host.ring.beat(5 * SECOND_NS)
    feed.drain(5 * SECOND_NS)
    assert [half.hangs for half in feed.pulse(5 * SECOND_NS).halves] == [False, False]


def test_what_is_read_on_its_way_is_a_sign_of_life_of_a_slow_turn(host: Any) -> None:
    feed = Feed(host._open)
    host.ring.beat(SECOND_NS)
    host.ring.show(0, 200, 4 * SECOND_NS)
    feed.drain(5 * SECOND_NS)
    assert feed.silent_ns(5 * SECOND_NS) == SECOND_NS
    assert not feed.pulse(5 * SECOND_NS).reading.hangs


def test_a_silent_ring_is_left_for_the_one_that_replaced_it(host: Any, new_host: Any) -> None:
    feed = Feed(host._open)
    old = host.ring
    old.beat(SECOND_NS)
    feed.drain(SECOND_NS)
    old.gone = True
    feed.drain(2 * SECOND_NS)
    assert host.opened == 1, "a ring with a living writer was left"
    host.rings.append(new_host().ring)
    host.ring.show(0, 200, 4 * SECOND_NS)
    host.ring.beat(4 * SECOND_NS)
    assert len(feed.drain(4 * SECOND_NS)) == 147
    assert (old.closed, feed.problem) == (True, None)
