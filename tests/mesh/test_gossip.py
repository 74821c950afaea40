import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.mesh import codec, gossip
from eagent.mesh.effects import Send
from eagent.mesh.epoch import Claim, Stage, Standing
from eagent.mesh.gossip import DIGEST_MAX, RECORDS_MAX, REFRESH_NS, TOLD_MAX, Gossip
from eagent.mesh.messages import Delta, Digest, Document
from eagent.mesh.records import Payload, Power, Record

S = 1_000_000_000


def host(name: str, peers: str = "abcd", *, seed: int = 1, version: int = 1) -> Gossip:
    made = Gossip(name, peers, random.Random(f"{seed} {name}"), version, lambda document: document.content == b"good")
    made.publish(0, Payload(power_w=100.0))
    return made


def exchange(now_ns: int, one: Gossip, other: Gossip) -> int:
    """One round of `one` with `other` and nobody else; return how many messages it took."""
    messages: deque[tuple[Gossip, Gossip, Digest | Delta]] = deque([(one, other, one._digest())])
    count = 0
    while messages:
        sender, receiver, message = messages.popleft()
        count += 1
        for send in receiver.on_message(now_ns, sender.name, message):
            assert send.peer == sender.name
            assert isinstance(send.message, Digest | Delta)
            messages.append((receiver, sender, send.message))
    return count


def versions(node: Gossip) -> dict[str, int]:
    return {owner: held.record.version for owner, held in node.records.items()}


def test_one_exchange_makes_both_equal() -> None:
    a, b = host("a"), host("b")
    assert exchange(0, a, b) == 3
    assert versions(a) == versions(b)
    assert set(versions(a)) == {"a", "b"}


def test_equals_say_no_more_than_a_digest() -> None:
    a, b = host("a"), host("b")
    exchange(0, a, b)
    assert exchange(0, a, b) == 1


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=30), st.integers(0, 99))
def test_the_newest_version_wins_in_whatever_order_hosts_meet(meetings: list[tuple[str, str]], seed: int) -> None:
    hosts = {name: host(name, seed=seed) for name in "abcd"}
    for number, (one, other) in enumerate(meetings):
        hosts[one].publish(number * S, Payload(power_w=float(number)))
        if one != other:
            exchange(number * S, hosts[one], hosts[other])
    for _ in range(3):
        for one in "abcd":
            for other in "abcd":
                if one != other:
                    exchange(len(meetings) * S, hosts[one], hosts[other])
    newest = {name: hosts[name].records[name].record for name in "abcd"}
    for name in "abcd":
        assert {owner: held.record for owner, held in hosts[name].records.items()} == newest


def test_a_second_host_of_the_same_name_is_noticed_and_an_earlier_process_is_not_one() -> None:
    a, b, clone = host("a"), host("b"), host("a", version=10**6)
    exchange(0, clone, b)
    exchange(200 * S, a, b)  # by then the record is old: of before this process, whatever its version
    assert (a.records["a"].record.version, a.double) == (10**6 + 2, None)
    for second in range(300, 310):
        clone.publish(second * S, Payload(power_w=float(second)))
        exchange(second * S, clone, b)
        exchange(second * S, a, b)
    assert a.double is not None
    assert a.double.record.payload.power_w >= 300
    assert not a.double.is_stale(330 * S)
    assert a.double.is_stale(400 * S)


def test_an_older_version_does_not_come_back() -> None:
    a, b = host("a"), host("b")
    old = a.records["a"].record
    a.publish(S, Payload(power=Power.YIELDING))
    exchange(S, a, b)
    b.on_message(2 * S, "c", Delta(((old, 0),)))
    assert b.records["a"].record.payload.power is Power.YIELDING


def test_what_others_say_of_this_host_is_not_taken_and_its_own_goes_past_it() -> None:
    a, b = host("a"), host("b")
    forged = Record("a", 50, Payload(power_w=9.0))
    b.on_message(0, "c", Delta(((forged, 0),)))
    exchange(S, b, a)
    assert a.records["a"].record.payload.power_w == 100.0
    assert a.records["a"].record.version > 50
    exchange(2 * S, a, b)
    assert b.records["a"].record.payload.power_w == 100.0


def test_a_restarted_host_goes_past_what_peers_hold_of_it() -> None:
    a, b = host("a", version=1000), host("b")
    exchange(0, a, b)
    again = host("a", version=3)
    again.publish(S, Payload(power_w=7.0))
    exchange(S, again, b)
    exchange(S, again, b)
    assert b.records["a"].record.payload.power_w == 7.0


def test_ages_add_up_along_the_way() -> None:
    a, b, c = host("a"), host("b"), host("c")
    exchange(2 * S, b, a)  # the record is 2 s old
    exchange(5 * S, c, b)  # and was 3 s with b
    assert c.records["a"].age_ns(5 * S) == 5 * S
    assert not c.records["a"].is_stale(60 * S)
    assert c.records["a"].is_stale(61 * S)


def test_a_record_is_made_anew_when_it_changes_and_when_it_is_due() -> None:
    a = host("a")
    first = a.records["a"].record.version
    a.publish(S, Payload(power_w=100.0))
    assert a.records["a"].record.version == first
    a.publish(REFRESH_NS, Payload(power_w=100.0))
    assert a.records["a"].record.version == first + 1
    a.publish(REFRESH_NS, Payload(power_w=101.0))
    assert a.records["a"].record.version == first + 2


def test_strangers_are_neither_heard_nor_told_of() -> None:
    a = host("a", "ab")
    assert a.on_message(0, "x", Digest({})) == []
    a.on_message(0, "b", Delta(((Record("x", 1, Payload()), 0),)))
    assert set(a.records) == {"a"}
    assert a.on_message(0, "b", Digest({"x": 5, "a": 99})) != []
    assert "x" not in a._digest().versions


def test_who_leaves_the_roster_is_forgotten() -> None:
    a, b = host("a"), host("b")
    exchange(0, a, b)
    a.set_peers("acd")
    assert set(a.records) == {"a"}
    assert {send.peer for _ in range(50) for send in a.on_tick(0)} == {"c", "d"}


def test_only_news_of_standings_is_reported() -> None:
    a, b = host("a"), host("b")
    exchange(0, b, a)
    assert b.heard() == set()  # nothing is announced in it
    a.publish(S, Payload(standings=(Standing("d", "a1"),)))
    exchange(S, b, a)
    assert b.heard() == {"a"}
    assert b.heard() == set()
    a.publish(2 * S, Payload(power_w=5.0, standings=(Standing("d", "a1"),)))
    exchange(2 * S, b, a)
    assert b.heard() == set()


def test_a_message_is_bounded_and_carries_the_freshest_news() -> None:
    names = [f"n{number:03}" for number in range(RECORDS_MAX + 40)]
    full = Gossip("a", [*names, "b"], random.Random(1), 1, lambda _: True)
    for number, name in enumerate(names):
        full._take(number * S, Record(name, 1, Payload()), 0)
    (answer,) = full.on_message(200 * S, "b", Digest({}))
    assert isinstance(answer.message, Delta)
    assert {record.owner for record, _ in answer.message.records} == set(names[-RECORDS_MAX:])
    empty = Gossip("b", [*names, "a"], random.Random(2), 1, lambda _: True)
    for _ in range(3):
        exchange(200 * S, empty, full)
    assert set(names) <= set(empty.records)


def test_records_with_many_claims_are_spread_over_messages() -> None:
    told = {f"n{number}": Claim(1, 1) for number in range(TOLD_MAX // 3)}
    payload = Payload(standings=(Standing("d", "x1", 2, Stage.SEALED, told=told),))
    full = Gossip("a", "abcdefgh", random.Random(1), 1, lambda _: True)
    for name in "cdefgh":
        full._take(0, Record(name, 1, payload), 0)
    (answer,) = full.on_message(0, "b", Digest({}))
    assert isinstance(answer.message, Delta)
    assert len(answer.message.records) == 3
    assert len(codec.encode(answer.message)) <= codec.MESSAGE_MAX_BYTES


def test_long_lists_of_sleepers_are_spread_over_messages() -> None:
    payload = Payload(asleep=tuple(f"{number:064}" for number in range(TOLD_MAX // 2)))
    full = Gossip("a", "abcdef", random.Random(1), 1, lambda _: True)
    for name in "cdef":
        full._take(0, Record(name, 1, payload), 0)
    (answer,) = full.on_message(0, "b", Digest({}))
    assert isinstance(answer.message, Delta)
    assert len(answer.message.records) == 2
    assert len(codec.encode(answer.message)) <= codec.MESSAGE_MAX_BYTES


def test_of_very_many_records_digests_tell_a_stretch_each_and_in_the_end_all() -> None:
    names = [f"n{number:05}" for number in range(3 * DIGEST_MAX)]
    full = Gossip("a", [*names, "b"], random.Random(1), 1, lambda _: True)
    for name in names:
        full._take(0, Record(name, 2, Payload()), 0)
    covered: set[str] = set()
    for _ in range(40):
        digest = full._digest()
        assert len(digest.versions) <= DIGEST_MAX
        assert all(digest.low <= owner and (digest.high is None or owner <= digest.high) for owner in digest.versions)
        covered |= set(digest.versions)
    assert covered == set(names)
    other = Gossip("b", [*names, "a"], random.Random(2), 1, lambda _: True)
    for name in names[::2]:
        other._take(0, Record(name, 3, Payload()), 0)
    (answer,) = other.on_message(0, "a", digest)
    assert isinstance(answer.message, Delta)
    assert {record.owner for record, _ in answer.message.records} <= set(names[::2])
    assert set(answer.message.want) <= set(digest.versions)


def test_documents_spread_and_the_newest_number_replaces_the_others() -> None:
    a, b, c = host("a"), host("b"), host("c")
    a.add(Document("table:d", 1, b"good"))
    b.add(Document("table:d", 3, b"good"))
    c.add(Document("off:d", 1, b"good"))
    for one, other in [(a, b), (b, c), (c, a), (a, b)]:
        exchange(0, one, other)
    for each in (a, b, c):
        assert {name: document.number for name, document in each.documents.items()} == {"table:d": 3, "off:d": 1}


def test_a_document_that_is_not_accepted_is_not_kept_and_does_not_block() -> None:
    a, b = host("a"), host("b")
    assert not a.add(Document("table:d", 9, b"bad"))
    b.documents["table:d"] = Document("table:d", 9, b"bad")
    exchange(0, a, b)
    assert a.documents == {}
    assert a.add(Document("table:d", 2, b"good"))


def test_a_host_keeps_few_documents() -> None:
    a = host("a")
    assert [a.add(Document(f"x{number}", 1, b"good")) for number in range(gossip.DOCUMENTS_MAX + 1)][-1] is False


def test_a_tick_begins_one_exchange_with_a_peer_of_the_roster() -> None:
    a = host("a")
    peers = set()
    for _ in range(100):
        (send,) = a.on_tick(0)
        assert isinstance(send, Send)
        assert isinstance(send.message, Digest)
        peers.add(send.peer)
    assert peers == {"b", "c", "d"}


def test_a_host_alone_has_nobody_to_talk_to() -> None:
    assert host("a", "a").on_tick(0) == []
