"""What eagent's two processes use of the host's CPUs and memory, from the kernel's own /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eagent.model import NEVER, Reading, Status
from eagent.paths import PROC

SECOND_NS = 1_000_000_000
LOOK_EVERY_NS = 5 * SECOND_NS
TICKS = os.sysconf("SC_CLK_TCK")  # a second
PAGE_B = os.sysconf("SC_PAGE_SIZE")
SENSOR = "kernel process times"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has used since it began, as of one look."""

    started: int  # in clock ticks since boot: a pid alone is used again
    cpu_s: float
    resident_b: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """A process as of the last look. `cpu_share` is of one CPU, between the last two looks; at first since it began."""

    pid: int
    cpu_s: float
    resident_b: int
    cpu_share: Reading


def parse(stat: str) -> Usage | None:
    """What /proc/PID/stat tells; None: that is no such line.

    The second field is the program's name in parentheses, with whatever the program likes in it.
    """
    fields = stat.rpartition(")")[2].split()
    try:
        # proc_pid_stat(5) counts from 1, and two are before what is here.
        ticks, started, pages = int(fields[11]) + int(fields[12]), int(fields[19]), int(fields[21])
    except (IndexError, ValueError):
        return None
    return Usage(started, ticks / TICKS, pages * PAGE_B)


class Footprints:
    """Looks at processes once in some seconds. Asked more often, it answers what it read last."""

    def __init__(self, proc: Path = PROC, booted_s: Callable[[], float] | None = None) -> None:
        """Nothing is read yet.

        Args:
            proc: Where the kernel shows processes: its own, on a simulated host, too.
            booted_s: How long ago the kernel booted, by the clock that it tells starts in.
        """
        self._proc = proc
        self._booted_s = booted_s or _booted_s
        self._asked: dict[str, int | None] = {}
        self._looked_ns = 0
        self._before: dict[int, tuple[int, Usage]] = {}  # per pid, when and what
        self._found: dict[str, Footprint | None] = {}

    def look(self, pids: Mapping[str, int | None], now_ns: int) -> dict[str, Footprint | None]:
        """The processes by the names given; None: not known, or not there."""
        if pids != self._asked:  # one of them is another by now; a share of a moment would be one of the kernel's ticks
            self._asked, self._before = dict(pids), {}
        elif now_ns - self._looked_ns < LOOK_EVERY_NS:
            return self._found
        self._looked_ns = now_ns
        self._found = {name: self._see(pid, now_ns) for name, pid in pids.items()}
        return self._found

    def _see(self, pid: int | None, now_ns: int) -> Footprint | None:
        if pid is None:
            return None
        try:
            usage = parse((self._proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
        except OSError:  # it is gone, or not to be seen from here
            usage = None
        if usage is None:
            self._before.pop(pid, None)
            return None
        at_ns, before = self._before.get(pid, (now_ns, usage))
        self._before[pid] = now_ns, usage
        if before is usage or before.started != usage.started:
            share = _share(usage.cpu_s, self._booted_s() - usage.started / TICKS)
        else:
            share = _share(usage.cpu_s - before.cpu_s, (now_ns - at_ns) / SECOND_NS)
        return Footprint(pid, usage.cpu_s, usage.resident_b, share)


def _share(cpu_s: float, elapsed_s: float) -> Reading:
    return Reading(cpu_s / elapsed_s, Status.OK, SENSOR, elapsed_s) if elapsed_s > 0 else NEVER


def _booted_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
