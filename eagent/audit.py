"""The audit log: who did what, why, what was before and after, and what came of it; refusals, too. One JSON line each.

What operators did and what anybody else did or tried are kept in two files, so that nobody can push out of the log what
an operator did by being refused often. Both are bounded, and what others make is written no faster than a rate.

To write never makes anybody wait: a thread does it, and a disk that is full, slow or gone costs lines, which is told.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eagent.access import Role
from eagent.bucket import Bucket
from eagent.peer import Peer, name_of, printable

log = logging.getLogger(__name__)

VERSION = 1
OPERATORS, OTHERS = "operators.jsonl", "others.jsonl"
FILE_BYTES_MAX = 8 * 1024 * 1024
FILES_KEPT = 4  # of each kind, the one that is written included
LINE_BYTES_MAX = 8192
TEXT_MAX = 400  # characters
WAITING_MAX = 1000  # lines for a disk that is slow
USERS_MAX = 1024
USER_RATE_PER_S, USER_BURST = 1.0, 20.0
ALL_RATE_PER_S, ALL_BURST = 5.0, 100.0

Json = dict[str, Any]


class Audit:
    """The log of one process, in a directory of its own. Nothing is made before the first line."""

    def __init__(
        self,
        directory: Path,
        calendar: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], int] = time.monotonic_ns,
        file_bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        """A log in `directory`; `calendar` tells the time of day, `clock` monotonic nanoseconds."""
        self._directory = directory
        self._calendar = calendar
        self._clock = clock
        self._file_bytes_max = file_bytes_max
        self._users: dict[int, Bucket] = {}
        self._all = Bucket(ALL_RATE_PER_S, ALL_BURST, clock())
        self._unwritten = 0
        self._waiting: deque[tuple[str, Json] | None] = deque()  # `queue` would cost the warden a third of a megabyte
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        self.problem: str | None = None  # why the last line is not on the disk; None: it is

    def note(
        self,
        peer: Peer,
        role: Role,
        what: str,
        outcome: str,
        *,
        asked: Mapping[str, Any] | None = None,
        why: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Enter a line. Raises nothing, and waits for nothing.

        Args:
            peer: Who asked, by the kernel.
            role: What they were taken for.
            what: The command.
            outcome: "done", or in a line why not.
            asked: What came with the command.
            why: The reason that they gave.
            before: What the command changed, as it was.
            after: And as it is.
        """
        is_operators = role is Role.OPERATOR
        if not is_operators and not self._may_write(peer.uid):
            self._unwritten += 1
            return
        who = {"uid": peer.uid, "pid": peer.pid, "comm": name_of(peer.pid), "role": role.label}
        line: Json = {
            "v": VERSION,
            "at": self._calendar().isoformat(timespec="milliseconds"),
            "who": who,
            "what": what[:TEXT_MAX],
        }
        line |= {
            "asked": dict(asked or {}),
            "why": why[:TEXT_MAX],
            "before": dict(before or {}),
            "after": dict(after or {}),
        }
        line["outcome"] = outcome[:TEXT_MAX]
        if not is_operators and self._unwritten:
            line["unwritten"], self._unwritten = self._unwritten, 0
        asker = f"{role.label} (uid {peer.uid}, pid {peer.pid}, {who['comm']})"
        log.info("%s: %s", asker, printable(f"{what[:TEXT_MAX]}: {outcome[:200]}"))
        if not self._put((OPERATORS if is_operators else OTHERS, line)):
            self._told("the disk is too slow for it: lines were lost")
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="audit log", daemon=True)
            self._thread.start()

    def alarms(self) -> list[str]:
        """What is wrong with it now."""
        return [] if self.problem is None else [f"audit log: {self.problem}"]

    def close(self, most_s: float = 1.0) -> None:
        """Write what waits, for at most so long."""
        if self._thread is not None and self._put(None):
            self._thread.join(most_s)

    def _put(self, item: tuple[str, Json] | None) -> bool:
        """Whether there was room for it."""
        with self._turn:
            if len(self._waiting) >= WAITING_MAX:
                return False
            self._waiting.append(item)
            self._turn.notify()
        return True

    def _take(self) -> tuple[str, Json] | None:
        with self._turn:
            self._turn.wait_for(lambda: self._waiting)
            return self._waiting.popleft()

    def _may_write(self, uid: int) -> bool:
        """Whether somebody who is no operator gets a line; the total keeps many users from having many."""
        now_ns = self._clock()
        if uid not in self._users:
            if len(self._users) >= USERS_MAX:
                self._users.clear()
            self._users[uid] = Bucket(USER_RATE_PER_S, USER_BURST, now_ns)
        return self._users[uid].take(now_ns) and self._all.take(now_ns)

    def _work(self) -> None:
        while (item := self._take()) is not None:
            name, line = item
            try:
                self._write(self._directory / name, _packed(line))
                self._told(None)
            except OSError as problem:
                self._told(f"{self._directory / name}: {problem.strerror}: what is done now is in no log")

    def _write(self, path: Path, data: bytes) -> None:
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size + len(data) > self._file_bytes_max:
            for number in range(FILES_KEPT - 1, 0, -1):
                older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number}"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, data) < len(data):  # a full disk took a part: no line is a half one
                os.ftruncate(descriptor, size)
                raise OSError(28, "No space left on device")
        finally:
            os.close(descriptor)

    def _told(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.error("the audit log: %s", problem)
        self.problem = problem


def _packed(line: Json) -> bytes:
    """A line of bounded length: what came with a command is cut short first."""
    data = json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n"
    if len(data) <= LINE_BYTES_MAX:
        return data
    short = {**line, "asked": {"cut": True}, "before": {"cut": True}, "after": {"cut": True}}
    return json.dumps(short, ensure_ascii=False).encode(errors="replace") + b"\n"


def read(directory: Path) -> list[Json]:
    """All whole lines that a directory's files hold, the oldest first. A line that is none is passed over.

    Raises:
        OSError: the files may not be read.
    """
    found: list[Json] = []
    for name in (OPERATORS, OTHERS):
        for number in range(FILES_KEPT - 1, -1, -1):
            path = directory / (f"{name}.{number}" if number else name)
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                continue
            for each in text.split("\n"):  # at no other end of a line: texts of callers may have some
                try:
                    line = json.loads(each)
                except (ValueError, RecursionError):
                    continue
                if isinstance(line, dict) and isinstance(line.get("at"), str):
                    found.append(line)
    return sorted(found, key=lambda line: str(line["at"]))
