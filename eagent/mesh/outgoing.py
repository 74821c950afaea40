"""The way to one peer: a socket of libzmq, and what waits until that takes it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable

import zmq

from eagent.errors import ConfigError
from eagent.mesh.address import is_literal, join, look_up, split
from eagent.mesh.bounds import Bounds, Counters
from eagent.mesh.keys import KeyPair
from eagent.mesh.roster import Peer
from eagent.mesh.sockets import Context, Socket, milliseconds, tune

log = logging.getLogger(__name__)


class Outgoing:
    """Messages to one peer. libzmq connects, and connects again; it takes messages only while it is connected.

    What it does not take waits here, where it can be thrown away when it is too old. Where nothing goes for long, the
    socket is replaced: after some errors (somebody else answered at the address for a moment) libzmq never tries again,
    and a name may have got another address.
    """

    def __init__(
        self,
        context: Context,
        pair: KeyPair,
        peer: Peer,
        bounds: Bounds,
        counters: Counters,
        clock: Callable[[], int],
    ) -> None:
        """Begin to connect."""
        self.peer = peer
        self._context = context
        self._pair = pair
        self._bounds = bounds
        self._counters = counters
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, bytes]] = deque()  # with the time when it came
        self._waiting_bytes = 0
        self._used_ns = clock()
        self._failing_ns: int | None = None  # since when nothing has gone
        self._socket: Socket | None = None
        self._descriptor: int | None = None  # while the loop watches it
        self._looking_up = False
        self._closed = False
        self._open()

    def send(self, payload: bytes) -> bool:
        """Send, now or as soon as it goes; False if too much waits already."""
        now_ns = self._clock()
        self._used_ns = now_ns
        if not self._waiting and self._hand_over(payload):
            return True
        self._forget(now_ns)
        bounds = self._bounds
        if len(self._waiting) >= bounds.queue or self._waiting_bytes + len(payload) > bounds.queue_bytes:
            self._counters.dropped += 1
            return False
        self._waiting.append((now_ns, payload))
        self._waiting_bytes += len(payload)
        self._failing_ns = now_ns if self._failing_ns is None else self._failing_ns
        self._watch()
        return True

    def tick(self) -> bool:
        """Do what is due; False if this has long been idle and should be closed."""
        now_ns = self._clock()
        self._forget(now_ns)
        if not self._waiting and now_ns - self._used_ns > self._bounds.idle_s * 1e9:
            return False
        if self._failing_ns is not None and now_ns - self._failing_ns > self._bounds.stuck_s * 1e9:
            self._failing_ns = None
            self._shut()
            self._open()
        return True

    def close(self) -> None:
        """Close the connection; what waits is dropped."""
        self._closed = True
        self._counters.dropped += len(self._waiting)
        self._waiting.clear()
        self._shut()

    def _open(self) -> None:
        try:
            host, port = split(self.peer.address)
        except ConfigError as problem:
            log.warning("%s", problem)
        else:
            if is_literal(host):
                self._connect(join(host, port))
            elif not self._looking_up:
                self._looking_up = True
                look_up(host, port, self._looked_up)

    def _looked_up(self, addresses: list[str]) -> None:
        self._looking_up = False
        if addresses and not self._closed and self._socket is None:
            self._connect(random.choice(addresses))  # any: should it be the wrong one, the next time may tell another

    def _connect(self, address: str) -> None:
        bounds = self._bounds
        try:
            opened = self._context.socket(zmq.PUSH)
        except zmq.ZMQError as problem:  # no descriptor is left: strangers may hold them for a while
            log.warning("can't connect to %s: %s", address, problem)
            self._failing_ns = self._clock()  # so that `tick` tries again, whether something waits or not
            return
        try:
            opened.curve_publickey = self._pair.public.encode("ascii")
            opened.curve_secretkey = self._pair.secret.encode("ascii")
            opened.curve_serverkey = self.peer.key.encode("ascii")
            opened.immediate = True  # take nothing that is not for a connection, and give it up with that
            opened.sndhwm = bounds.window
            opened.ipv6 = address.startswith("[")
            opened.setsockopt(zmq.CONNECT_TIMEOUT, milliseconds(bounds.connect_s))
            opened.reconnect_ivl = milliseconds(bounds.retry_least_s)
            opened.reconnect_ivl_max = milliseconds(bounds.retry_most_s)
            tune(opened, bounds)
            opened.connect(f"tcp://{address}")
        except zmq.ZMQError as problem:
            log.warning("can't connect to %s, key %s: %s", address, self.peer.key, problem)
            opened.close()
            return
        self._socket = opened
        if self._waiting:
            self._watch()

    def _shut(self) -> None:
        self._unwatch()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _watch(self) -> None:
        """Be told by the loop when libzmq may take more."""
        if self._descriptor is None and self._socket is not None:
            self._descriptor = self._socket.fileno()
            self._loop.add_reader(self._descriptor, self._flush)

    def _unwatch(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None

    def _flush(self) -> None:
        """Hand over what waits. libzmq's descriptor says that something has changed, EVENTS what; it must be asked."""
        assert self._socket is not None
        if not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT:
            return
        self._forget(self._clock())
        while self._waiting and self._hand_over(self._waiting[0][1]):
            self._waiting_bytes -= len(self._waiting.popleft()[1])
        if not self._waiting:
            self._unwatch()

    def _hand_over(self, payload: bytes) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.send(payload, zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._failing_ns = None
        self._counters.sent += 1
        self._counters.sent_bytes += len(payload)
        return True

    def _forget(self, now_ns: int) -> None:
        """Throw away what has waited for too long."""
        oldest_ns = now_ns - self._bounds.queue_s * 1e9
        while self._waiting and self._waiting[0][0] < oldest_ns:
            self._waiting_bytes -= len(self._waiting.popleft()[1])
            self._counters.dropped += 1
