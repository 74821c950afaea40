"""The socket at which jobs say how far they have come: datagrams, whose senders the kernel tells."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from eagent.errors import UnavailableError
from eagent.progress.beats import MESSAGE_MAX, Beats, decode

MODE = 0o666  # anybody: a beat counts for the sender's own job only
AT_ONCE = 512  # messages ...
PAUSE_S = 0.02  # ... and then others have their turn. A flood costs the agent some percent of a CPU, and no more

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class BeatSocket:
    """Listens, and hands what comes to `beats`."""

    def __init__(self, path: Path, beats: Beats, clock: Callable[[], int], shift_ns: int = 0) -> None:
        """Not open yet.

        Args:
            path: Where.
            beats: Takes what comes.
            clock: Monotonic nanoseconds.
            shift_ns: How far our monotonic clock is ahead of the kernel's own, which messages are told in.
        """
        self._path = path
        self._beats = beats
        self._clock = clock
        self._shift_ns = shift_ns
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Listen, within the running loop.

        Raises:
            UnavailableError: it can't be made there.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()  # of the agent before: this one holds the lock of the directory
            listener.bind(str(self._path))
            self._path.chmod(MODE)
        except OSError as problem:
            listener.close()
            raise UnavailableError(f"{self._path}: jobs can't tell how far they are: {problem.strerror}") from None
        self._socket, self._loop = listener, asyncio.get_running_loop()
        self._loop.add_reader(listener, self._read)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is None or self._loop is None:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _read(self) -> None:
        if self._socket is None or self._loop is None:
            return
        for _ in range(AT_ONCE):
            try:
                message, told, flags, _ = self._socket.recvmsg(MESSAGE_MAX, socket.CMSG_SPACE(_CREDENTIALS.size))
            except OSError:  # nothing more is there
                return
            self._take(message, told, whole=not flags & socket.MSG_TRUNC)
        self._loop.remove_reader(self._socket)
        self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._socket is not None and self._loop is not None:
            self._loop.add_reader(self._socket, self._read)

    def _take(self, message: bytes, told: list[tuple[int, int, bytes]], *, whole: bool) -> None:
        beat = decode(message, self._shift_ns) if whole else None
        for level, kind, data in told:
            if level != socket.SOL_SOCKET or len(data) < _CREDENTIALS.size:
                continue
            if kind == socket.SCM_CREDENTIALS:
                pid, uid, _ = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
                if beat is not None and pid > 0:
                    self._beats.take(beat, pid, uid, self._clock())
            elif kind == socket.SCM_RIGHTS:  # somebody sends open files: they are not ours to keep
                for at in range(0, len(data) - 3, 4):
                    with contextlib.suppress(OSError):
                        os.close(struct.unpack_from("i", data, at)[0])
