"""When the warden is asked again for what it holds.

A question costs the process that runs as root milliseconds on a host whose caches are cold, and mostly the answer is
the one before. The warden's loop counts in the ring what has changed: it is asked when it has, and now and then all the
same, for what changes with time alone.
"""

from __future__ import annotations

LEAST_NS = 1_000_000_000  # between two questions: limits that a policy moves change in every turn
MOST_NS = 10_000_000_000


class Questions:
    """What of the warden's changes has been asked for."""

    def __init__(self) -> None:
        """Nothing has."""
        self._changes: int | None = None
        self._asked_ns: int | None = None

    def are_due(self, changes: int | None, now_ns: int) -> bool:
        """Whether to ask.

        Args:
            changes: How many the ring told of when it was last read; None: it tells nothing now.
            now_ns: Monotonic time.
        """
        if self._asked_ns is None:
            return True
        quiet_ns = MOST_NS if changes is not None and changes == self._changes else LEAST_NS
        return now_ns >= self._asked_ns + quiet_ns

    def asked(self, changes: int | None, now_ns: int) -> None:
        """There is an answer; it covers the changes that the ring told of before the question."""
        self._changes, self._asked_ns = changes, now_ns

    def ask(self) -> None:
        """Ask in the next turn, whatever the ring tells."""
        self._asked_ns = None
