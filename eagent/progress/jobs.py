"""What runs on this host's GPUs, as far as it can be told apart."""

from __future__ import annotations

from dataclasses import dataclass

Key = tuple[int, int, int]  # a user, and the pid and start of the process that began it


@dataclass(frozen=True, slots=True)
class Job:
    """Processes that hold GPUs and were begun by one."""

    key: Key
    name: str  # the same in another run
    uuids: frozenset[str]
    shares: frozenset[str] = frozenset()  # those of its GPUs that somebody else's processes hold, too
