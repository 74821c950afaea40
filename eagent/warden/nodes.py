"""Whether this process has a GPU open, by the kernel's own word: a driver's library may keep one open all the same."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

MAJOR = 195  # of /dev/nvidia0 and all others
OWN_FDS = Path("/proc/self/fd")


def is_open(bus_id: str, proc: Path, major: int = MAJOR, fds: Path = OWN_FDS) -> bool:
    """Whether the device node of the GPU at a PCI address is open here; False where the kernel does not tell its node.

    Args:
        bus_id: As NVML writes it, its domain with eight digits.
        proc: The kernel's /proc; a simulated host's shows no nodes.
        major: Of the driver's nodes.
        fds: What shows this process's descriptors.
    """
    minor = _minor(proc / "driver/nvidia/gpus" / bus_id.lower()[-12:] / "information")
    return minor is not None and any(_node(each) == (major, minor) for each in fds.iterdir())


def _minor(information: Path) -> int | None:
    try:
        found = re.search(r"^Device Minor:\s*(\d+)\s*$", information.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def _node(link: Path) -> tuple[int, int] | None:
    try:
        found = link.stat()
    except OSError:  # closed since, or the directory's own
        return None
    return (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISCHR(found.st_mode) else None
