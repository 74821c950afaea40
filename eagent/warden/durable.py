"""Small files that must survive a crash at any instruction: whole, checked, and on the disk before the call returns."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from eagent.errors import ProtocolError

VERSION = 1
FILE_MAX_BYTES = 65_536


def store(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that a reader finds either the old file or the whole new one, also after a power loss.

    Raises:
        OSError: it could not be made durable; the old file, if any, stands.
    """
    body = json.dumps(content, sort_keys=True)
    text = json.dumps(
        {"version": VERSION, "crc32": zlib.crc32(body.encode()), "content": content}, indent=1, sort_keys=True
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
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
        ProtocolError: the file is damaged, or of another version.
        OSError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(raw) > FILE_MAX_BYTES:
        raise ProtocolError(f"{path}: larger than {FILE_MAX_BYTES} bytes: not one of eagent's files")
    try:
        document = json.loads(raw)
        version, stated, content = document["version"], document["crc32"], document["content"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ProtocolError(f"{path}: damaged: not a whole file of eagent's") from None
    if version != VERSION:
        raise ProtocolError(f"{path}: version {version!r}; this eagent reads version {VERSION}")
    if not isinstance(content, dict) or zlib.crc32(json.dumps(content, sort_keys=True).encode()) != stated:
        raise ProtocolError(f"{path}: damaged: its checksum does not match")
    return content


def remove(path: Path) -> None:
    """Remove the file, durably.

    Raises:
        OSError: it could not be removed.
    """
    path.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
