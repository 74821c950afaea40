"""Small files that must survive a crash at any instruction: whole, checked, and on the disk before the call returns."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import zlib
from pathlib import Path
from typing import Any

from eagent.errors import ProtocolError

VERSION = 1
FILE_MAX_BYTES = 65_536
SHOWN_MAX = 300  # characters of a path: lines must fit into messages


def store(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that a reader finds either the old file or the whole new one, also after a power loss.

    Raises:
        OSError: it could not be made durable, or is too large to be read again. A whole file stands at `path`, the old
            or the new one, if there was an old one.
    """
    body = json.dumps(content, sort_keys=True)
    text = json.dumps(
        {"version": VERSION, "crc32": zlib.crc32(body.encode()), "content": content}, indent=1, sort_keys=True
    )
    if len(text) > FILE_MAX_BYTES:
        raise OSError(errno.EFBIG, f"{len(text)} bytes; the most is {FILE_MAX_BYTES}")
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.unlink(missing_ok=True)  # of a dead process that had our number
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def load(path: Path) -> dict[str, Any] | None:
    """The content stored at `path`; None if there is no such file.

    Raises:
        ProtocolError: the file is damaged, of another version or another user's, or no file: reading a pipe would wait
            for ever.
        OSError: it can't be read.
    """
    raw = _read(path)
    if raw is None:
        return None
    if len(raw) > FILE_MAX_BYTES:
        raise ProtocolError(f"{shown(path)}: larger than {FILE_MAX_BYTES} bytes: not one of eagent's files")
    try:
        document = json.loads(raw)
        version, stated, content = document["version"], document["crc32"], document["content"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ProtocolError(f"{shown(path)}: damaged: not a whole file of eagent's") from None
    if type(version) is not int or version < VERSION:
        raise ProtocolError(f"{shown(path)}: damaged: version {str(version)[:20]!r}")
    if version > VERSION:
        raise ProtocolError(
            f"{shown(path)}: written by a later eagent, version {version}; this eagent reads version {VERSION}"
        )
    if not isinstance(content, dict) or zlib.crc32(json.dumps(content, sort_keys=True).encode()) != stated:
        raise ProtocolError(f"{shown(path)}: damaged: its checksum does not match")
    return content


def _read(path: Path) -> bytes | None:
    """What the file holds, and a byte more than any of ours where it is larger; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as problem:
        if problem.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise
        raise ProtocolError(f"{shown(path)}: a link or socket, and not one of eagent's files") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise ProtocolError(f"{shown(path)}: not a plain file, so not one of eagent's")
        check_owner(descriptor, path)
        return os.read(descriptor, FILE_MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def check_owner(descriptor: int, path: Path) -> None:
    """Believe no file of somebody else, who may make some there, too, as the agent may in the run directory.

    Raises:
        ProtocolError: it belongs to neither root nor us, nor to whoever owns the directory and so could exchange all.
    """
    owner = os.fstat(descriptor).st_uid
    if owner not in (0, os.geteuid(), path.parent.stat().st_uid):
        raise ProtocolError(f"{shown(path)}: belongs to user {owner}, so not one of eagent's")


def remove(path: Path) -> None:
    """Remove the file, durably.

    Raises:
        OSError: it could not be removed.
    """
    path.unlink(missing_ok=True)
    _sync_directory(path.parent)


def sweep(directory: Path) -> None:
    """Remove the drafts that dead processes have left. Only who holds the lock of the directory may.

    Raises:
        OSError: the directory can't be read. A draft that can't be removed stays: it harms nobody.
    """
    for path in directory.iterdir():
        if re.fullmatch(r"\..+\.json\.[0-9]+\.tmp", path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def shown(path: Path) -> str:
    """A path as text for one line, whatever bytes somebody has put into its name."""
    text = str(path)
    if not text.isprintable():
        text = ascii(text)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX // 2]}...{text[-SHOWN_MAX // 2 :]}"


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
