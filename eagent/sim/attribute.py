"""Files of a simulated kernel: what one shows, what writing to it does, and how the kernel reads numbers."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

ULONG_MAX = 2**64 - 1
SIZE = 4096  # what stat() says of every attribute of sysfs

# As the kernel's kstrtoul(): no space before it, one newline after it, base 10 or by prefix.
_DECIMAL = re.compile(r"\+?[0-9]+\n?\Z", re.ASCII)
_PREFIXED = re.compile(r"\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\n?\Z", re.ASCII)

Show = Callable[[], object]  # the file's text, without its last newline
Store = Callable[[str, int], None]  # what was written, and the writer's process id


@dataclass(frozen=True, slots=True)
class Attribute:
    """One file. Errors of `show` and `store` are OSError with the kernel's errno."""

    mode: int
    show: Show | None
    store: Store | None = None
    size: int = SIZE


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, relative as sysfs has them."""

    target: str


Tree = dict[str, Attribute | Link]  # by path from the root, without a leading slash; directories follow from it


def read_only(show: Show) -> Attribute:
    """A file that everybody may read."""
    return Attribute(0o444, show)


def constant(text: object) -> Attribute:
    """A file that always shows the same."""
    return Attribute(0o444, lambda: text)


def read_write(show: Show, store: Store) -> Attribute:
    """A file that root may write."""
    return Attribute(0o644, show, store)


def invalid(what: str) -> OSError:
    """The error for what a file does not take."""
    return OSError(errno.EINVAL, f"{what}: {os.strerror(errno.EINVAL)}")


def whole_number(text: str, *, prefixed: bool = False) -> int:
    """Read a number as the kernel's kstrtoul() does.

    Args:
        text: What was written.
        prefixed: Whether 0x and 0 choose the base.

    Raises:
        OSError: EINVAL for what is no such number, ERANGE for one of more than 64 bits.
    """
    if not (_PREFIXED if prefixed else _DECIMAL).match(text):
        raise invalid(repr(text))
    digits = text.strip("+\n")
    base = 10
    if prefixed and digits.startswith("0"):
        base = 16 if digits[:2] in ("0x", "0X") else 8
    number = int(digits, base)
    if number > ULONG_MAX:
        raise OSError(errno.ERANGE, f"{text!r}: {os.strerror(errno.ERANGE)}")
    return number


def truth(text: str) -> bool:
    """Read yes or no as the kernel's kstrtobool() does: only the first letter counts, of `on` and `off` the second."""
    lower = text[:2].lower()
    if lower[:1] in ("y", "t", "1") or lower == "on":
        return True
    if lower[:1] in ("n", "f", "0") or lower == "of":
        return False
    raise invalid(repr(text))


def first_word(text: str, longest: int) -> str:
    """Read a word as sscanf("%<longest>s") does.

    Raises:
        OSError: EINVAL: there is none.
    """
    words = text.split(maxsplit=1)
    if not words:
        raise invalid(repr(text))
    return words[0][:longest]
