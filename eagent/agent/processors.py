"""How many CPUs' worth of time the host's processes use, from the kernel's own counters through psutil."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import psutil

from eagent.model import NEVER, Reading, Status

SECOND_NS = 1_000_000_000
LOOK_EVERY_NS = 950_000_000  # once a second, for a loop whose turns come a little early or late
APART_MAX_NS = 6 * SECOND_NS  # the slowest loop turns every five: a mean over more would not be of now
SENSOR = "kernel cpu times"


class CpuTimes(Protocol):
    """What is used of psutil's cpu_times(): seconds since boot, of all CPUs together."""

    @property
    def user(self) -> float: ...
    @property
    def nice(self) -> float: ...
    @property
    def system(self) -> float: ...
    @property
    def irq(self) -> float: ...
    @property
    def softirq(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Used:
    """The CPU time used since boot, in seconds, as of a monotonic time."""

    at_ns: int
    seconds: float


def used_s(times: CpuTimes) -> float:
    """The seconds in which a CPU did something for this host.

    Not the idle ones, nor those of waiting for a disk (iowait), nor those that a hypervisor gave to others (steal). The
    time of guests is not added: the kernel counts it within user and nice.
    """
    return times.user + times.nice + times.system + times.irq + times.softirq


def busy_cpus(before: Used, after: Used) -> Reading:
    """The mean number of busy CPUs between two readings of the counters; failed when they ran backwards."""
    elapsed_s = (after.at_ns - before.at_ns) / SECOND_NS
    used = after.seconds - before.seconds
    if elapsed_s <= 0 or used < 0:
        return Reading(None, Status.FAILED, SENSOR)
    return Reading(used / elapsed_s, Status.OK, SENSOR, window_s=elapsed_s)


class Processors:
    """The busy CPUs of the last second. Asked more often, it answers what it read last, and how old that is."""

    def __init__(self, read: Callable[[], CpuTimes] = psutil.cpu_times) -> None:
        """Nothing is read yet.

        Args:
            read: Gives the counters. psutil reads them below `psutil.PROCFS_PATH`, which is the whole process's.
        """
        self._read = read
        self._before: Used | None = None
        self._reading = NEVER
        self._looked_ns: int | None = None

    def busy(self, now_ns: int) -> Reading:
        """How many CPUs were busy lately, at the monotonic time `now_ns`; missing until there are two looks."""
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._reading = self._look(now_ns)
            self._looked_ns = now_ns
        if self._reading is NEVER:
            return NEVER
        return replace(self._reading, age_s=max(0, now_ns - self._looked_ns) / SECOND_NS)

    def _look(self, now_ns: int) -> Reading:
        before, self._before = self._before, None
        try:
            self._before = Used(now_ns, used_s(self._read()))
        except FileNotFoundError:
            return NEVER
        except PermissionError:
            return Reading(None, Status.NO_PERMISSION, SENSOR)
        except (OSError, ValueError, TypeError):  # psutil on a file that is cut short, or not the kernel's
            return Reading(None, Status.FAILED, SENSOR)
        if before is None or now_ns - before.at_ns > APART_MAX_NS:
            return NEVER
        return busy_cpus(before, self._before)
