"""Decides who may connect: libzmq asks us, by ZAP (https://rfc.zeromq.org/spec/27/), for each CURVE handshake.

pyzmq's own handler (zmq.auth) would do but for one thing: it refuses with status 400, which sends the stranger an
answer, after which its libzmq never tries again. A host whose name has not yet reached everybody would stay shut out.
Status 300 sends nothing; the connection is left in silence until its handshake has taken too long, on both ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import zmq
from zmq.utils import z85

from eagent.mesh.bounds import Counters
from eagent.mesh.sockets import Context

log = logging.getLogger(__name__)

DOMAIN = "mesh"
_ADDRESS = "inproc://zeromq.zap.01"  # fixed by ZAP; one to a context
_VERSION = b"1.0"
_ACCEPT, _SILENCE = b"200", b"300"
_KEY_BYTES = 32
_LOG_PERIOD_NS = 60 * 1_000_000_000


class Authenticator:
    """Answers for all connections of a context, on the running event loop."""

    def __init__(self, context: Context, known: Callable[[str], bool], counters: Counters) -> None:
        """Answer from now on: to a key (Z85) that `known` knows yes, with the key as the user's id."""
        self._known = known
        self._counters = counters
        self._quiet_until_ns = 0
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(_ADDRESS)
        self._descriptor = self._socket.fileno()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._answer)

    def close(self) -> None:
        """Answer no more: nobody can connect."""
        self._loop.remove_reader(self._descriptor)
        self._socket.close()

    def _answer(self) -> None:
        """Answer all that was asked. It ends with a read that finds nothing, as libzmq's descriptor wants it."""
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            start = frames.index(b"") + 1
            request, address, credentials = frames[start + 1], frames[start + 3], frames[start + 6 :]
            key = self._key(frames[start], frames[start + 2], frames[start + 5], credentials)
            if key is not None and self._known(key):
                verdict = [_ACCEPT, b"", key.encode("ascii"), b""]
            else:
                verdict = [_SILENCE, b"", b"", b""]
                self._counters.refused += 1
                self._tell(key, address)
            self._socket.send_multipart([*frames[:start], _VERSION, request, *verdict])

    @staticmethod
    def _key(version: bytes, domain: bytes, mechanism: bytes, credentials: list[bytes]) -> str | None:
        """The key that asks, in Z85; libzmq has had it proved. None for what is not CURVE of our domain."""
        if (version, domain, mechanism) != (_VERSION, DOMAIN.encode(), b"CURVE"):
            return None
        if len(credentials) != 1 or len(credentials[0]) != _KEY_BYTES:
            return None
        return z85.encode(credentials[0]).decode("ascii")

    def _tell(self, key: str | None, address: bytes) -> None:
        """Log a refusal, one a minute: to the operator it is a missing line in the roster, or an attack."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._quiet_until_ns:
            self._quiet_until_ns = now_ns + _LOG_PERIOD_NS
            where = address.decode("ascii", "replace")
            log.warning("refused a connection from %s: its key %s is not in the roster", where, key)
