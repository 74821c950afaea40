"""Stretches of time in which something was wrong: in order, the oldest forgotten."""

from __future__ import annotations

from array import array

_MOST = 1024
_FOREVER = (1 << 63) - 1


class Spells:
    """Begins and ends, one after the other; the last may still go on."""

    def __init__(self) -> None:
        """None so far."""
        self._begins = array("q")
        self._ends = array("q")

    @property
    def open(self) -> bool:
        """Whether the last one goes on."""
        return bool(self._ends) and self._ends[-1] == _FOREVER

    def begin(self, time_ns: int) -> None:
        """One begins, unless one goes on."""
        if not self.open:
            self.add(time_ns, _FOREVER)

    def end(self, time_ns: int) -> None:
        """What goes on, ends."""
        if self.open:
            self._ends[-1] = max(time_ns, self._begins[-1])

    def add(self, begin_ns: int, end_ns: int) -> None:
        """One that is over."""
        self._begins.append(begin_ns)
        self._ends.append(end_ns)
        if len(self._begins) > _MOST:
            del self._begins[: _MOST // 2], self._ends[: _MOST // 2]

    def overlap_ns(self, begin_ns: int, end_ns: int) -> int:
        """How much of a window lies in them."""
        total_ns = 0
        for place in range(len(self._begins) - 1, -1, -1):
            if self._ends[place] <= begin_ns:
                break
            total_ns += max(0, min(end_ns, self._ends[place]) - max(begin_ns, self._begins[place]))
        return total_ns
