"""One request to a living warden from a person's command, where no agent is there to pass it on."""

from __future__ import annotations

import socket
from typing import Any

from eagent.config import Paths
from eagent.errors import RefusedError, UnavailableError
from eagent.wire import MESSAGE_MAX_BYTES, Message, decode, encode

ANSWER_S = 12.0  # what is asked for may be waited for until the driver says that it is done


def ask(paths: Paths, op: str, **fields: Any) -> Message:
    """The warden's answer.

    Raises:
        UnavailableError: there is none, it may not be asked, or it does not answer.
        RefusedError: it says no.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(str(paths.warden_socket))
            connection.sendall(encode({"op": op, **fields}))
            packet = connection.recv(MESSAGE_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise UnavailableError("neither an agent nor a warden runs here, so nothing of eagent's is open") from None
        except OSError as problem:
            reason = problem.strerror or "no answer"
            raise UnavailableError(f"the warden at {paths.warden_socket}: {reason}: is it stopped?") from None
    if not packet:
        raise UnavailableError(f"the warden at {paths.warden_socket} hung up: run as root, or as its user")
    reply = decode(packet)
    if reply.get("ok") is not True:
        raise RefusedError(str(reply.get("error")))
    return reply
