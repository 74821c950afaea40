"""What jobs say of themselves: each process sends how much it has done since it began, and its job's units grow by it.

A message that is lost costs nothing, because the next one says it again. What a process says counts only for its own
job; what nobody's GPU is held for counts for nothing. Pure: messages and times come in as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from eagent.bucket import Bucket
from eagent.progress.jobs import Key

VERSION = b"1"
MESSAGE_MAX = 256  # bytes
TOTAL_MAX = 1e15  # below 2^53: a step more is still seen
NAME_MAX, UNIT_MAX = 64, 16
UNIT = "step"

SENDERS_OF_ONE_USER = 256
USERS_MAX = 64
LATE_NS = 2_000_000_000  # a message that waited longer, or is of another clock, counts as of when it came
PLACED_NS = 1_000_000_000  # who a process is and what it holds is looked up no more often than that ...
LOOKS_PER_S, LOOKS_BURST = 20.0, 64.0  # ... and for one user's new processes no more often than this

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/=+, ")

Place = Callable[[int, int, int], Collection[Key]]  # the jobs that a process is of, by its pid, its user, at a time


@dataclass(frozen=True, slots=True)
class Beat:
    """One message."""

    total: float  # since its process began
    at_ns: int  # in the kernel's monotonic time; 0: not said
    unit: str = UNIT
    name: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """How far a job says it has come."""

    units: float
    at_ns: int
    unit: str
    name: str  # that it gave itself, or ""


def decode(message: bytes, shift_ns: int = 0) -> Beat | None:
    """A message of `eagent.beating`, in a clock that is so far ahead of the kernel's; None for what is none."""
    parts = message.split(b" ", 4)
    if len(message) > MESSAGE_MAX or len(parts) != 5 or parts[0] != VERSION:
        return None
    try:
        at_ns, total = int(parts[1]) + shift_ns, float(parts[2])
    except ValueError:
        return None
    if not 0 <= total <= TOTAL_MAX:  # nor NaN
        return None
    return Beat(total, at_ns, cleaned(parts[3].decode("utf-8", "replace"), UNIT_MAX) or UNIT, cleaned(_text(parts[4])))


def cleaned(text: str, most: int = NAME_MAX) -> str:
    """What may stand in a file, a label or a terminal, of somebody else's text."""
    return "".join(each if each in _ALLOWED else "?" for each in text[:most]).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


@dataclass(slots=True)
class _Sender:
    total: float
    jobs: Collection[Key]
    placed_ns: int


@dataclass(slots=True)
class _User:
    senders: dict[int, _Sender]  # by pid, in the order in which they were last heard
    looks: Bucket
    strangers: dict[int, int]  # pids that are of no job, and until when that stands


class Beats:
    """How far each job says it has come."""

    def __init__(self, place: Place) -> None:
        """Nobody has said anything; `place` tells whose process is whose, and is asked seldom."""
        self._place = place
        self._users: dict[int, _User] = {}
        self._said: dict[Key, Said] = {}

    def take(self, beat: Beat, pid: int, uid: int, now_ns: int) -> bool:
        """Take a process's message; whether it counts for a job."""
        sender = self._sender(pid, uid, now_ns, beat.total)
        if sender is None:
            return False
        # A total that falls is that of a new program in the same process.
        added = beat.total - sender.total if beat.total >= sender.total else beat.total
        sender.total = beat.total
        self._grow(sender.jobs, added, beat, now_ns)
        return True

    def add(self, units: float, unit: str, name: str, pid: int, uid: int, now_ns: int) -> bool:
        """Take what a process has done beside what it has said; whether it counts for a job."""
        sender = self._sender(pid, uid, now_ns, 0.0)
        if sender is None or not 0 <= units <= TOTAL_MAX:
            return False
        self._grow(sender.jobs, units, Beat(0.0, 0, cleaned(unit, UNIT_MAX) or UNIT, cleaned(name)), now_ns)
        return True

    def said(self) -> Mapping[Key, Said]:
        """How far each job says it has come."""
        return self._said

    def keep(self, jobs: Collection[Key]) -> None:
        """Forget all jobs but these."""
        for key in [each for each in self._said if each not in jobs]:
            del self._said[key]

    def _grow(self, jobs: Collection[Key], units: float, beat: Beat, now_ns: int) -> None:
        at_ns = beat.at_ns if now_ns - LATE_NS <= beat.at_ns <= now_ns else now_ns
        for key in jobs:
            known = self._said.get(key)
            if known is None:
                self._said[key] = Said(units, at_ns, beat.unit, beat.name)
            else:
                self._said[key] = Said(
                    known.units + units, max(known.at_ns, at_ns), known.unit, known.name or beat.name
                )

    def _sender(self, pid: int, uid: int, now_ns: int, total: float) -> _Sender | None:
        """A process that is of a job; its total is what it says now, if it is new."""
        user = self._users.pop(uid, None)
        if user is None:
            user = _User({}, Bucket(LOOKS_PER_S, LOOKS_BURST, now_ns), {})
            while len(self._users) >= USERS_MAX:
                del self._users[next(iter(self._users))]
        self._users[uid] = user
        sender = user.senders.pop(pid, None)
        if sender is not None and now_ns - sender.placed_ns <= PLACED_NS:
            user.senders[pid] = sender
            return sender
        if user.strangers.get(pid, -math.inf) > now_ns or not user.looks.take(now_ns):
            if sender is not None:
                user.senders[pid] = sender
            return sender
        jobs = self._place(pid, uid, now_ns)
        if not jobs:
            while len(user.strangers) >= SENDERS_OF_ONE_USER:
                del user.strangers[next(iter(user.strangers))]
            user.strangers[pid] = now_ns + PLACED_NS
            return None
        if sender is None:
            sender = _Sender(total, jobs, now_ns)
            while len(user.senders) >= SENDERS_OF_ONE_USER:
                del user.senders[next(iter(user.senders))]
        sender.jobs, sender.placed_ns = jobs, now_ns
        user.senders[pid] = sender
        return sender
