"""Which processes on this host's GPUs are one job, what it is called, and whose job another process is of.

The ranks of a job are begun by one launcher at one time, and by that they are told from other jobs of the same user.
What a shell begins is not one job: its children are told apart.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePath
from typing import Protocol

from eagent.agent.holders import NOBODY
from eagent.agent.lineage import TICK_NS, Process
from eagent.model import Device, DeviceKind
from eagent.progress.beats import cleaned
from eagent.progress.jobs import Job, Key

LOOK_NS = 1_000_000_000  # holders are looked for once a second
GENERATIONS_MAX = 16
TOGETHER_TICKS = 10_000_000_000 // TICK_NS  # ranks begin no farther apart, one to the next
JOBS_OF_ONE_PROCESS = 16
NAME_MAX = 40

# Who begins many jobs, and is no launcher of one.
SHELLS = frozenset(("bash", "sh", "dash", "zsh", "fish", "ksh", "tcsh", "csh", "busybox", "tmux", "screen"))
BEGINNERS = SHELLS | {"sshd", "login", "su", "sudo", "cron", "crond", "init", "systemd", "tini", "dumb-init", "runsv"}


class Holding(Protocol):
    """What is needed of `Holders`."""

    def processes(self, uuid: str, now_ns: int) -> tuple[Process, ...] | None: ...


class Processes(Protocol):
    """What is needed of `Lineage`."""

    def look(self, pid: int, at_ns: int) -> Process | None: ...
    def command(self, pid: int) -> tuple[str, ...]: ...


class Jobs:
    """The jobs of the host's GPUs, as of the last look at who holds them."""

    def __init__(self, holding: Holding, processes: Processes, devices: Callable[[], Iterable[Device]]) -> None:
        """No job yet."""
        self._holding = holding
        self._processes = processes
        self._devices = devices
        self._looked_ns: int | None = None
        self._jobs: tuple[Job, ...] = ()
        self._holders: dict[Process, Key] = {}
        self._names: dict[Key, str] = {}
        self._launchers: dict[Key, Process | None] = {}

    def look(self, now_ns: int) -> tuple[Job, ...]:
        """The jobs at a monotonic time."""
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            self._look(now_ns)
        return self._jobs

    def place(self, pid: int, uid: int, now_ns: int) -> Collection[Key]:
        """The jobs that a process is of: its own, or those of the nearest of its ancestors that have begun some.

        Only ancestors of its own user and session count: a neighbour in another terminal begins none of its jobs.
        """
        self.look(now_ns)
        caller = self._processes.look(pid, now_ns) if pid else None
        if caller is None or caller.uid != uid:
            return ()
        process = caller
        mine = {holder: key for holder, key in self._holders.items() if holder.uid == uid}
        for _ in range(GENERATIONS_MAX if mine else 0):
            found = {
                key
                for holder, key in mine.items()
                if holder.descends_from(process.identity) or process.descends_from(holder.identity)
            }
            if found:
                return sorted(found)[:JOBS_OF_ONE_PROCESS]
            above = self._processes.look(process.parent, now_ns) if process.parent > 1 else None
            if above is None or above.uid != uid or above.session != caller.session:
                break
            process = above
        return ()

    def listening(
        self,
        port: int,
        listeners: Callable[[int], Iterable[tuple[int, int]]],
        holds: Callable[[int, int], bool | None],
    ) -> Collection[Key]:
        """The job whose process listens at a TCP port, if that can be told.

        Which process has a socket is told of our own user's only. Of another user's it is known whose it is, and that
        is enough where this user has one job.
        """
        for uid, inode in listeners(port):
            keys = [job.key for job in self._jobs if job.key[0] == uid]
            found = {key for process, key in self._holders.items() if key in keys and holds(process.identity[0], inode)}
            above = {key: launcher for key in keys if (launcher := self._launchers[key]) is not None}
            found |= {key for key, launcher in above.items() if holds(launcher.identity[0], inode)}
            if found or len(keys) == 1:
                return sorted(found) or keys
        return ()

    def _look(self, now_ns: int) -> None:
        held: dict[str, tuple[Process, ...]] = {}
        for device in self._devices():
            found = self._holding.processes(device.uuid, now_ns) if device.kind is DeviceKind.GPU else None
            if found:
                held[device.uuid] = found
        self._holders = self._keys({process for found in held.values() for process in found}, now_ns)
        gpus: dict[Key, set[str]] = defaultdict(set)
        owners = {uuid: {self._holders[process] for process in found} for uuid, found in held.items()}
        for uuid, keys in owners.items():
            for key in keys:
                gpus[key].add(uuid)
        self._launchers = {key: self._launchers.get(key) for key in gpus}
        self._names = {key: self._names.get(key) or self._name(key) for key in gpus}
        self._jobs = tuple(
            Job(key, self._names[key], frozenset(uuids), frozenset(uuid for uuid in uuids if len(owners[uuid]) > 1))
            for key, uuids in sorted(gpus.items())
        )

    def _keys(self, holders: Iterable[Process], now_ns: int) -> dict[Process, Key]:
        """Each process's job; its key is that of the first of the job's processes."""
        families: dict[Key, list[Process]] = defaultdict(list)
        launchers: dict[Key, Process | None] = {}
        for process in holders:
            launcher = self._launcher(process, now_ns)
            family = (process.uid, *(launcher or process).identity)
            families[family].append(process)
            launchers[family] = launcher
        keys: dict[Process, Key] = {}
        for family, processes in families.items():
            before: Process | None = None
            for process in sorted(processes, key=lambda each: each.identity[::-1]):
                is_late = before is not None and process.identity[1] - before.identity[1] > TOGETHER_TICKS
                begins = before is None or is_late
                keys[process] = key = (process.uid, *process.identity) if begins or before is None else keys[before]
                self._launchers[key] = launchers[family]
                before = process
        return keys

    def _launcher(self, process: Process, now_ns: int) -> Process | None:
        parent = self._processes.look(process.parent, now_ns) if process.parent > 1 else None
        if parent is None or parent.identity not in process.ancestors:
            return None
        command = self._processes.command(parent.identity[0])
        is_beginner = not command or PurePath(command[0]).name.lstrip("-").rstrip(":") in BEGINNERS
        return None if is_beginner else parent

    def _name(self, key: Key) -> str:
        """User and program for a person, and what tells its command line from others: that may hold secrets."""
        if key[0] == NOBODY:
            return "unknown"
        launcher = self._launchers[key]
        is_own = launcher is not None and launcher.uid == key[0]
        command = self._processes.command(launcher.identity[0] if launcher is not None and is_own else key[1])
        words = [PurePath(command[0]).name] if command else []
        first = command[2:3] if command[1:2] == ("-m",) else command[1:2]
        words += [PurePath(each).name for each in first if not each.startswith("-")]
        digest = hashlib.blake2b("\0".join(command).encode("utf-8", "replace"), digest_size=4).hexdigest()
        return f"{key[0]} {cleaned(' '.join(words), NAME_MAX)} {digest}"
