"""A secret in a file of its own: written once, as a line of text, and readable by its owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from eagent.errors import ConfigError, RefusedError, UnavailableError

_READ_BYTES = 4096  # more than a key, so that a file with something behind the key is noticed


def write(path: Path, secret: str) -> None:
    """Write a secret into a new file with mode 0600 and make it durable.

    Raises:
        RefusedError: the file is there already. A key is not replaced in passing: others know its holder by it.
        UnavailableError: it can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            os.write(descriptor, f"{secret}\n".encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise RefusedError(f"{path} exists: remove it first if there shall be another key") from None
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None


def read(path: Path) -> str:
    """The text in such a file, without its line feed; whether it is a key is for who asks.

    Raises:
        ConfigError: it is no file.
        RefusedError: others can read or change it, so it is no secret.
        UnavailableError: it can't be read.
    """
    try:
        # Without O_NONBLOCK a FIFO would hold us up. The descriptor is asked, not the path: that may change in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            about = os.fstat(descriptor)
            content = os.read(descriptor, _READ_BYTES) if stat.S_ISREG(about.st_mode) else b""
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None
    if not stat.S_ISREG(about.st_mode):
        raise ConfigError(f"{path} is no file: must be one that holds a secret key")
    if about.st_mode & 0o077:
        raise RefusedError(f"{path}: mode {about.st_mode & 0o777:04o} lets others in: chmod 600, or make another key")
    if about.st_uid not in (0, os.geteuid()):
        raise RefusedError(f"{path} belongs to user {about.st_uid}: it must be root's or that of who runs this")
    return content.decode("ascii", "replace").removesuffix("\n")
