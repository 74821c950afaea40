"""The durable record of what was switched: one JSON line an entry, on the disk before anything is done.

From it the role knows, after a restart, whom it has put to sleep. What it says of a host's power is never believed: the
adapter is asked.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eagent.engines.power.role import Entry, Event
from eagent.engines.power.wishes import Kind
from eagent.errors import UnavailableError

log = logging.getLogger(__name__)

VERSION = 1
FILE_BYTES_MAX = 8 * 1024 * 1024  # then a new file is begun, and the one before the last one goes
KEPT, FOUND_ON = "kept", "found on"  # what the record holds beside what happens to wishes
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A host that the role has put to sleep, or has begun to."""

    host: str
    life: str  # as it was told when it was put to sleep
    since_s: float  # wall clock, seconds since 1970
    reserves_mw: Mapping[str, int] = field(default_factory=dict)  # by domain, what its table reserved for it then


def line(entry: Entry, at_s: float, reserves_mw: Mapping[str, int]) -> Line:
    """An entry as plain maps; `at_s` is the wall clock, `reserves_mw` what tables reserve for the host."""
    wish = entry.wish
    told: Line = {
        "v": VERSION,
        "at": at_s,
        "event": str(entry.event),
        "host": wish.host,
        "kind": str(wish.kind),
        "who": wish.who,
        "why": wish.why,
        "detail": entry.detail,
        "state": str(entry.state),
        "power_w": entry.power_w,
    }
    if wish.consent is not None:
        told |= {"life": wish.consent.life, "reserves_mw": dict(reserves_mw)}
    return told


def found_on(host: str, at_s: float, detail: str) -> Line:
    """That somebody else has switched a sleeper on."""
    return {"v": VERSION, "at": at_s, "event": FOUND_ON, "host": host, "detail": detail}


def after(sleepers: Mapping[str, Sleeper], told: Line) -> dict[str, Sleeper]:
    """Who sleeps, or may, after one more line of the record. A line that is not of its form changes nothing."""
    found = dict(sleepers)
    try:
        host, event, at_s = str(told["host"]), told["event"], float(told["at"])
        is_off = event in (Event.DONE, Event.ALREADY) and host not in found
        if event == KEPT or (told.get("kind") == Kind.SLEEP and (event == Event.BEGUN or is_off)):
            reserves_mw = {str(domain): int(mw) for domain, mw in dict(told.get("reserves_mw", {})).items()}
            found[host] = Sleeper(host, str(told.get("life", "")), at_s, reserves_mw)
        elif event == FOUND_ON or (told.get("kind") == Kind.WAKE and event in (Event.DONE, Event.ALREADY)):
            found.pop(host, None)
    except (KeyError, TypeError, ValueError, OverflowError):
        return dict(sleepers)
    return found


def parse(text: str) -> tuple[list[Line], int]:
    """The lines of a record, and how many there are that are none: cut short by a crash, or damaged."""
    lines: list[Line] = []
    damaged = 0
    for each in text.splitlines():
        try:
            document = json.loads(each)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and document.get("v") == VERSION:
            lines.append(document)
        else:
            damaged += bool(each.strip())
    return lines, damaged


class Record:
    """The file, and who sleeps by it."""

    def __init__(self, path: Path) -> None:
        """Read the file and go on with it. Whoever makes this holds the role's lock.

        Raises:
            UnavailableError: it can't be read or written.
        """
        self.path = path
        self.sleepers: dict[str, Sleeper] = {}
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            lines, damaged = parse(text)
            for each in lines:
                self.sleepers = after(self.sleepers, each)
            if damaged:
                log.warning("%s: %d lines are damaged and were passed over", path, damaged)
            self._descriptor = _open(path)
            _sync_directory(path.parent)
            self._size = os.fstat(self._descriptor).st_size
            if text and not text.endswith("\n"):  # cut short by a crash: what follows stands in a line of its own
                self._size += os.write(self._descriptor, b"\n")
        except OSError as problem:
            raise UnavailableError(f"{path}: {problem.strerror}") from None

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)

    def append(self, told: Line) -> None:
        """Write a line; it is on the disk when this returns.

        Raises:
            UnavailableError: it could not be made durable.
        """
        try:
            if self._size >= FILE_BYTES_MAX:
                self._begin_anew()
            self._write([told])
        except OSError as problem:
            raise UnavailableError(f"{self.path}: {problem.strerror}: nothing is switched unrecorded") from None
        self.sleepers = after(self.sleepers, told)

    def _write(self, lines: Iterable[Line]) -> None:
        data = b"".join(json.dumps(each, ensure_ascii=False).encode(errors="replace") + b"\n" for each in lines)
        written = os.write(self._descriptor, data)
        if written < len(data):  # a full disk took a part: it is taken back, so that no line is a half one
            os.ftruncate(self._descriptor, self._size)
            raise OSError(28, "No space left on device")
        os.fsync(self._descriptor)
        self._size += written

    def _begin_anew(self) -> None:
        """Put the file aside; the new one begins with who sleeps, and is there as a whole or not at all."""
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.unlink(missing_ok=True)
        before, size = self._descriptor, self._size
        self._descriptor, self._size = _open(draft), 0
        try:
            self._write(_kept(each) for each in self.sleepers.values())
            aside = self.path.with_name(f"{self.path.name}.1")
            aside.unlink(missing_ok=True)
            os.link(self.path, aside)
            draft.rename(self.path)
        except OSError:
            os.close(self._descriptor)
            self._descriptor, self._size = before, size
            raise
        os.close(before)
        _sync_directory(self.path.parent)


def _kept(sleeper: Sleeper) -> Line:
    return {
        "v": VERSION,
        "at": sleeper.since_s,
        "event": KEPT,
        "host": sleeper.host,
        "life": sleeper.life,
        "reserves_mw": dict(sleeper.reserves_mw),
    }


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
