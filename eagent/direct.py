"""Asking the warden itself, one question after another, for verbs that need no agent or may not go through one."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from eagent.errors import RefusedError, UnavailableError
from eagent.wire import MESSAGE_MAX_BYTES, Message, decode, encode

ANSWER_S = 12.0  # what sets knobs is answered when the driver says that they are where they should be


class Direct:
    """A connection to the warden: a context manager."""

    def __init__(self, path: Path) -> None:
        """Connect to the socket `path`.

        Raises:
            UnavailableError: there is no warden, or it may not be asked by us.
        """
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._socket.settimeout(ANSWER_S)
        try:
            self._socket.connect(os.fspath(path))
        except PermissionError:
            self._socket.close()
            raise UnavailableError(
                f"you may not open {path}: the warden is asked by root and the operators' groups alone"
            ) from None
        except OSError as problem:
            self._socket.close()
            raise UnavailableError(f"no warden at {path}: {problem.strerror}; is `eagent warden` running?") from None

    def __enter__(self) -> Direct:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, op: str, **fields: Any) -> Message:
        """The warden's answer.

        Raises:
            UnavailableError: it does not answer.
            RefusedError: it says no.
            ProtocolError: its answer can't be read.
        """
        try:
            self._socket.sendall(encode({"op": op, **fields}))
            packet = self._socket.recv(MESSAGE_MAX_BYTES + 1)
        except OSError as problem:
            reason = problem.strerror or "no answer"
            raise UnavailableError(f"the warden at {self._path}: {reason}: is it stopped?") from None
        if not packet:
            raise UnavailableError(
                f"the warden at {self._path} hung up: who may ask it says `[access]` of the configuration"
            )
        reply = decode(packet)
        if reply.get("ok") is not True:
            raise RefusedError(str(reply.get("error")))
        return reply
