"""What each knob held before eagent first wrote it. No knob is written before its entry is on the disk.

One file a knob, so that one damaged file costs one knob. An entry is never overwritten while it stands, but where what
somebody else has set is respected: whatever died in between, the first prior value is the one to go back to. It is
retired only after the knob was read back at it, or, where a knob can't be read, after the driver has taken the value.
What a boot has reset is void, and of a GPU what a newer life of its driver has.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from eagent.errors import ProtocolError
from eagent.model import KnobName
from eagent.warden import durable
from eagent.warden.entry import Entry, Key, pack, unpack

ALARMS_MAX = 16  # lines: whatever lies in the directory, a status must fit into its message
ODD = {errno.EISDIR, errno.ENOTEMPTY, errno.EPERM}  # of what lies in a file's place, and not of the disk
TRIAL = "trial"  # the name of a file that is there for a moment
BY_HAND = "left as it is: set the knob by hand as it should be, remove the file and restart the warden"


class Journal:
    """The entries in one directory. `driver` is the present life of the GPU driver, "" where it is not known."""

    def __init__(
        self, directory: Path, driver: str = "", utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Read what stands.

        Args:
            directory: Where the entries are kept; made if it is not there.
            driver: The present life of the GPU driver, which is entered with each entry.
            utc_now: Tells the time, which is entered likewise.

        Raises:
            OSError: the directory can't be made or read.
        """
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.driver = driver
        self._directory = directory
        self._utc_now = utc_now
        self._entries: dict[Key, Entry] = {}
        self._unsaved: set[Key] = set()
        self._troubles: dict[Key, str] = {}  # what could not be saved or removed, and why
        self.problem: str | None = None  # why the disk took nothing at the last try; None: it did
        self.damaged: dict[Key, str] = {}  # what is wrong: such a knob must not be written
        self._strangers: list[str] = []  # files of no knob that is known here
        for path in sorted(directory.iterdir()):
            if path.suffix == ".json":
                self._find(path)

    def _find(self, path: Path) -> None:
        key = _key(path.name)
        if key is None:
            self._strangers.append(f"{durable.shown(path)}: of no knob that this eagent knows, and left alone")
            return
        try:
            self._entries[key] = unpack(durable.load(path) or {}, *key)
        except ProtocolError as problem:
            self._damage(key, str(problem))
        except OSError as problem:
            self._damage(key, str(problem.strerror))

    def _damage(self, key: Key, why: str) -> None:
        where = durable.shown(self._path(*key))
        self.damaged[key] = f"{why if where in why else f'{where}: {why}'}; {BY_HAND}"

    def __iter__(self) -> Iterator[Entry]:
        """The entries that stand."""
        return iter(list(self._entries.values()))

    def get(self, uuid: str, knob: KnobName) -> Entry | None:
        """The entry of one knob, if it stands."""
        return self._entries.get((uuid, knob))

    def is_void(self, entry: Entry, boot_id: str) -> bool:
        """Whether the knob was reset since, by a boot or with a life of the driver."""
        return entry.is_void(boot_id, self.driver)

    def enter(
        self,
        uuid: str,
        knob: KnobName,
        prior: int,
        boot_id: str,
        texts: Mapping[str, str] | None = None,
        *,
        owner: str = "",
        reason: str = "",
    ) -> Entry:
        """Put a knob's prior value on the disk, unless an entry that is not void stands; return the one that stands.

        Raises:
            OSError: it could not be made durable. The knob must not be written then.
        """
        standing = self._entries.get((uuid, knob))
        if standing is None or self.is_void(standing, boot_id):
            return self.renew(Entry(uuid, knob, prior, boot_id, texts or {}, owner=owner, reason=reason))
        if standing.key in self._unsaved:
            self._save(standing)
        return standing

    def renew(self, entry: Entry) -> Entry:
        """Enter a prior value in the place of one that is void: the knob was reset, and has another one now.

        Returns:
            The entry as it stands: of this time, and of this life of the driver.

        Raises:
            OSError: it could not be made durable. No entry stands then, and the knob must not be written.
        """
        entry = self._stamped(entry)
        self._entries.pop(entry.key, None)
        self._save(entry)
        self._entries[entry.key] = entry
        return entry

    def renew_or_remember(self, entry: Entry) -> None:
        """As `renew`, but where the disk does not take it, it is kept in memory: the knob may be ours already.

        Raises:
            OSError: it is in memory alone.
        """
        try:
            self.renew(entry)
        except OSError:
            self.remember(entry)
            raise

    def move(self, entry: Entry) -> None:
        """Put an entry in the place of the one that stands: somebody else has given the knob its value.

        Raises:
            OSError: it could not be made durable; the one before stands.
        """
        entry = self._stamped(entry)
        self._store(self._path(*entry.key), pack(entry))  # not `_save`: what is there must stay if this fails
        self._unsaved.discard(entry.key)
        self._troubles.pop(entry.key, None)
        self._entries[entry.key] = entry

    def remember(self, entry: Entry) -> None:
        """Keep a prior value in memory alone until the disk takes it: only where a knob must be lowered for safety."""
        self._entries[entry.key] = self._stamped(entry)
        self._unsaved.add(entry.key)
        self.save()

    def save(self) -> bool:
        """Try again to put on the disk what is only remembered; returns whether all is. What fails is an alarm."""
        for key in list(self._unsaved):
            with contextlib.suppress(OSError):
                self._save(self._entries[key])
        return not self._unsaved

    def retire(self, uuid: str, knob: KnobName) -> None:
        """Drop an entry: the knob is back at its prior value, or a boot has reset it.

        Raises:
            OSError: the file could not be removed; the entry stands.
        """
        key, path = (uuid, knob), self._path(uuid, knob)
        if key not in self._unsaved:
            try:
                durable.remove(path)
            except OSError as problem:
                self.problem = self.problem if problem.errno in ODD else problem.strerror
                self._troubles[key] = f"{durable.shown(path)} is done with, and can't be removed: {problem.strerror}"
                raise
        self._forget(key)

    def try_retire(self, uuid: str, knob: KnobName) -> bool:
        """The same; False where the entry stands, which is among the alarms: other knobs must have their turn."""
        try:
            self.retire(uuid, knob)
        except OSError:
            return False
        return True

    def refuse(self, entry: Entry, why: str) -> None:
        """Never put this entry back: it can't be right here. Its file stays for the operator."""
        self._forget(entry.key)
        self._damage(entry.key, f"{why}: {entry.told()}")

    def kept(self) -> list[str]:
        """The files that stand against what they are for, a line each: damaged, wrong here, or not to be removed."""
        return [*self._troubles.values(), *self.damaged.values()]

    def alarms(self) -> list[str]:
        """What is wrong with it, a line each, and never so many that they don't fit into a message."""
        bad = f"the journal can't be written ({self.problem}): what has no entry in it is only observed until it can be"
        lines = [*self.kept(), *([bad] if self.problem else []), *self._strangers]
        more = len(lines) - ALARMS_MAX
        return [*lines[:ALARMS_MAX], f"{durable.shown(self._directory)}: {more} files more"] if more > 0 else lines

    def _stamped(self, entry: Entry) -> Entry:
        entered = self._utc_now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return replace(entry, driver=self.driver, entered=entered)

    def _save(self, entry: Entry) -> None:
        path = self._path(*entry.key)
        if entry.key in self.damaged:  # it stays for the operator
            raise OSError(errno.EEXIST, "a file that can't be used is in its place")
        try:
            self._store(path, pack(entry))
        except OSError as problem:
            if entry.key in self._unsaved:
                self._troubles[entry.key] = (
                    f"{durable.shown(path)} can't be written: {problem.strerror}; the value is in memory alone"
                )
            with contextlib.suppress(OSError):  # it may be whole, and not known to be on the disk
                path.unlink(missing_ok=True)
            raise
        self._unsaved.discard(entry.key)
        self._troubles.pop(entry.key, None)

    def try_out(self) -> bool:
        """Whether the disk takes anything now: what `problem` tells of is gone."""
        path = self._directory / TRIAL
        with contextlib.suppress(OSError):
            self._store(path, {})
            durable.remove(path)
            return True
        return False

    def _store(self, path: Path, content: dict[str, object]) -> None:
        try:
            durable.store(path, content)
        except OSError as problem:
            self.problem = problem.strerror
            raise
        self.problem = None

    def _forget(self, key: Key) -> None:
        self._entries.pop(key, None)
        self._unsaved.discard(key)
        self._troubles.pop(key, None)

    def _path(self, uuid: str, knob: KnobName) -> Path:
        return self._directory / f"{uuid}.{knob}.json"


def _key(name: str) -> Key | None:
    """Of which knob of which device a file of this name would be."""
    uuid, _, knob = name.removesuffix(".json").rpartition(".")
    return (uuid, KnobName(knob)) if uuid and knob in list(KnobName) else None
