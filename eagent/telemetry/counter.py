"""A counter of energy made whole: across wraps, and across the resets that a driver's reload brings."""

from __future__ import annotations

from typing import NamedTuple

WORD_BITS = (32, 64)  # at which counters wrap; no board counts 2^64 mJ, but a driver may count from anywhere

# What a board may have drawn between two readings, beyond its greatest limit: bursts reach 140 % of it, and the
# readings' times are known to some milliseconds.
BURST = 2.0
SLACK_MJ = 100_000
UNKNOWN_LIMIT_W = 1000.0


class Step(NamedTuple):
    """What one reading added. `is_reset`: the counter began anew before it, and `added_mj` is only what came since."""

    added_mj: int
    is_reset: bool = False


class Counter:
    """Turns raw readings into what was added since the one before. Never negative, never more than can be."""

    def __init__(self, max_power_w: float) -> None:
        """For a device that is never told to draw more than `max_power_w`; 0: unknown."""
        self._most_mw = BURST * 1e3 * (max_power_w or UNKNOWN_LIMIT_W)
        self._raw = -1
        self._time_ns = 0

    def add(self, time_ns: int, raw_mj: int) -> Step:
        """Take a reading; 64 bits that arrive as a signed number are meant as unsigned ones."""
        raw_mj &= (1 << 64) - 1
        before, elapsed_ns = self._raw, time_ns - self._time_ns
        self._raw, self._time_ns = raw_mj, time_ns
        if before < 0:
            return Step(0)
        most_mj = self._most_mw * elapsed_ns * 1e-9 + SLACK_MJ
        added_mj = raw_mj - before
        if 0 <= added_mj <= most_mj:
            return Step(added_mj, False)
        for bits in WORD_BITS:
            wrapped_mj = added_mj + (1 << bits)
            if added_mj < 0 and before < 1 << bits and wrapped_mj <= most_mj:
                return Step(wrapped_mj)
        # From anew, or from what an old state held: then nothing is known of what came since.
        return Step(raw_mj if raw_mj <= most_mj else 0, is_reset=True)
