"""An initial RAM file system for the guest: busybox, the modules and a script, in cpio's "newc" format."""

from collections.abc import Mapping
from pathlib import Path

DIRECTORIES = ("dev", "proc", "sys", "lower", "upper", "root", "modules", "bin")


def build(target: Path, files: Mapping[str, tuple[int, bytes]]) -> None:
    """Write the archive.

    Args:
        target: the file to write.
        files: mode and content by path, without a leading slash, beside the empty DIRECTORIES.
    """
    entries = dict.fromkeys(DIRECTORIES, (0o040755, b""))
    entries |= {name: (0o100000 | mode, content) for name, (mode, content) in files.items()}
    entries["TRAILER!!!"] = (0, b"")
    with target.open("wb") as archive:
        for inode, (name, (mode, content)) in enumerate(entries.items(), 1):
            fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
            header = b"070701" + b"".join(b"%08X" % field for field in fields)
            archive.write(padded(header + name.encode() + b"\0") + padded(content))


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
