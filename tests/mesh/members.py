"""Hosts of a site that talk over real sockets on this machine's loopback, and others that would like to."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from eagent.mesh import keys
from eagent.mesh.bounds import Bounds
from eagent.mesh.roster import Peer, Roster
from eagent.mesh.transport import Transport

WAIT_S = 20.0  # what should come has come by then, on a machine that runs other tests
QUICK = Bounds(tick_s=0.02, handshake_s=0.5)
NOWHERE = "127.0.0.1:1"


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """This process can open nothing more, as when strangers hold all that it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 64, before[1]))
    with suppress(OSError):
        while True:
            held.append(os.dup(held[0]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in held:
            os.close(each)


class Site:
    """Hosts with their keys, and the roster that all of them have."""

    def __init__(self, *names: str) -> None:
        self.pairs = {name: keys.make() for name in names}
        self.roster = Roster(1, {name: Peer(NOWHERE, pair.public) for name, pair in self.pairs.items()})
        self.running: dict[str, Transport] = {}

    async def start(self, name: str, listen: str = "127.0.0.1:0", **options: Any) -> Transport:
        """Start a host and tell all where it is."""
        transport = Transport(name, self.pairs[name].secret, self.roster, listen, **{"bounds": QUICK, **options})
        await transport.start()
        self.running[name] = transport
        self.tell({**self.roster.hosts, name: Peer(transport.address, self.pairs[name].public)})
        return transport

    async def stop(self, name: str) -> None:
        await self.running.pop(name).close()

    def tell(self, hosts: dict[str, Peer]) -> None:
        """Give all running hosts a newer roster."""
        self.roster = Roster(self.roster.serial + 1, hosts)
        for transport in self.running.values():
            transport.update_roster(self.roster)

    def without(self, name: str) -> dict[str, Peer]:
        return {other: peer for other, peer in self.roster.hosts.items() if other != name}


@asynccontextmanager
async def site(*names: str, **options: Any) -> AsyncIterator[Site]:
    """A site whose hosts all run."""
    made = Site(*names)
    try:
        for name in names:
            await made.start(name, **options)
        yield made
    finally:
        for name in list(made.running):
            await made.stop(name)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WAIT_S):
            await work()

    asyncio.run(bounded())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def deliver(sender: Transport, receiver: Transport, to: str, payload: bytes = b"hello") -> str:
    """Send one message and return whose it is said to be."""
    assert sender.send(to, payload)
    name, received = await receiver.receive()
    assert received == payload
    return name


async def repeat_until_heard(sender: Transport, receiver: Transport, to: str, payload: bytes) -> None:
    """Send until one of it arrives: what is on its way while a connection ends is lost."""
    while True:
        sender.send(to, payload)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                while (await receiver.receive())[1] != payload:
                    pass
                return


@contextmanager
def client(address: str, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """A socket of somebody else's program; the options are of pyzmq."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as made:
        made.linger = 0
        made.immediate = True
        for option, value in options.items():
            setattr(made, option, value)
        made.connect(f"tcp://{address}")
        yield made


def curve(pair: keys.KeyPair, server: str) -> dict[str, bytes]:
    return {
        "curve_publickey": pair.public.encode(),
        "curve_secretkey": pair.secret.encode(),
        "curve_serverkey": server.encode(),
    }


async def connected(made: zmq.Socket[bytes]) -> None:
    await until(lambda: made.poll(0, zmq.POLLOUT))


def events(monitor: zmq.Socket[bytes]) -> list[int]:
    """What libzmq has told of a client's socket."""
    told = []
    while monitor.poll(0):
        told.append(int(recv_monitor_message(monitor)["event"]))
    return told
