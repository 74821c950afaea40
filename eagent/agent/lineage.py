"""Who a process is and whose child, from the kernel: what a pid alone, which is used again, does not tell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from eagent.paths import PROC

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
SLACK_NS = 2 * TICK_NS  # between a start as the kernel rounds it and our clock
GENERATIONS_MAX = 64
KNOWN_MAX = 4096
REMEMBER_NS = 600_000_000_000  # the dead: nobody asks of what was so long ago, but jobs come and go without end
CAP_SYS_ADMIN = 1 << 21
COMMAND_MAX = 4096  # bytes of a command line

Identity = tuple[int, int]  # pid, and when it started in clock ticks since boot


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was when it was first looked at; it may have died since."""

    identity: Identity
    uid: int
    ancestors: frozenset[Identity] = frozenset()
    parent: int = field(default=0, compare=False)  # its pid when it was first looked at
    session: int = field(default=0, compare=False)

    def descends_from(self, other: Identity) -> bool:
        """Whether it is `other`, or was started by it, or by one that was."""
        return self.identity == other or other in self.ancestors


@dataclass(frozen=True, slots=True)
class _Status:
    """What /proc/PID/status tells."""

    uid: int  # the effective one
    depth: int  # in how many pid namespaces it is, one in the other
    capabilities: int  # the effective ones


class Lineage:
    """Looks processes up, and remembers those that it has seen."""

    def __init__(self, proc: Path = PROC, boot_ahead_ns: Callable[[], int] | None = None) -> None:
        """Nothing is looked at yet.

        Args:
            proc: The kernel's own /proc: pids are real on a simulated host, too.
            boot_ahead_ns: How far the clock that starts are told in is ahead of the monotonic one.
        """
        self._proc = proc
        self._boot_ahead_ns = boot_ahead_ns or _boot_ahead_ns
        self._known: dict[int, tuple[Process, int]] = {}  # with the time of the last look, in order of those

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def look(self, pid: int, at_ns: int) -> Process | None:
        """The process that had `pid` at a monotonic time not long ago; None if it can't be told any more."""
        known, _ = self._known.pop(pid, (None, 0))
        found = self._looked_up(pid, at_ns, known)
        if (remembered := found or known) is not None:
            self._known[pid] = remembered, at_ns
        self._forget(at_ns)
        return found

    def _looked_up(self, pid: int, at_ns: int, known: Process | None) -> Process | None:
        stat = self._stat(pid)
        if stat is None or stat[1] * TICK_NS - self._boot_ahead_ns() > at_ns + SLACK_NS:  # dead, or another by now
            return known
        status = self._status(pid)
        if known is not None and known.identity[1] == stat[1]:
            if status is not None and status.uid != known.uid:  # a launcher that has become its user
                return replace(known, uid=status.uid)
            return known
        if status is None:
            return None
        return Process((pid, stat[1]), status.uid, self._ancestors(stat[0]), stat[0], stat[2])

    def _forget(self, at_ns: int) -> None:
        """Those who are dead for long, and of too many those who were looked at longest ago.

        Who lives is kept: what it descends from may be dead, and could not be read again.
        """
        while self._known:
            pid = next(iter(self._known))
            process, looked_ns = self._known[pid]
            if len(self._known) <= KNOWN_MAX and looked_ns >= at_ns - REMEMBER_NS:
                return
            del self._known[pid]
            stat = self._stat(pid)
            if len(self._known) < KNOWN_MAX and stat is not None and stat[1] == process.identity[1]:
                self._known[pid] = process, at_ns

    def may_name(self, pid: int, uid: int) -> bool:
        """Whether a process may ask for whatever device it names: it is root's or ours, and in no container.

        In most containers root is the kernel's root as well, but lacks its privileges or its view of processes.
        """
        theirs, ours = self._status(pid), self._status(os.getpid())
        if uid not in (0, os.geteuid()) or theirs is None or ours is None or theirs.depth != ours.depth:
            return False
        return theirs.uid == uid and (uid != 0 or bool(theirs.capabilities & CAP_SYS_ADMIN))

    def command(self, pid: int) -> tuple[str, ...]:
        """The arguments that a process was started with, as far as it tells; its name alone where it tells nothing."""
        for name, separator in (("cmdline", b"\0"), ("comm", b"\n")):
            try:
                with (self._proc / str(pid) / name).open("rb") as file:
                    parts = file.read(COMMAND_MAX).split(separator)
            except OSError:
                continue
            if told := tuple(part.decode("utf-8", "replace") for part in parts if part):
                return told
        return ()

    def _ancestors(self, pid: int) -> frozenset[Identity]:
        found: list[Identity] = []
        while pid > 0 and len(found) < GENERATIONS_MAX:
            stat = self._stat(pid)
            if stat is None:
                break
            found.append((pid, stat[1]))
            pid = stat[0]
        return frozenset(found)

    def _stat(self, pid: int) -> tuple[int, int, int] | None:
        """Parent, start and session of a process."""
        try:
            data = (self._proc / str(pid) / "stat").read_bytes()
            fields = data[data.rindex(b")") + 2 :].split()  # its name may hold anything
            return int(fields[1]), int(fields[19]), int(fields[3])
        except (OSError, ValueError, IndexError):
            return None

    def _status(self, pid: int) -> _Status | None:
        try:
            lines = (self._proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace").splitlines()
            told = dict(line.split(":", 1) for line in lines if ":" in line)
            return _Status(int(told["Uid"].split()[1]), len(told["NSpid"].split()), int(told["CapEff"], 16))
        except (OSError, ValueError, KeyError, IndexError):
            return None


def _boot_ahead_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
