"""What the warden's loop costs and misses: means over the last minute, from the counters that its ring tells.

The counters are of the loop's last beat, and so are the times here: while a call hangs in the driver there is no beat,
and what was known before does not become a smaller share by the waiting.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import accumulate

from eagent.model import NEVER, Reading, Status
from eagent.telemetry.records import RingStats

SECOND_NS = 1_000_000_000
WINDOW_NS = 60 * SECOND_NS
LOOK_EVERY_NS = 950_000_000  # about once a second, for turns that come a little early or late
AGE_LIMIT_NS = 3 * SECOND_NS
SENSOR = "warden's loop"

# What is worth an alarm. A budget is kept over a minute, and so it is not judged by less.
JUDGED_NS = 55 * SECOND_NS
SHARE_MOST = 0.01  # of time inside NVML, for reads and for writes; of publications that passed unseen
UNSEEN_LEAST = 10
OVERRUN_MOST = 0.2  # of the loop's turns that last until after the next was due
SUBJECTS = ("read cost", "write cost", "shedding", "unseen refreshes", "late loop")


@dataclass(frozen=True, slots=True)
class _Look:
    """The counters at one beat of the loop."""

    at_ns: int
    stats: RingStats


class Costs:
    """The counters of the last minute. Told what the ring says, asked for shares."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._looks: deque[_Look] = deque()  # the first may be older than a minute, no other is
        self._latest: _Look | None = None

    def note(self, stats: RingStats | None) -> None:
        """Take what the ring tells now. None, no ring: nothing new. Another ring's counters begin the minute anew."""
        if stats is None or stats["heartbeat_ns"] <= stats["started_ns"]:
            return
        look = _Look(stats["heartbeat_ns"], stats)
        if self._latest is not None and _is_anew(self._latest.stats, stats):
            self._looks.clear()
        self._latest = look
        if not self._looks or look.at_ns - self._looks[-1].at_ns >= LOOK_EVERY_NS:
            self._looks.append(look)
        while len(self._looks) > 1 and self._looks[1].at_ns <= look.at_ns - WINDOW_NS:
            self._looks.popleft()

    def read_share(self, now_ns: int) -> Reading:
        """The share of the last minute that reads took inside NVML, 0 to 1."""
        return self._of_time("read_ns", now_ns)

    def write_share(self, now_ns: int) -> Reading:
        """The share of the last minute that writes and their read-back took inside NVML, 0 to 1."""
        return self._of_time("write_ns", now_ns)

    def unseen_share(self, now_ns: int) -> Reading:
        """Of the publications of busy GPUs' power sensors in the last minute, those missed and not shed, 0 to 1."""
        missed = self._difference("refreshes_missed") - self._difference("refreshes_shed")
        return self._of_publications(missed, now_ns)

    def shed_share(self, now_ns: int) -> Reading:
        """Of the publications of busy GPUs' power sensors in the last minute, those passed over on purpose, 0 to 1."""
        return self._of_publications(self._difference("refreshes_shed"), now_ns)

    def lateness(self, now_ns: int, share: float = 0.99) -> Reading:
        """The seconds that this share of the last minute's wake-ups was at most late; a power of two of microseconds.

        Without a value where the ring does not tell: those that are later than its last bound.
        """
        window_ns = self._window_ns()
        if window_ns is None:
            return NEVER
        counts = self._latenesses()
        total, value = sum(counts), None
        for bucket, within in enumerate(accumulate(counts[:-1])):
            if total and within >= share * total:
                value = 2**bucket / 1e6
                break
        return self._reading(value, window_ns, now_ns)

    def problems(self, now_ns: int) -> dict[str, str | None]:
        """What is wrong now, as a line per subject; None: nothing."""
        found: dict[str, str | None] = dict.fromkeys(SUBJECTS)
        if self._latest is None or now_ns - self._latest.at_ns > AGE_LIMIT_NS:
            return found
        since_ns = self._latest.stats["shed_since_ns"]
        found["shedding"] = self._shedding(since_ns) if since_ns else None
        if (self._window_ns() or 0) < JUDGED_NS:
            return found
        for subject, doing, share in (
            ("read cost", "reading", self.read_share(now_ns)),
            ("write cost", "writing", self.write_share(now_ns)),
        ):
            if share.value is not None and share.value > SHARE_MOST:
                found[subject] = (
                    f"{doing} took {share.value:.1%} of the driver's time in the last minute: more than "
                    f"{SHARE_MOST:.0%}"
                )
        found["unseen refreshes"] = self._unseen(now_ns)
        found["late loop"] = self._late()
        return found

    def _shedding(self, since_ns: int) -> str:
        """By what has come since it began, as far as the minute reaches back."""
        line = "reading takes too much of the driver's time"
        first = next((look for look in self._looks if look.at_ns >= since_ns), None)
        seen = self._difference("refreshes", first)
        shed = self._difference("refreshes_shed", first)
        if not seen or not shed:
            return f"{line}: not every publication of the power sensors is read"
        return f"{line}: of the power sensors' publications {max(shed / (seen + shed), 0.01):.0%} are passed over"

    def _unseen(self, now_ns: int) -> str | None:
        share = self.unseen_share(now_ns).value
        unseen = self._difference("refreshes_missed") - self._difference("refreshes_shed")
        if share is None or share <= SHARE_MOST or unseen < UNSEEN_LEAST:
            return None
        return (
            f"{share:.1%} of the power sensors' publications passed unseen in the last minute: the loop wakes late, or "
            "the driver is slow"
        )

    def _late(self) -> str | None:
        turns, overruns = self._difference("steps"), self._difference("missed")
        if not turns or overruns <= OVERRUN_MOST * turns:
            return None
        return (
            f"the warden's loop runs late: {overruns / turns:.0%} of its turns in the last minute ended after the next "
            "was due: the driver is slow, or the loop's CPU is taken"
        )

    def _of_time(self, counter: str, now_ns: int) -> Reading:
        window_ns = self._window_ns()
        if window_ns is None:
            return NEVER
        return self._reading(self._difference(counter) / window_ns, window_ns, now_ns)

    def _of_publications(self, some: int, now_ns: int) -> Reading:
        """Without a value when there was none: no GPU was busy."""
        window_ns = self._window_ns()
        if window_ns is None:
            return NEVER
        of = self._difference("refreshes") + self._difference("refreshes_missed")
        return self._reading(some / of if of else None, window_ns, now_ns)

    def _window_ns(self) -> int | None:
        if self._latest is None or self._latest.at_ns <= self._looks[0].at_ns:
            return None
        return self._latest.at_ns - self._looks[0].at_ns

    def _difference(self, counter: str, since: _Look | None = None) -> int:
        """How far a counter went in the last minute, or since a look in it."""
        if self._latest is None:
            return 0
        first = (since or self._looks[0]).stats
        return int(self._latest.stats[counter] - first[counter])  # type: ignore[literal-required]

    def _latenesses(self) -> list[int]:
        if self._latest is None:
            return []
        pairs = zip(self._latest.stats["lateness"], self._looks[0].stats["lateness"], strict=True)
        return [now - before for now, before in pairs]

    def _reading(self, value: float | None, window_ns: int, now_ns: int) -> Reading:
        age_ns = max(0, now_ns - self._latest.at_ns) if self._latest else 0
        if age_ns > AGE_LIMIT_NS:
            value, status = None, Status.STALE
        else:
            status = Status.MISSING if value is None else Status.OK
        return Reading(value, status, SENSOR, window_ns / SECOND_NS, age_ns / SECOND_NS)


def _is_anew(before: RingStats, now: RingStats) -> bool:
    """Whether these are another loop's counters: a new warden's, or in virtual time a new run's."""
    return now["started_ns"] != before["started_ns"] or now["steps"] < before["steps"]
