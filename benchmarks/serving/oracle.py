"""The best clock for each level of load, known in hindsight: the least energy at which every minute keeps its goals.

Each clock of a ladder is tried over the whole work. A level is all minutes in which a server had about as many
requests. Its best clock is the one that took the least energy for them among those at which all of them kept the goals
that full clocks kept. Then the work is run once more with each minute at its level's clock, known from its first
second.
"""

from __future__ import annotations

import math
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.scene import LEAD_S, MINUTE_S, SEED, SERVERS, Outcome, Window, Work, watch
from benchmarks.virtual import Ungoverned

TOP_MHZ, LEAST_MHZ, STEP_MHZ = 1410, 300, 30
LEVEL = 1.25  # from one level of load to the next
MISSES = 0.01  # of the minutes


class Locked(Ungoverned):
    """A host whose servers' clocks are locked as a plan says, minute by minute."""

    def __init__(self, directory: Path, plan: Callable[[str, int], int]) -> None:
        """`plan`: of a server and a minute, the lock's MHz."""
        super().__init__(directory, "locked", SEED)
        self._plan = plan
        self._mhz: dict[str, int] = {}

    def advance(self, to_s: float) -> None:
        """Let time pass; the lock of a minute is set at its beginning."""
        minute = math.floor((self.plant.time_s - LEAD_S) / MINUTE_S + 1e-6)
        for name, gpus in SERVERS.items():
            mhz = self._plan(name, max(minute, 0))
            if self._mhz.get(name) != mhz:
                self._mhz[name] = mhz
                for gpu in gpus:
                    self.plant.lock_clocks(gpu, self.plant.view(gpu)["sm_clock_min_mhz"], mhz)
        super().advance(to_s)


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What there was to choose from, and the choice."""

    by_clock: Mapping[int, Outcome]  # of a static lock
    best_mhz: Mapping[Window, int]
    outcome: Outcome

    @property
    def free(self) -> Outcome:
        """Full clocks."""
        return self.by_clock[TOP_MHZ]

    @property
    def static(self) -> tuple[int, Outcome]:
        """The lowest static lock that keeps 99 of 100 minutes that full clocks keep."""
        may = MISSES * len(self.free.kept)
        fit = [mhz for mhz, each in self.by_clock.items() if len(self.free.kept - each.kept) <= may]
        return min(fit), self.by_clock[min(fit)]


def run(work: Work, plan: Callable[[str, int], int]) -> Outcome:
    """The work on a host whose clocks are locked by a plan."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        host = Locked(Path(directory), plan)
        work.start(host.plant)
        came = watch(host, work.minutes, LEAD_S, work.end_s)
        host.close()
        return came


def search(work: Work) -> Hindsight:
    """Try all clocks, choose, and run the choice."""
    ladder = range(TOP_MHZ, LEAST_MHZ - 1, -STEP_MHZ)
    by_clock = {mhz: run(work, lambda *_, mhz=mhz: mhz) for mhz in ladder}
    free = by_clock[TOP_MHZ]
    levels: dict[int, list[Window]] = defaultdict(list)
    for window, minute in free.minutes.items():
        levels[round(math.log(max(minute.requests, 1), LEVEL))].append(window)
    best: dict[Window, int] = {}
    for windows in levels.values():
        good = free.kept.intersection(windows)
        fit = [mhz for mhz, each in by_clock.items() if good <= each.kept]
        mhz = min(fit, key=lambda mhz: sum(by_clock[mhz].minutes[window].energy_j for window in windows))
        best |= dict.fromkeys(windows, mhz)
    last = max(minute for _, minute in best)
    return Hindsight(by_clock, best, run(work, lambda name, minute: best[name, min(minute, last)]))
