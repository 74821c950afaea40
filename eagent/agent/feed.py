"""The agent's end of the sample ring: opened when there is one, opened again when there is another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from eagent.agent.pulse import Pulse, pulse
from eagent.agent.warden import Backoff
from eagent.errors import EagentError
from eagent.telemetry.records import Record, RingStats

log = logging.getLogger(__name__)


class Ring(Protocol):
    """What is needed of the ring's reading end."""

    @property
    def stats(self) -> RingStats: ...
    @property
    def lost(self) -> int: ...
    def drain(self) -> list[Record]: ...
    def replaced(self) -> bool: ...
    def close(self) -> None: ...


class Feed:
    """Records from whichever ring the living warden writes."""

    def __init__(self, open_ring: Callable[[], Ring]) -> None:
        """A feed without a ring yet; `open_ring` raises an EagentError while there is none."""
        self.stats: RingStats | None = None  # as of the last drain
        self.problem: str | None = None  # why there is no ring, as one line
        self._open_ring = open_ring
        self._ring: Ring | None = None
        self._reopen = Backoff()
        self._lost = 0
        self._record_ns = 0  # when the newest record was read

    def pulse(self, now_ns: int) -> Pulse:
        """How long ago each half of the warden's loop showed a sign of life, as of the last drain."""
        return pulse(self.stats, self._record_ns, now_ns)

    def silent_ns(self, now_ns: int) -> int | None:
        """How long nothing has been read; None when nothing ever was."""
        return self.pulse(now_ns).reading.silent_ns

    def changes(self, now_ns: int) -> int | None:
        """How many changes of what it holds the warden has counted; None while it does not say."""
        return None if self.stats is None or self._is_silent(now_ns) else self.stats["changes"]

    def drain(self, now_ns: int) -> list[Record]:
        """What has come since the last drain; `problem` then says whether there is a ring."""
        if self._ring is None or (self._is_silent(now_ns) and self._ring.replaced()):
            self._try(now_ns)
        if self._ring is None:
            return []
        records = self._ring.drain()
        self.stats = self._ring.stats
        if self._ring.lost > self._lost:
            log.warning("%d samples were overwritten before they were read", self._ring.lost - self._lost)
            self._lost = self._ring.lost
        if records:
            self._record_ns = max(self._record_ns, records[-1][0])
        self.problem = None
        return records

    def close(self) -> None:
        """Let go of the ring; the next drain opens the one that is there then."""
        if self._ring is not None:
            self._ring.close()
        self._ring, self.stats, self._lost, self._record_ns = None, None, 0, 0
        self._reopen.succeeded()

    def _is_silent(self, now_ns: int) -> bool:
        return self.pulse(now_ns).reading.hangs

    def _try(self, now_ns: int) -> None:
        """Open the ring that is there now. A silent one is kept until then: its last state still tells how silent."""
        if not self._reopen.ready(now_ns):
            return
        try:
            ring = self._open_ring()
        except EagentError as problem:
            self.problem = str(problem)
            self._reopen.failed(now_ns)
        else:
            self.close()
            self._ring = ring
