"""What holds for both ends of a connection: how long it may be silent, and how much may come at once."""

from __future__ import annotations

import zmq

from eagent.mesh.bounds import Bounds

CURVE_BYTES = 33  # a message in its box: name, nonce, proof and flags (https://rfc.zeromq.org/spec/26/)

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]


def tune(opened: Socket, bounds: Bounds) -> None:
    """Set it, before the socket is bound or connected."""
    opened.linger = 0
    opened.maxmsgsize = bounds.message_bytes + CURVE_BYTES
    opened.setsockopt(zmq.HANDSHAKE_IVL, milliseconds(bounds.handshake_s))
    opened.setsockopt(zmq.TCP_MAXRT, milliseconds(bounds.silent_s))
    opened.setsockopt(zmq.TCP_KEEPALIVE, 1)
    opened.setsockopt(zmq.TCP_KEEPALIVE_IDLE, bounds.keepalive_idle_s)
    opened.setsockopt(zmq.TCP_KEEPALIVE_INTVL, bounds.keepalive_s)
    opened.setsockopt(zmq.TCP_KEEPALIVE_CNT, bounds.keepalive_probes)


def milliseconds(seconds: float) -> int:
    """As libzmq takes times."""
    return round(seconds * 1000)
