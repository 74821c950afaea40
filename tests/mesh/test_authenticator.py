"""Strangers: they learn nothing, change nothing, and hinder nobody."""

from __future__ import annotations

import asyncio

import pytest
import zmq

from eagent.mesh import keys
from eagent.mesh.roster import Peer
from tests.mesh.members import NOWHERE, client, connected, curve, deliver, events, run, site, until

SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"


def greeting(mechanism: bytes, *, as_server: bool = False) -> bytes:
    """How both ends of ZMTP 3.1 begin (https://rfc.zeromq.org/spec/37/)."""
    return SIGNATURE + b"\x03\x01" + mechanism.ljust(20, b"\0") + bytes([as_server]) + bytes(31)


def command(body: bytes) -> bytes:
    return b"\x04" + bytes([len(body)]) + body


MESSAGE = b"\x00\x05hello"
GARBAGE = {
    "nothing": b"",
    "noise": bytes(range(256)) * 40,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "ZMTP 1": b"\x01\x00\x06\x00hello",
    "ZMTP 2": SIGNATURE + b"\x01\x08\x00\x00" + MESSAGE,
    "NULL": greeting(b"NULL") + command(b"\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH") + MESSAGE,
    "PLAIN": greeting(b"PLAIN") + command(b"\x05HELLO\x01a\x01b") + MESSAGE,
    "CURVE and a message": greeting(b"CURVE") + MESSAGE,
    "CURVE and a frame without end": greeting(b"CURVE") + b"\x06" + b"\x7f" * 8 + bytes(1000),
    "CURVE and a false HELLO": greeting(b"CURVE") + command(b"\x05HELLO\x01\x00" + bytes(192)),
    "CURVE and an INITIATE": greeting(b"CURVE") + b"\x06" + (300).to_bytes(8) + b"\x08INITIATE" + bytes(291),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_bytes_of_somebody_who_knows_no_key_change_nothing_and_are_not_answered(garbage: bytes) -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n1, n2 = made.running.values()
            reader, writer = await asyncio.open_connection(*n2.address.split(":"))
            answer = await reader.readexactly(len(SIGNATURE))
            writer.write(garbage)
            try:
                while more := await reader.read(1000):  # until it is closed, after QUICK.handshake_s
                    answer += more
            except ConnectionError:
                pass
            writer.close()
            assert greeting(b"CURVE", as_server=True).startswith(answer)  # with which each end begins, unasked
            assert n2._names.keys() == {pair.public for pair in made.pairs.values()}
            assert (n2.counters.received, n2._buckets, n2._admitted) == (0, {}, set())
            assert await deliver(n1, n2, "n2") == "n1"

    run(work)


def test_a_client_without_a_key_is_not_connected() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n1, n2 = made.running.values()
            with client(n2.address) as stranger, stranger.get_monitor_socket() as monitor:
                seen: list[int] = []
                await until(lambda: seen.extend(events(monitor)) or zmq.EVENT_DISCONNECTED in seen)
                assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen
                assert not stranger.poll(0, zmq.POLLOUT)
                stranger.disable_monitor()
            assert (n2.counters.received, n2._buckets, n2._admitted) == (0, {}, set())
            assert await deliver(n1, n2, "n2") == "n1"

    run(work)


def test_a_client_with_an_unknown_key_is_met_with_silence() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n1, n2 = made.running.values()
            options = curve(keys.make(), made.pairs["n2"].public)
            with client(n2.address, **options) as stranger, stranger.get_monitor_socket() as monitor:
                seen: list[int] = []
                await until(lambda: seen.extend(events(monitor)) or zmq.EVENT_DISCONNECTED in seen)
                assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen
                assert zmq.EVENT_HANDSHAKE_FAILED_AUTH not in seen  # which is what an answer would have become
                stranger.disable_monitor()
            assert n2.counters.refused >= 1
            assert (n2.counters.received, n2._buckets, n2._admitted) == (0, {}, set())
            assert await deliver(n1, n2, "n2") == "n1"

    run(work)


def test_a_stranger_that_the_roster_comes_to_know_gets_in_by_itself() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n2, pair = made.running["n2"], keys.make()
            with client(n2.address, **curve(pair, made.pairs["n2"].public)) as stranger:
                await until(lambda: n2.counters.refused)
                made.tell({**made.roster.hosts, "n3": Peer(NOWHERE, pair.public)})
                await connected(stranger)
                stranger.send(b"hello", zmq.NOBLOCK)
                assert await n2.receive() == ("n3", b"hello")

    run(work)


def test_what_a_connection_claims_to_be_does_not_count() -> None:
    async def work() -> None:
        async with site("n1", "n2", "n3") as made:
            n2 = made.running["n2"]
            claims = {"routing_id": b"n3", "metadata": b"X-User-Id:n3"}
            with client(n2.address, **curve(made.pairs["n1"], made.pairs["n2"].public), **claims) as liar:
                await connected(liar)
                liar.send(b"I am n3", zmq.NOBLOCK)
                assert await n2.receive() == ("n1", b"I am n3")

    run(work)


def test_somebody_else_at_a_peers_address_gets_nothing_to_read() -> None:
    async def work() -> None:
        async with site("n1", "n2", "n3") as made:
            n1, n2, n3 = made.running.values()
            # n3 is a member, and the address is its own; the key pinned for n2 is not.
            made.tell({**made.roster.hosts, "n2": Peer(n3.address, made.pairs["n2"].public)})
            assert n1.send("n2", b"for n2 alone")
            assert await deliver(n2, n3, "n3") == "n2"
            assert await deliver(n1, n3, "n3", b"for n3") == "n1"
            assert n1.counters.sent == 1

    run(work)
