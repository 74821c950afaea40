"""What a process tells the service manager that started it: that it is ready, how it does, that it lives.

The protocol is that of sd_notify(3): datagrams of lines to the socket in $NOTIFY_SOCKET. Without one nobody asked, and
nothing is sent; a manager that does not listen is nobody's trouble but its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

SHARE = 3  # a sign of life is due so many times in the span after which the manager takes us for dead
STATUS_MAX = 300  # characters


class Notifier:
    """The way to the service manager, if there is one."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Nothing is sent yet."""
        place = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{place[1:]}" if place.startswith("@") else place
        self._due_ns = 0
        self._status = ""
        self.period_s: float | None = None  # how often `beat` is due; None: nobody watches
        usual = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if self._address and usual and environ.get("WATCHDOG_USEC", "").isdecimal():
            self.period_s = int(environ["WATCHDOG_USEC"]) / 1e6 / SHARE

    @property
    def listened_to(self) -> bool:
        """Whether a service manager started us and wants to be told."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """We do what we are for; or again, after `reloading`."""
        self._tell("READY=1", *self._changed(status))

    def reloading(self) -> None:
        """We are about to become our own successor; `ready` follows."""
        self._tell("RELOADING=1", "STATUS=hands over to its successor")

    def stopping(self) -> None:
        """We end in order, which may take a while."""
        self._tell("STOPPING=1")

    def beat(self, now_ns: int, status: str) -> None:
        """We have got on. Call it as often as you like: it is sent when it is due, and a new status with it."""
        if self.period_s is None or now_ns >= self._due_ns:
            lines = self._changed(status)
            if self.period_s is not None:
                self._due_ns = now_ns + int(self.period_s * 1e9)
                lines = ["WATCHDOG=1", *lines]
            if lines:
                self._tell(*lines)

    def _changed(self, status: str) -> list[str]:
        status = " ".join(status.split())[:STATUS_MAX]
        if status == self._status:
            return []
        self._status = status
        return [f"STATUS={status}"]

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as way,
        ):
            way.sendto("\n".join(lines).encode(), self._address)
