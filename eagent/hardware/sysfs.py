"""Attributes of the kernel under /sys, read and written one by one, with errors that say what is missing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from eagent.errors import DriverError

SIZE = 4096  # no attribute of sysfs is longer

# What a person can do about it.
_ADVICE = {
    errno.EACCES: "needs root, or the capability CAP_DAC_OVERRIDE",
    errno.EPERM: "needs root, or the capability CAP_SYS_ADMIN",
    errno.EROFS: "a container must be given a writable /sys",
    errno.EBUSY: "its CPUs are off line, or another setting governs it",
}


class AttributeMissingError(DriverError):
    """The kernel does not have this attribute, or has no value for it."""


class AttributeBusyError(DriverError):
    """The kernel can't serve this attribute now: its CPU is off line, or another setting governs it."""


def read(path: Path) -> str:
    """The attribute's text, without blanks around it.

    Raises:
        AttributeMissingError: there is no such file, or the kernel has no data behind it.
        DriverError: it can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, SIZE).decode("ascii", "replace").strip()
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise _error(problem, f"cannot read {path}") from None


def read_whole(path: Path) -> int:
    """The attribute's number.

    Raises:
        AttributeMissingError: as `read`.
        DriverError: it can't be read, or is no whole number.
    """
    text = read(path)
    if not (text.isascii() and text.isdigit()):
        raise DriverError(f"cannot read {path}: {text[:40]!r} is not a whole number")
    return int(text)


def write(path: Path, text: str) -> None:
    """Write the attribute, in one call as the kernel wants it. Never makes a file.

    Raises:
        AttributeMissingError: there is no such file, or the kernel has nothing to set behind it.
        DriverError: it can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise _error(problem, f"cannot write {text!r} to {path}") from None


def _error(problem: OSError, what: str) -> DriverError:
    number = problem.errno or 0
    kind: type[DriverError] = DriverError
    if number in (errno.ENOENT, errno.ENODATA, errno.ENODEV):
        kind = AttributeMissingError
    elif number == errno.EBUSY:
        kind = AttributeBusyError
    advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
    return kind(f"{what}: {os.strerror(number)}{advice}")
