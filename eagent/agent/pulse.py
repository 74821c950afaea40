"""Whether the warden's loop is alive: its two halves' signs of life, and what it means when one has none. Pure.

The half that reads and the half that writes have a thread each. Where the driver hangs with its one lock held, both
stand; where only a setter hangs, only the half that writes does.
"""

from __future__ import annotations

from dataclasses import dataclass

from eagent.model import HANGS_AFTER_NS
from eagent.telemetry.records import RingStats

SECOND_NS = 1_000_000_000

READING, WRITING = "reading", "writing"

MEANS = {
    READING: "readings are missing until it ends",
    WRITING: "knobs stay where they were set last, and limits count so, until it ends",
}


@dataclass(frozen=True, slots=True)
class Half:
    """One half of the loop."""

    name: str
    silent_ns: int | None  # since its last sign of life; None: it never showed one

    @property
    def hangs(self) -> bool:
        """Whether it has been silent for too long to be only late."""
        return self.silent_ns is not None and self.silent_ns > HANGS_AFTER_NS

    def problem(self, *, warden_answers: bool) -> str | None:
        """What is wrong with it now, as one line; None: nothing."""
        if not self.hangs:
            return None
        seconds = (self.silent_ns or 0) / SECOND_NS
        if not warden_answers:  # one line for both
            gone = f"the warden's loop is silent for {seconds:.0f} s: the warden is gone, or stands still"
            return gone if self.name == READING else None
        return f"the warden's {self.name} half hangs in a call of the driver for {seconds:.0f} s: {MEANS[self.name]}"


@dataclass(frozen=True, slots=True)
class Pulse:
    """Both halves."""

    reading: Half
    writing: Half

    @property
    def halves(self) -> tuple[Half, Half]:
        """The one that reads, the one that writes."""
        return self.reading, self.writing


UNKNOWN = Pulse(Half(READING, None), Half(WRITING, None))


def pulse(stats: RingStats | None, record_ns: int, now_ns: int) -> Pulse:
    """The halves' silences.

    Args:
        stats: What the ring told last; None: there was none.
        record_ns: When the newest record was read: where each call takes long, a turn of many is no sign of life for
            long, but what it has read on its way is one. 0: there was none.
        now_ns: Monotonic time.
    """
    if stats is None or not stats["started_ns"]:
        return UNKNOWN
    reading_ns = max(stats["heartbeat_ns"], stats["started_ns"], record_ns)
    writing_ns = max(stats["actuator_beat_ns"], stats["started_ns"])
    return Pulse(Half(READING, max(0, now_ns - reading_ns)), Half(WRITING, max(0, now_ns - writing_ns)))
