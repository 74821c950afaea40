"""The bounded past of one cumulative quantity: what it stood at when its sensor published.

Every refresh of the last ten minutes, then about one a second for a day, in compact arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

SECOND_NS = 1_000_000_000
FINE_NS = 600 * SECOND_NS
COARSE_NS = 24 * 3600 * SECOND_NS
MOST = 1 << 17  # entries, whatever happens: a day of seconds and ten minutes of the fastest sensor (V100, 50 Hz) fit

# The arrays are tidied in bulk: moving them at every entry would cost more than the few kilobytes.
_TIDY_EVERY = 4096


class Track:
    """Times and totals, both ascending. Read `times`, `totals_uj` and `blurs_ns`; add by `add`."""

    def __init__(self, keep_ns: int = COARSE_NS) -> None:
        """An empty track that reaches back `keep_ns`."""
        self.keep_ns = keep_ns
        self.times = array("q")
        self.totals_uj = array("q")
        self.blurs_ns = array("i")  # how far off the time may be
        self._coarse = 0  # this many entries have been thinned
        self._tidy_at = _TIDY_EVERY

    def __len__(self) -> int:
        """How many entries."""
        return len(self.times)

    def add(self, time_ns: int, total_uj: int, blur_ns: int) -> bool:
        """Append an entry; one that is not later than the last is refused."""
        times = self.times
        if times and time_ns <= times[-1]:
            return False
        times.append(time_ns)
        self.totals_uj.append(total_uj)
        self.blurs_ns.append(blur_ns)
        if len(times) >= self._tidy_at:
            self._tidy(time_ns)
        return True

    def after(self, time_ns: int) -> int:
        """The place of the first entry later than a time; `len` if there is none."""
        return bisect_right(self.times, time_ns)

    def _tidy(self, now_ns: int) -> None:
        times = self.times
        first = max(bisect_right(times, now_ns - self.keep_ns), len(times) - MOST)
        thinned = max(first, self._coarse)
        fine = max(thinned, bisect_right(times, now_ns - FINE_NS))
        kept: list[int] = []
        last_ns = times[thinned - 1] if thinned > first else times[thinned] - SECOND_NS
        for place in range(thinned, fine):
            if times[place] >= last_ns + SECOND_NS:
                kept.append(place)
                last_ns = times[place]
        self.times = _picked(times, first, thinned, kept, fine)
        self.totals_uj = _picked(self.totals_uj, first, thinned, kept, fine)
        self.blurs_ns = _picked(self.blurs_ns, first, thinned, kept, fine)
        self._coarse = thinned - first + len(kept)
        self._tidy_at = len(self.times) + _TIDY_EVERY


def _picked(column: array[int], first: int, thinned: int, kept: list[int], fine: int) -> array[int]:
    return column[first:thinned] + array(column.typecode, [column[place] for place in kept]) + column[fine:]
