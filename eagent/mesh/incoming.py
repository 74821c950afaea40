"""The one socket at which a host listens, and the connections that its peers have made to it."""

from __future__ import annotations

import os
import socket

import zmq

from eagent.mesh.authenticator import DOMAIN
from eagent.mesh.bounds import Bounds
from eagent.mesh.keys import KeyPair
from eagent.mesh.sockets import Context, Socket, tune

_USER_ID = "User-Id"  # the property of a message in which libzmq tells what the authenticator said of its sender


class Incoming:
    """Messages of all peers in turn, each with the key that was proved for its connection.

    The listening TCP socket is ours, and libzmq is given a duplicate. So all connections can be closed at once, which
    is the only way to close one of somebody who is no longer wanted, and no peer finds the door shut meanwhile.
    """

    def __init__(self, context: Context, pair: KeyPair, listener: socket.socket, bounds: Bounds) -> None:
        """Listen with `listener`, which belongs to this object from now on."""
        self._context = context
        self._pair = pair
        self._listener = listener
        self._bounds = bounds
        self._socket = self._open()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port at which it listens."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    @property
    def descriptor(self) -> int:
        """Readable when something may have come: `take` until there is nothing, then wait for it."""
        return self._socket.fileno()

    def take(self) -> tuple[str | None, bytes] | None:
        """The next message with its sender's key; None if there is none now.

        The key is None for what no host of ours sends: a message in parts, or of a sender whose key nobody proved.
        """
        try:
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        if frame.more:
            while frame.more:
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            return None, b""
        try:
            key = frame.get(_USER_ID)
        except zmq.ZMQError:
            key = None
        return str(key) if key else None, frame.bytes

    def renew(self) -> None:
        """Close all connections; those still admitted come back by themselves, what was on its way is lost."""
        self._socket.close()
        self._socket = self._open()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        self._listener.close()

    def _open(self) -> Socket:
        bounds = self._bounds
        opened = self._context.socket(zmq.PULL)
        opened.curve_server = True
        opened.curve_secretkey = self._pair.secret.encode("ascii")
        opened.zap_domain = DOMAIN.encode("ascii")
        opened.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without an authenticator nobody gets in, not everybody
        opened.rcvhwm = bounds.window
        tune(opened, bounds)
        opened.setsockopt(zmq.USE_FD, os.dup(self._listener.fileno()))
        opened.bind("tcp://127.0.0.1:0")  # of this libzmq only sees that it is TCP: the descriptor is bound already
        return opened
