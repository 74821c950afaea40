"""Whether the warden's loop goes on, as its parent sees it: by what its ring shows, look by look."""

from __future__ import annotations

from pathlib import Path

from eagent.errors import EagentError
from eagent.telemetry._ring import RingReader

LOOK_EVERY_S = 0.5
GAP_MOST_S = 2 * LOOK_EVERY_S  # we may have stood still ourselves: that counts against nobody


class LoopWatch:
    """Adds up for how long one half of a process's loop has shown no sign of life, over looks of our own."""

    def __init__(self, ring: Path) -> None:
        """Nobody is looked at yet."""
        self._path = ring
        self._reader: RingReader | None = None
        self._looked_s: float | None = None
        self._seen: tuple[object, object] | None = None
        self._silent_s = [0.0, 0.0]

    def silent_s(self, pid: int | None, now_s: float) -> float:
        """For how long the half that is silent for longer has been; 0 while `pid` writes no ring, as before its start.

        Args:
            pid: The warden's process.
            now_s: Monotonic seconds.
        """
        if self._looked_s is not None and now_s < self._looked_s + LOOK_EVERY_S:
            return max(self._silent_s)
        gap_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, GAP_MOST_S)
        self._looked_s = now_s
        signs = self._look(pid)
        if signs is None:
            self.forget()
            return 0.0
        before, self._seen = self._seen or (None, None), signs
        for half in range(2):
            moved = signs[half] != before[half]
            self._silent_s[half] = 0.0 if moved else self._silent_s[half] + gap_s
        return max(self._silent_s)

    def forget(self) -> None:
        """Nobody was looked at."""
        self._seen, self._silent_s = None, [0.0, 0.0]

    def close(self) -> None:
        """Let go of the ring."""
        self.forget()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _look(self, pid: int | None) -> tuple[object, object] | None:
        """What changes while each half goes on; None: there is no ring of this process."""
        try:
            if self._reader is None or self._reader.replaced():
                self.close()
                self._reader = RingReader(self._path)
            stats = self._reader.stats
            if self._reader.writer_pid != pid or not stats["started_ns"]:
                return None
            return (stats["heartbeat_ns"], self._reader.head), stats["actuator_beat_ns"]
        except EagentError:  # none, or of another version: nothing to judge by
            return None
