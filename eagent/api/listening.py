"""Where a server listens: mostly a unix socket, whose file is never wider than meant, and never half there."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from eagent.errors import UnavailableError
from eagent.peer import Peer, let_in, peer_of

SOCKET_MODE = 0o660
SOCKET_NAME_MAX = 107  # sockaddr_un.sun_path, less its final zero


class Place(Protocol):
    """Where a server listens, and what is known of who comes."""

    def open(self, groups: Iterable[int]) -> socket.socket:
        """A listening socket, open to these groups where there are such.

        Raises:
            UnavailableError: it can't be made.
        """

    def leave(self) -> None:
        """Remove what would be left of it."""

    def peer(self, connected: socket.socket) -> Peer:
        """Who is at the other end."""

    def misdirected(self, host: str, connected: socket.socket) -> str | None:
        """Why a request with this header Host is not for us; None: it is."""


class SocketFile:
    """A unix socket at a path. A file that a dead process left there is replaced."""

    def __init__(self, path: Path, mode: int) -> None:
        """Not made yet; `mode` is that of its file: who may connect."""
        self._path = path
        self._mode = mode
        self._inode: int | None = None

    def open(self, groups: Iterable[int]) -> socket.socket:
        """See `listen`."""
        listening = listen(self._path, self._mode, groups)
        self._inode = self._path.stat().st_ino
        return listening

    def leave(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # not that of an agent started since
                self._path.unlink()

    def peer(self, connected: socket.socket) -> Peer:
        """By the kernel's word."""
        return peer_of(connected)

    def misdirected(self, host: str, connected: socket.socket) -> str | None:  # noqa: ARG002
        """Never: nobody is led to a file by a name."""
        return None


def listen(path: Path, mode: int = SOCKET_MODE, groups: Iterable[int] = ()) -> socket.socket:
    """A listening socket at `path`, of this mode from its first moment, in place of whatever socket was there.

    It is made under another name and renamed, so that a client finds the old one or a listening one, nothing between.

    Args:
        path: Where.
        mode: Of its file.
        groups: Whose members may open it, too.

    Raises:
        UnavailableError: the name is too long, or the directory does not let us.
    """
    made = path.with_suffix(".new")  # no longer than a name that ends in .sock
    if max(len(os.fsencode(each)) for each in (made, path)) > SOCKET_NAME_MAX:
        raise UnavailableError(f"{path}: too long for a socket's name; choose a shorter EAGENT_RUN_DIR")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.unlink(missing_ok=True)
        bind(listening, made, mode)
        made.chmod(mode)  # what the umask took
        let_in(made, groups)
        listening.listen()
        made.rename(path)
    except OSError as problem:
        listening.close()
        raise UnavailableError(f"cannot make the API socket {path}: {problem.strerror}") from None
    listening.setblocking(False)
    return listening


def bind(unbound: socket.socket, path: Path, mode: int = SOCKET_MODE) -> None:
    """Make the socket's file with a mode, less the umask; changed afterwards, it would be wider for a moment.

    It is a trait of Linux that the file gets the mode that the unbound socket was given.
    """
    os.fchmod(unbound.fileno(), mode)
    unbound.bind(os.fspath(path))
