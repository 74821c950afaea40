"""Carries messages between the hosts of a site: ZeroMQ over TCP, each connection encrypted and proved by CURVE keys.

Whoever holds a secret key whose public half is in the roster is heard, under the name that the roster gives to it.
Nothing counts that a message says of its sender, nor what a connection was once admitted as: each message's key is
looked up in the roster of now. Everybody else is left without an answer.

Each direction of a pair has its own connection, made by whoever speaks; sockets only push or pull. So there is no
dialogue whose state could be lost, no return path that a peer could claim, and each end gets over a partition by
connecting anew, by itself. The price is a second connection for a pair that talks both ways.

Messages may be lost, at any time and unsaid; they never wait for long, and they come whole. Between two hosts they come
in order as long as a connection lasts.

pyzmq's asyncio sockets make a future for each message and cost 12 us each, against 1 us for a plain read that does not
wait. So the loop only watches descriptors here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import zmq

from eagent.bucket import Bucket
from eagent.errors import ConfigError, InputError, RefusedError, UnavailableError
from eagent.mesh.address import is_literal, join, listening_socket, split
from eagent.mesh.authenticator import Authenticator
from eagent.mesh.bounds import Bounds, Counters
from eagent.mesh.incoming import Incoming
from eagent.mesh.keys import from_secret
from eagent.mesh.outgoing import Outgoing
from eagent.mesh.roster import Roster
from eagent.mesh.sockets import Context

log = logging.getLogger(__name__)


def clock_ns() -> int:
    """Nanoseconds that go on while the host is suspended, so that what waited through its sleep is known to be old."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Transport:
    """One host's part. `start`, then `close`, both on one event loop, and everything between on that loop as well."""

    def __init__(
        self,
        name: str,
        secret_key: str,
        roster: Roster,
        listen: str | None = None,
        *,
        bounds: Bounds | None = None,
        clock: Callable[[], int] = clock_ns,
    ) -> None:
        """The transport of the host `name`.

        Args:
            name: This host's, as in the roster.
            secret_key: CURVE, Z85.
            roster: The site's, its signature verified.
            listen: HOST:PORT to listen at; the host may be `*`, the port 0. None: where the roster says this host
                is, and on all its addresses if the roster says it by a name.
            bounds: Of sizes and times.
            clock: Monotonic nanoseconds.

        Raises:
            ConfigError: no secret key, or not the one of this host in the roster.
            UnavailableError: this machine's ZeroMQ knows no CURVE.
        """
        self._pair = from_secret(secret_key, f"the key of {name}")
        if name not in roster.hosts:
            raise ConfigError(f"{name} is not in roster {roster.serial}: have the site add it, or set another name")
        if roster.hosts[name].key != self._pair.public:
            raise ConfigError(
                f"roster {roster.serial} has another key for {name}: have the site change it to {self._pair.public}"
            )
        self.counters = Counters()
        self._name = name
        self._roster = roster
        self._names = _names(roster)
        self._listen = listen or _whereabouts(roster.hosts[name].address)
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._context: Context | None = None
        self._authenticator: Authenticator | None = None
        self._incoming: Incoming | None = None
        self._outgoing: OrderedDict[str, Outgoing] = OrderedDict()  # the one longest unused first
        self._buckets: dict[str, Bucket] = {}
        self._admitted: set[str] = set()  # keys that may hold a connection to us
        self._timer: asyncio.TimerHandle | None = None
        self._wake: asyncio.Future[None] | None = None
        self._watched: int | None = None  # the descriptor that would bring it about
        self._read = 0  # since the loop's other tasks had their turn
        self._unwanted = 0  # of these

    @property
    def address(self) -> str:
        """Where it listens, HOST:PORT."""
        return join(*self._started()[1].address)

    @property
    def connections(self) -> int:
        """How many ways to peers are open, or being opened, by this host."""
        return len(self._outgoing)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: that can't be done at this address.
        """
        listener = listening_socket(self._listen, self._bounds.backlog)
        self._context = zmq.Context()
        self._authenticator = Authenticator(self._context, self._admit, self.counters)
        self._incoming = Incoming(self._context, self._pair, listener, self._bounds)
        self._schedule()

    def send(self, peer: str, payload: bytes) -> bool:
        """Send, or try to: True does not mean that it arrives. Never waits.

        Returns:
            False if the peer is not in the roster, or so much waits for it already that this was dropped.

        Raises:
            InputError: the message is longer than `Bounds.message_bytes`.
        """
        context, _ = self._started()
        if len(payload) > self._bounds.message_bytes:
            raise InputError(f"message of {len(payload)} bytes to {peer}; the most is {self._bounds.message_bytes}")
        way = self._outgoing.get(peer)
        if way is None:
            known = self._roster.hosts.get(peer)
            if known is None or peer == self._name:
                self.counters.dropped += 1
                return False
            if len(self._outgoing) >= self._bounds.connections:
                self._outgoing.popitem(last=False)[1].close()
            way = Outgoing(context, self._pair, known, self._bounds, self.counters, self._clock)
            self._outgoing[peer] = way
        self._outgoing.move_to_end(peer)
        return way.send(payload)

    async def receive(self) -> tuple[str, bytes]:
        """The next message and the name of the host whose key it came by. One caller at a time; may be cancelled.

        Peers are heard in turn. What one says beyond the tokens that `Bounds` allow it is lost, and where that is most
        of what comes it is read slowly, so that TCP holds it up where it comes from.

        Raises:
            UnavailableError: the transport was closed.
        """
        while True:
            _, incoming = self._started()
            if self._read >= self._bounds.batch:
                await self._breathe()
                continue
            arrived = incoming.take()
            if arrived is None:
                await self._arrival(incoming)
                continue
            self._read += 1
            heard = self._judge(*arrived)
            if heard is not None:
                return heard
            self._unwanted += 1

    def update_roster(self, roster: Roster) -> None:
        """From now on this roster holds. Who is no longer in it is neither heard nor spoken to, at once.

        Raises:
            RefusedError: it is older than the one in force.
        """
        if roster.serial < self._roster.serial:
            raise RefusedError(f"roster {roster.serial} is older than roster {self._roster.serial}, which is in force")
        self._roster = roster
        self._names = _names(roster)
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in roster.hosts}
        for name, way in list(self._outgoing.items()):
            if roster.hosts.get(name) != way.peer:
                del self._outgoing[name]
                way.close()
        if self._incoming is not None and not self._admitted <= self._names.keys():
            # libzmq can't close one connection of a socket. What is unheard is also to cost nothing more.
            self._admitted.clear()
            self._rouse()
            self._incoming.renew()
            log.info("roster %d revokes a key that was admitted: all incoming connections begin anew", roster.serial)

    async def close(self) -> None:
        """Close all connections; what waits is dropped. A pending `receive` is told."""
        if self._timer is not None:
            self._timer.cancel()
        for way in self._outgoing.values():
            way.close()
        self._outgoing.clear()
        self._rouse()
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None
        if self._authenticator is not None:
            self._authenticator.close()
            self._authenticator = None
        if self._context is not None:
            context, self._context = self._context, None
            await asyncio.to_thread(context.term)  # waits for libzmq's own thread

    def _started(self) -> tuple[Context, Incoming]:
        if self._context is None or self._incoming is None:
            raise UnavailableError("the mesh's transport is closed")
        return self._context, self._incoming

    def _admit(self, key: str) -> bool:
        known = key in self._names
        if known:
            self._admitted.add(key)
        return known

    def _judge(self, key: str | None, payload: bytes) -> tuple[str, bytes] | None:
        """What to hand up of a message; None: nothing."""
        name = self._names.get(key) if key is not None else None
        if name is None:
            self.counters.refused += 1
            return None
        now_ns, bounds = self._clock(), self._bounds
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(bounds.tokens_per_s, bounds.tokens, now_ns)
        if not bucket.take(now_ns, 1 + len(payload) // bounds.token_bytes):
            self.counters.limited += 1
            return None
        self.counters.received += 1
        self.counters.received_bytes += len(payload)
        return name, payload

    async def _breathe(self) -> None:
        """Let others run; longer if what was read was mostly not wanted: then TCP slows down whoever sends it."""
        pause_s = self._bounds.pause_s if self._unwanted * 2 > self._read else 0
        self._read = self._unwanted = 0
        await asyncio.sleep(pause_s)

    async def _arrival(self, incoming: Incoming) -> None:
        """Wait until something may have come, or all has changed."""
        self._read = self._unwanted = 0
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        self._watched = incoming.descriptor
        loop.add_reader(self._watched, self._rouse)
        try:
            await self._wake
        finally:
            self._unwatch()

    def _rouse(self) -> None:
        """Let a waiting `receive` look again."""
        self._unwatch()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _unwatch(self) -> None:
        """At once, for a descriptor that is closed while the loop watches it may come back as somebody else's."""
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._bounds.tick_s, self._tick)

    def _tick(self) -> None:
        for name, way in list(self._outgoing.items()):
            if not way.tick():
                del self._outgoing[name]
                way.close()
        self._schedule()


def _names(roster: Roster) -> dict[str, str]:
    return {peer.key: name for name, peer in roster.hosts.items()}


def _whereabouts(address: str) -> str:
    """Where to listen so as to be found at this address."""
    host, port = split(address)
    return address if is_literal(host) else f"*:{port}"
