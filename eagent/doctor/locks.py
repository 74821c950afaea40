"""Who holds a lock file, as the kernel tells it: trying the lock would keep a process from starting."""

from __future__ import annotations

import os
from pathlib import Path


def holder(lock: Path, proc: Path) -> int | None:
    """The pid that holds `lock` by flock(2); None if nobody does, or nobody whom we may see.

    On some file systems the kernel's device number differs from that of stat(2): the pid in the file decides there.
    """
    try:
        made = lock.stat()
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        return None
    device = f"{os.major(made.st_dev):02x}:{os.minor(made.st_dev):02x}"
    for line in lines:
        match line.split():
            case [_, "FLOCK", _, "WRITE", pid, place, *_]:
                where, _, inode = place.rpartition(":")
                if inode == str(made.st_ino) and (where == device or pid == _written(lock)):
                    return int(pid)
    return None


def _written(lock: Path) -> str:
    try:
        return lock.read_text().strip()
    except OSError:
        return ""
