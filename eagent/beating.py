"""How far is my job? `eagent.beat()` after each step, or `eagent.beat(tokens)`, tells the host's agent.

A beat costs about a microsecond: it is added up, and the sum goes to the agent ten times a second at most, as one
datagram that nobody waits for. One that is lost costs nothing, because the next one holds all of the sum. Nothing here
raises an error into the job, with or without an agent.
"""

from __future__ import annotations

import _socket  # the job may never need the rest of `socket`
import atexit
import math
import os
import threading
import time
from collections import deque
from typing import SupportsFloat

from eagent.asking import clock_offset_ns, socket_path

PERIOD_NS = 100_000_000
AGAIN_NS = 5_000_000  # the agent's queue was full
LOST_NS = 1_000_000_000  # nobody listens
NAME_MAX, UNIT_MAX = 64, 16

_now = time.monotonic_ns


class _Sum:
    """What this process has done."""

    def __init__(self) -> None:
        self.total = 0.0
        self.sent = 0.0
        self.at_ns = 0  # the last beat
        self.due_ns = 0
        self.unit, self.name = "step", ""
        self.path = ""
        self.shift_ns = 0
        self.lock = threading.Lock()
        self.late: deque[float] = deque()  # beats that met another beat: of another thread, or under a signal's handler


_sum = _Sum()


def beat(n: SupportsFloat = 1, *, unit: str = "", name: str = "") -> None:
    """Say that `n` more units of work are done.

    Of many processes of a job one may beat, or all: their beats are added.

    Args:
        n: How many; not below 0. What is no such number is passed over.
        unit: What they are, such as "token"; "step" if it is never said. Of the first beats.
        name: What the job is called, so that it is known again in its next run. Of the first beats; without, its
            command line is its name.
    """
    mine = _sum
    try:
        more = float(n)
    except Exception:  # a job does not end because it beats wrongly
        return
    if not 0.0 <= more <= 1e15:
        return
    if not mine.lock.acquire(blocking=False):  # never waits
        mine.late.append(more)
        return
    try:
        while mine.late:
            more += mine.late.popleft()
        mine.total += more
        if unit or name:
            mine.unit, mine.name = unit or mine.unit, name or mine.name
        mine.at_ns = now_ns = _now()
        if now_ns >= mine.due_ns:
            _send(mine, now_ns)
    except Exception:
        mine.due_ns = _now() + LOST_NS
    finally:
        mine.lock.release()


def _send(mine: _Sum, now_ns: int) -> None:
    """A socket for each message: nothing is held that a fork, or a job that closes all it finds, could break."""
    if not mine.path:
        mine.path = str(socket_path().with_name("beat.sock"))
        mine.shift_ns = clock_offset_ns()
    mine.due_ns = now_ns + PERIOD_NS
    message = encode(mine.total, mine.at_ns - mine.shift_ns, mine.unit, mine.name)
    sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    try:
        sender.sendto(message, mine.path)
        mine.sent = mine.total
    except BlockingIOError:
        mine.due_ns = now_ns + AGAIN_NS
    except OSError:
        mine.due_ns, mine.path = now_ns + LOST_NS, ""  # it may be elsewhere when it comes
    finally:
        sender.close()


def encode(total: float, at_ns: int, unit: str, name: str) -> bytes:
    """A message: version, the kernel's monotonic time of the last beat, the sum, its unit, the job's name."""
    unit = "_".join(unit.split())[:UNIT_MAX] or "step"
    return f"1 {at_ns} {total!r} {unit} {name[:NAME_MAX]}".encode("utf-8", "replace")


def _end() -> None:
    """What was not sent yet."""
    mine = _sum
    if mine.total > mine.sent and math.isfinite(mine.total) and mine.lock.acquire(blocking=False):
        try:
            _send(mine, _now())
        except Exception:
            return
        finally:
            mine.lock.release()


def _begin_anew() -> None:
    """In the child of a fork: what its parent has done is its parent's; what they are called is the same."""
    global _sum
    before, _sum = _sum, _Sum()
    _sum.unit, _sum.name = before.unit, before.name


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(_end)
