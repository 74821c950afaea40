"""Who listens at a port of this host: what the kernel tells anybody, and what it tells of our own processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from eagent.paths import PROC

LISTENING = "0A"
LINES_MAX = 65_536


def listeners(port: int, proc: Path = PROC) -> Iterator[tuple[int, int]]:
    """User and inode of each socket that listens at a TCP port, in our own network namespace."""
    for name in ("tcp", "tcp6"):
        try:
            with (proc / "net" / name).open(encoding="ascii", errors="replace") as file:
                for _, line in zip(range(LINES_MAX), file, strict=False):
                    fields = line.split()
                    if len(fields) > 9 and fields[3] == LISTENING and fields[1].endswith(f":{port:04X}"):
                        yield int(fields[7]), int(fields[9])
        except (OSError, ValueError):
            continue


def holds(pid: int, inode: int, proc: Path = PROC) -> bool | None:
    """Whether a process has a socket open; None where that is none of our business."""
    try:
        with os.scandir(proc / str(pid) / "fd") as entries:
            for entry in entries:
                try:
                    if str(Path(entry.path).readlink()) == f"socket:[{inode}]":
                        return True
                except OSError:  # closed meanwhile
                    continue
    except OSError:
        return None
    return False
