"""The bounded past of a sensor: what was known at each of its refreshes.

Every refresh of the last ten minutes, then about one a second for a day, in compact arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Any

SECOND_NS = 1_000_000_000
FINE_NS = 600 * SECOND_NS
DAY_NS = 24 * 3600 * SECOND_NS
MOST = 1 << 17  # entries, whatever happens: a day of seconds and ten minutes of the fastest sensor (V100, 50 Hz) fit

# The arrays are tidied in bulk: moving them at every entry would cost more than what waits. No more than an eighth of
# what is kept waits: so a track is as long as its past, and goes on growing for ten minutes and not for half an hour.
_TIDY_LEAST, _TIDY_SHARE = 256, 8


class Track:
    """Times, and totals up to them, both ascending. Read its columns; add by `add`."""

    columns: tuple[str, ...] = ("times", "totals_uj", "blurs_ns")

    def __init__(self, keep_ns: int = DAY_NS) -> None:
        """An empty track that reaches back `keep_ns`."""
        self.keep_ns = keep_ns
        self.times = array("q")
        self.totals_uj = array("q")
        self.blurs_ns = array("i")  # how far off the time may be
        self._coarse = 0  # this many entries have been thinned
        self._tidy_at = _TIDY_LEAST

    def __len__(self) -> int:
        """How many entries."""
        return len(self.times)

    def add(self, time_ns: int, total_uj: int, blur_ns: int) -> None:
        """Append an entry, which must be later than the last."""
        self.times.append(time_ns)
        self.totals_uj.append(total_uj)
        self.blurs_ns.append(blur_ns)
        if len(self.times) >= self._tidy_at:
            self.tidy(time_ns)

    def move_last(self, time_ns: int, blur_ns: int) -> None:
        """Say better when the last entry was."""
        self.times[-1], self.blurs_ns[-1] = time_ns, blur_ns

    def place(self, time_ns: int) -> int:
        """Where the first entry later than a time is; `len` if there is none."""
        return bisect_right(self.times, time_ns)

    def between_uj(self, begin_ns: int, end_ns: int) -> float:
        """What was added within a window between the first and the last entry, as if evenly between entries."""
        return self._at_uj(end_ns) - self._at_uj(begin_ns)

    def _at_uj(self, time_ns: int) -> float:
        place = min(max(self.place(time_ns), 1), len(self.times) - 1)
        low_ns, high_ns = self.times[place - 1], self.times[place]
        low_uj, high_uj = self.totals_uj[place - 1], self.totals_uj[place]
        return low_uj + (high_uj - low_uj) * (time_ns - low_ns) / (high_ns - low_ns)

    def is_steady(self, share: float) -> bool:
        """Whether the last two intervals, of three entries or more, grew at rates no farther apart than a share."""
        (first_ns, then_ns, last_ns), (first_uj, then_uj, last_uj) = self.times[-3:], self.totals_uj[-3:]
        before, after = (then_uj - first_uj) / (then_ns - first_ns), (last_uj - then_uj) / (last_ns - then_ns)
        return abs(after - before) <= share * max(before, after)

    def reach_ns(self, begin_ns: int, end_ns: int) -> int:
        """How much of a window lies between the first and the last entry."""
        if len(self.times) < 2:
            return 0
        return max(0, min(end_ns, self.times[-1]) - max(begin_ns, self.times[0]))

    def tidy(self, now_ns: int) -> None:
        """Thin what is older than ten minutes, and forget what is too old. `add` does it now and then."""
        times = self.times
        first = max(bisect_right(times, now_ns - self.keep_ns), len(times) - MOST)
        thinned = max(first, self._coarse)
        fine = max(thinned, bisect_right(times, now_ns - FINE_NS))
        kept: list[int] = []
        last_ns = times[thinned - 1] if thinned > first else times[first] - SECOND_NS
        for place in range(thinned, fine):
            if times[place] >= last_ns + SECOND_NS:
                kept.append(place)
                last_ns = times[place]
        for name in self.columns:
            column: array[Any] = getattr(self, name)
            picked = array(column.typecode, [column[place] for place in kept])
            setattr(self, name, column[first:thinned] + picked + column[fine:])
        self._coarse = thinned - first + len(kept)
        self._tidy_at = len(self.times) + max(_TIDY_LEAST, len(self.times) // _TIDY_SHARE)
