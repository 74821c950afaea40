"""Lists of GPUs as people type them: `0-3,6`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eagent.errors import InputError

RANGE = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?", re.ASCII)


def parse_gpus(text: str) -> tuple[int, ...]:
    """The GPUs in a list such as `0-3,6`, in order.

    Raises:
        InputError: not such a list.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise InputError(f"{text!r} is not a list of gpus: write it as 0-3,6")
        chosen.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(chosen))


def of_host(chosen: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """`chosen`, or where that is None all `count` GPUs of a host.

    Raises:
        InputError: the host has not all of them.
    """
    if chosen is None:
        return tuple(range(count))
    if max(chosen) >= count:
        raise InputError(f"no gpu {max(chosen)}: the host has {count}, from 0 to {count - 1}")
    return tuple(chosen)


def format_gpus(gpus: Sequence[int]) -> str:
    """`0-3,6` for GPUs in order."""
    parts: list[str] = []
    first = last = gpus[0]
    for gpu in [*gpus[1:], -1]:
        if gpu != last + 1:
            parts.append(str(first) if first == last else f"{first}-{last}")
            first = gpu
        last = gpu
    return ",".join(parts)
