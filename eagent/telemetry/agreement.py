"""Whether a board's energy counter and its power readings can both be right."""

from __future__ import annotations

import math
from collections.abc import Callable

from eagent.telemetry.drawn import Drawn
from eagent.telemetry.spells import Spells
from eagent.telemetry.track import SECOND_NS, Track

BLOCK_NS = 10 * SECOND_NS
SUSTAINED = 3  # blocks in a row: a blip is none
# What boards read of true power (arXiv 2312.02741), widened by the counters' 1 % and by what a block's edges may cost.
GAINS = (0.87, 1.06)
OFFSETS_W = (-24.0, 16.0)
MARGIN_SHARE = 0.03
SIGMAS = 4.0


class Agreement:
    """Compares the two every ten seconds. `spells` is when they could not both be right."""

    def __init__(self, is_aliased: Callable[[int, int], bool]) -> None:
        """`is_aliased(begin_ns, end_ns)`: power readings that beat against the load are no contradiction."""
        self.spells = Spells()
        self._is_aliased = is_aliased
        self.due_ns = 0  # when `look` has something to do again
        self._begin_ns = 0
        self._against = 0

    def look(self, counted: Track, drawn: Drawn) -> None:
        """At the counter's totals and the power's, when the counter has just gained one."""
        now_ns = counted.times[-1]
        begin_ns, self._begin_ns, self.due_ns = self._begin_ns, now_ns, now_ns + BLOCK_NS
        end_ns = min(now_ns, drawn.times[-1]) if drawn.times else 0
        known_ns = min(counted.reach_ns(begin_ns, end_ns), drawn.reach_ns(begin_ns, end_ns))
        if known_ns < 0.9 * BLOCK_NS or known_ns < end_ns - begin_ns or drawn.gaps.overlap_ns(begin_ns, end_ns):
            return
        if self._agree(counted, drawn, begin_ns, end_ns) or self._is_aliased(begin_ns, end_ns):
            self._against = 0
            self.spells.end(begin_ns)
            return
        self._against += 1
        if self._against >= SUSTAINED:
            self.spells.begin(end_ns - SUSTAINED * BLOCK_NS)

    @staticmethod
    def _agree(counted: Track, drawn: Drawn, begin_ns: int, end_ns: int) -> bool:
        counted_j, drawn_j = (track.between_uj(begin_ns, end_ns) * 1e-6 for track in (counted, drawn))
        seconds = (end_ns - begin_ns) / SECOND_NS
        doubt_j = MARGIN_SHARE * max(counted_j, drawn_j) + SIGMAS * math.sqrt(drawn.variance(begin_ns, end_ns)) * 1e-6
        low_j, high_j = (gain * counted_j + offset_w * seconds for gain, offset_w in zip(GAINS, OFFSETS_W, strict=True))
        return low_j - doubt_j <= drawn_j <= high_j + doubt_j
