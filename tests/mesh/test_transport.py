"""Members, members no longer, the start and the end."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from eagent.errors import ConfigError, InputError, RefusedError, UnavailableError
from eagent.mesh import keys
from eagent.mesh.incoming import Incoming
from eagent.mesh.roster import Peer, Roster
from eagent.mesh.transport import Transport
from tests.mesh.members import NOWHERE, QUICK, Site, client, connected, curve, deliver, events, run, site, until


def test_a_message_arrives_under_the_name_of_its_senders_key() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n1, n2 = made.running.values()
            assert await deliver(n1, n2, "n2") == "n1"
            assert await deliver(n2, n1, "n1", b"back") == "n2"
            assert (n1.counters.sent, n1.counters.sent_bytes, n1.counters.received_bytes) == (1, 5, 4)

    run(work)


def test_messages_to_one_peer_come_whole_and_in_order() -> None:
    payloads = [bytes([number % 256]) * (number * 37) for number in range(300)]

    async def work() -> None:
        async with site("n1", "n2", bounds=replace(QUICK, queue=1000)) as made:
            n1, n2 = made.running.values()
            assert all(n1.send("n2", payload) for payload in payloads)
            assert [(await n2.receive())[1] for _ in payloads] == payloads

    run(work)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_message_may_be_empty_or_as_long_as_the_bound_and_no_longer(size: int) -> None:
    async def work() -> None:
        async with site("n1", "n2", bounds=replace(QUICK, message_bytes=100_000)) as made:
            n1, n2 = made.running.values()
            await deliver(n1, n2, "n2", b"x" * size)
            with pytest.raises(InputError, match="message of 100001 bytes to n2; the most is 100000"):
                n1.send("n2", b"x" * 100_001)

    run(work)


@pytest.mark.parametrize(("listen", "host"), [("[::1]:0", "[::1]"), ("*:0", "127.0.0.1"), ("*:0", "localhost")])
def test_a_host_is_reached_by_ipv6_at_all_its_addresses_and_by_name(listen: str, host: str) -> None:
    if "::" in listen and not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")

    async def work() -> None:
        async with site("n1", "n2", listen=listen) as made:
            n1, n2 = made.running.values()
            port = n2.address.rpartition(":")[2]
            made.tell({**made.roster.hosts, "n2": Peer(f"{host}:{port}", made.pairs["n2"].public)})
            assert await deliver(n1, n2, "n2") == "n1"

    run(work)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_without_a_listen_address_a_host_listens_where_the_roster_says_it_is(host: str) -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        made = Site("n1", "n2")
        made.tell({**made.roster.hosts, "n2": Peer(f"{host}:{port}", made.pairs["n2"].public)})
        n1 = await made.start("n1")
        n2 = Transport("n2", made.pairs["n2"].secret, made.roster)
        await n2.start()
        try:
            assert await deliver(n1, n2, "n2") == "n1"
        finally:
            await n1.close()
            await n2.close()

    run(work)


def test_a_peer_that_is_unknown_or_oneself_is_not_sent_to() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n1 = made.running["n1"]
            assert not n1.send("n3", b"x")
            assert not n1.send("n1", b"x")
            assert (n1.connections, n1.counters.dropped) == (0, 2)

    run(work)


# Members no longer


def test_who_is_no_longer_in_the_roster_is_unheard_at_once_and_disconnected() -> None:
    async def work() -> None:
        async with site("n1", "n2", "n3") as made:
            n2, n3 = made.running["n2"], made.running["n3"]
            options = curve(made.pairs["n1"], made.pairs["n2"].public)
            with client(n2.address, **options) as revoked, revoked.get_monitor_socket() as monitor:
                await connected(revoked)
                revoked.send(b"while a member", zmq.NOBLOCK)
                assert await n2.receive() == ("n1", b"while a member")
                revoked.send(b"underway", zmq.NOBLOCK)
                await until(lambda: n2._incoming._socket.poll(0))  # it has come, and is still to be read
                made.tell(made.without("n1"))
                seen: list[int] = []
                await until(lambda: seen.extend(events(monitor)) or zmq.EVENT_DISCONNECTED in seen)
                revoked.disable_monitor()
                assert await deliver(n3, n2, "n2", b"of a member") == "n3"
                await until(lambda: n2.counters.refused)  # it tries again, and is a stranger
                assert not revoked.poll(0, zmq.POLLOUT)

    run(work)


def test_no_message_counts_for_what_its_connection_was_admitted_as(monkeypatch: pytest.MonkeyPatch) -> None:
    # As above, with the connection left open: each message is judged by the roster of now.
    monkeypatch.setattr(Incoming, "renew", lambda _: None)

    async def work() -> None:
        async with site("n1", "n2", "n3") as made:
            n1, n2, n3 = made.running.values()
            await deliver(n1, n2, "n2")
            await deliver(n3, n2, "n2")
            hosts = made.without("n1")
            n2.update_roster(Roster(made.roster.serial + 1, hosts))  # n1 does not know of it yet
            assert n1.send("n2", b"of somebody revoked")
            receiving = asyncio.ensure_future(n2.receive())
            await until(lambda: n2.counters.refused == 1)
            assert not receiving.done()
            assert n3.send("n2", b"of a member")
            assert await receiving == ("n3", b"of a member")

    run(work)


def test_after_a_change_of_its_key_a_host_is_heard_by_the_new_one_alone() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n2, server = made.running["n2"], made.pairs["n2"].public
            new = keys.make()
            with client(n2.address, **curve(made.pairs["n1"], server)) as old:
                await connected(old)
                made.tell({**made.roster.hosts, "n1": Peer(NOWHERE, new.public)})
                await until(lambda: n2.counters.refused)
                assert not old.poll(0, zmq.POLLOUT)
            with client(n2.address, **curve(new, server)) as changed:
                await connected(changed)
                changed.send(b"hello", zmq.NOBLOCK)
                assert await n2.receive() == ("n1", b"hello")

    run(work)


def test_who_is_no_longer_in_the_roster_is_not_sent_to_either() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n1, n2 = made.running.values()
            await deliver(n1, n2, "n2")
            n1.update_roster(Roster(made.roster.serial + 1, made.without("n2")))
            assert n1.connections == 0
            assert not n1.send("n2", b"x")

    run(work)


def test_members_go_on_talking_when_another_is_revoked() -> None:
    async def work() -> None:
        async with site("n1", "n2", "n3") as made:
            n1, n2, n3 = made.running.values()
            await deliver(n1, n2, "n2")
            await deliver(n3, n2, "n2")
            receiving = asyncio.ensure_future(n2.receive())
            await asyncio.sleep(0)  # it waits now, at a socket that is about to be replaced
            made.tell(made.without("n3"))
            while not receiving.done():
                n1.send("n2", b"on")
                await asyncio.wait([receiving], timeout=0.02)
            assert await receiving == ("n1", b"on")

    run(work)


def test_an_older_roster_does_not_bring_back_who_was_revoked() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n2, before = made.running["n2"], made.roster
            made.tell(made.without("n1"))
            with pytest.raises(RefusedError, match="roster 3 is older than roster 4, which is in force"):
                n2.update_roster(before)
            assert not n2.send("n1", b"x")

    run(work)


# The start and the end


def test_a_host_starts_only_with_the_key_by_which_the_roster_knows_it() -> None:
    made = Site("n1", "n2")
    with pytest.raises(ConfigError, match="n3 is not in roster 1"):
        Transport("n3", keys.make().secret, made.roster)
    with pytest.raises(ConfigError, match=r"roster 1 has another key for n1: have the site change it to \S{40}$"):
        Transport("n1", made.pairs["n2"].secret, made.roster)
    with pytest.raises(ConfigError, match="the key of n1: not a CURVE secret key"):
        Transport("n1", "short", made.roster)


def test_an_address_that_is_taken_is_told_at_the_start() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            address = made.running["n1"].address
            with pytest.raises(ConfigError, match=f"can't listen at {address}: Address already in use"):
                await Transport("n2", made.pairs["n2"].secret, made.roster, address).start()

    run(work)


def test_giving_up_waiting_for_a_message_loses_none() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n1, n2 = made.running.values()
            received = []
            for number in range(50):
                receiving = asyncio.ensure_future(n2.receive())
                await asyncio.sleep(0)
                n1.send("n2", b"%d" % number)
                await asyncio.sleep(0.001 * (number % 3))
                if not receiving.done():
                    receiving.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await receiving
                else:
                    received.append(receiving.result()[1])
            while len(received) < 50:
                received.append((await n2.receive())[1])
            assert received == [b"%d" % number for number in range(50)]

    run(work)


def test_receiving_leaves_the_loop_to_others_however_much_comes() -> None:
    async def work() -> None:
        async with site("n1", "n2", bounds=replace(QUICK, queue=5000, tokens=1e9)) as made:
            n1, n2 = made.running.values()
            await deliver(n1, n2, "n2")
            for _ in range(4000):
                n1.send("n2", b"x")
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            task = asyncio.ensure_future(other())
            for _ in range(4000):
                await n2.receive()
            task.cancel()
            assert turns > 4000 / QUICK.batch / 2

    run(work)


def test_after_close_nothing_is_left_and_nothing_works() -> None:
    def open_files() -> list[str]:
        return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208  # Path.iterdir would hold one of its own

    async def work() -> None:
        before = open_files()
        async with site("n1", "n2") as made:
            n1, n2 = made.running.values()
            await deliver(n1, n2, "n2")
            await deliver(n2, n1, "n1")
            receiving = asyncio.ensure_future(n2.receive())
            await asyncio.sleep(0)
            await made.stop("n2")
            with pytest.raises(UnavailableError, match="the mesh's transport is closed"):
                await receiving
            with pytest.raises(UnavailableError, match="the mesh's transport is closed"):
                n2.send("n1", b"x")
            await n2.close()
        assert open_files() == before

    run(work)
