"""The mount of a simulated host's /sys and /proc as others see it: whether it is there, who serves it, and how it ends.

One process serves it and holds a lock as long as it lives; its pid is the lock file's text. If it was killed, the mount
stays behind, answers every access with ENOTCONN, and is cleared by the next who comes.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import DriverError

PATIENCE_S = 10.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Mount:
    """Where it is or would be, and the lock of the process that serves it."""

    point: Path
    lock: Path

    @property
    def mounted(self) -> bool:
        """Whether anything is mounted there, served or not."""
        places = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        point = os.path.realpath(self.point.parent) + "/" + self.point.name  # the last part may be dead to stat()
        return point in (_unescaped(line.split()[4]) for line in places)

    @property
    def server(self) -> int | None:
        """The process that serves it, if one lives."""
        try:
            with self.lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            text = self.lock.read_text(encoding="ascii", errors="replace").strip()
            return int(text) if text.isdigit() else 0
        return None

    def hold(self) -> int | None:
        """Take the server's lock; the kernel drops it when this process ends. None: another has it."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def stop(self) -> None:
        """End the server, and the mount with it; also a mount that a killed server left behind.

        Raises:
            DriverError: it does not go.
        """
        pid = self.server
        if pid:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while self.server is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if self.server is not None:
            raise DriverError(f"{self.point}: the process that serves it (pid {pid}) does not end")
        self.clear()

    def clear(self) -> None:
        """Unmount what nobody serves any more.

        Raises:
            DriverError: it can't be unmounted.
        """
        if not self.mounted:
            return
        tool = shutil.which("fusermount3") or shutil.which("fusermount")
        command = [tool, "-u", "-z"] if tool else ["umount", "-l"]
        done = subprocess.run([*command, str(self.point)], capture_output=True, text=True, check=False)
        if self.mounted:
            raise DriverError(f"{self.point}: cannot be unmounted: {done.stderr.strip()}")


def _unescaped(field: str) -> str:
    """A path as mountinfo writes it: blanks and backslashes in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
