"""Which life of the GPU driver this is: a reload resets every GPU's settings, and nothing else tells of it later."""

from __future__ import annotations

from pathlib import Path

MODULE = "module/nvidia"


def generation(sysfs: Path) -> str:
    """A text that differs for each time the kernel has loaded the GPU driver since it booted; "" where none tells.

    It is the inode of the module's directory: the kernel numbers what sysfs shows anew, and in a boot uses no number
    twice (fs/kernfs/dir.c, idr_alloc_cyclic with a generation).

    Args:
        sysfs: What stands for /sys.
    """
    try:
        return str((sysfs / MODULE).stat().st_ino)
    except OSError:
        return ""
