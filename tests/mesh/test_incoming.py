"""Members that misbehave. What must not happen is followed by what must."""

from __future__ import annotations

import socket
from dataclasses import replace

import zmq

from eagent.mesh import keys
from eagent.mesh.address import join
from eagent.mesh.incoming import Incoming
from tests.mesh.members import QUICK, WAIT_S, client, connected, curve, deliver, events, run, site, until


def test_without_an_authenticator_nobody_gets_in() -> None:
    async def work() -> None:
        pair, listener = keys.make(), socket.create_server(("127.0.0.1", 0))
        with zmq.Context() as context:
            incoming = Incoming(context, pair, listener, QUICK)
            with client(join(*incoming.address), **curve(keys.make(), pair.public)) as stranger:
                with stranger.get_monitor_socket() as monitor:
                    seen: list[int] = []
                    await until(lambda: seen.extend(events(monitor)) or zmq.EVENT_DISCONNECTED in seen)
                    stranger.disable_monitor()
                assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen
            incoming.close()

    run(work)


def test_a_member_that_floods_is_cut_short_and_starves_nobody() -> None:
    flood, quiet = 20_000, 20

    async def work() -> None:
        async with site("n1", "n2", "n3", bounds=replace(QUICK, tokens=30, tokens_per_s=1)) as made:
            n2, n3 = made.running["n2"], made.running["n3"]
            with client(n2.address, **curve(made.pairs["n1"], made.pairs["n2"].public), sndhwm=flood) as flooder:
                await connected(flooder)
                for _ in range(flood):
                    flooder.send(b"!", zmq.NOBLOCK)
                heard = {"n1": 0, "n3": 0}
                for number in range(quiet):
                    assert n3.send("n2", b"%d" % number)
                while heard["n3"] < quiet:
                    name, _ = await n2.receive()
                    heard[name] += 1
                assert heard["n1"] <= 30 + 1 * WAIT_S
                # It was not read to its end before: the peers have been heard in turn.
                assert n2.counters.limited < flood / 2

    run(work)


def test_a_long_message_takes_more_of_what_its_sender_may_say() -> None:
    async def work() -> None:
        bounds = replace(QUICK, tokens=10, tokens_per_s=0.001, token_bytes=1000)
        async with site("n1", "n2", bounds=bounds) as made:
            n1, n2 = made.running.values()
            assert n1.send("n2", b"x" * 5000)  # 6 tokens
            assert n1.send("n2", b"x" * 4000)  # 5
            assert n1.send("n2", b"x" * 3000)  # 4
            assert [len((await n2.receive())[1]) for _ in range(2)] == [5000, 3000]
            assert n2.counters.limited == 1

    run(work)


def test_a_message_in_parts_is_refused_whole() -> None:
    async def work() -> None:
        async with site("n1", "n2") as made:
            n2 = made.running["n2"]
            with client(n2.address, **curve(made.pairs["n1"], made.pairs["n2"].public)) as member:
                await connected(member)
                member.send_multipart([b"a", b"b", b"c"])
                member.send(b"d")
                assert await n2.receive() == ("n1", b"d")
                assert (n2.counters.received, n2.counters.refused) == (1, 1)

    run(work)


def test_a_message_above_the_bound_ends_the_connection_of_its_sender() -> None:
    async def work() -> None:
        async with site("n1", "n2", bounds=replace(QUICK, message_bytes=1000)) as made:
            n1, n2 = made.running.values()
            options = curve(made.pairs["n1"], made.pairs["n2"].public)
            with client(n2.address, **options) as member, member.get_monitor_socket() as monitor:
                await connected(member)
                member.send(b"x" * 100_000)
                seen: list[int] = []
                await until(lambda: seen.extend(events(monitor)) or zmq.EVENT_DISCONNECTED in seen)
                member.disable_monitor()
            assert await deliver(n1, n2, "n2") == "n1"

    run(work)
