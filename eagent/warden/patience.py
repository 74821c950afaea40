"""Calls of the driver that nobody here waits for without end: a driver can hang in any of its calls, for ever.

Each runs in a thread of its own, which the process leaves behind when it ends. A call that hangs holds no lock of
Python's, so all else goes on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from eagent.errors import RefusedError
from eagent.model import HANGS_AFTER_NS

log = logging.getLogger("eagent.warden")

Answer = TypeVar("Answer")

ANSWER_S = 1.0  # who asks the warden waits for two seconds
END_S = 2.0
EXIT_HUNG = 75  # EX_TEMPFAIL of sysexits.h: another start may do better


def hangs(beats_ns: tuple[int, int], now_ns: int, after_ns: int = HANGS_AFTER_NS) -> bool:
    """Whether one half of the loop, by its last sign of life, hangs in a call. One that showed none yet does not."""
    return any(beat_ns and now_ns - beat_ns > after_ns for beat_ns in beats_ns)


class Call(Generic[Answer]):
    """One call, begun at once in a thread of its own."""

    def __init__(self, call: Callable[[], Answer], name: str) -> None:
        """Begin it."""
        self._call = call
        self._answers: list[Answer] = []
        self._problem: BaseException | None = None
        self._end = threading.Event()  # and not the thread's: a signal that ends `join` marks it as ended, too
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._answers.append(self._call())
        except BaseException as problem:  # it is raised where the answer is asked for
            self._problem = problem
        finally:
            self._end.set()

    @property
    def ended(self) -> bool:
        """Whether it has come back, or failed."""
        return self._end.is_set()

    def wait(self, most_s: float) -> bool:
        """Wait for its end, at most this long; whether it has ended."""
        return self._end.wait(most_s)

    def answer(self) -> Answer:
        """What it answered, after its end; raises what it raised."""
        if self._problem is not None:
            raise self._problem
        return self._answers[0]


class Patience:
    """Asks one thing after another, in the time of one request to the warden."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self._hanging: Call[Any] | None = None
        self._until_s = 0.0

    def begin(self) -> None:
        """A request begins: all that is asked for it must be answered within ANSWER_S."""
        self._until_s = time.monotonic() + ANSWER_S

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """The call's answer.

        Raises:
            RefusedError: it does not come in time. The call may hang on; meanwhile all others are refused at once.
        """
        if self._hanging is not None and not self._hanging.ended:
            raise RefusedError("a call of the driver hangs, so nothing that needs one is begun")
        asked = Call(call, "asks the driver")
        self._hanging = asked
        if not asked.wait(max(0.0, self._until_s - time.monotonic())):
            raise RefusedError(f"the driver does not answer within {ANSWER_S:g} s, so nothing is begun")
        return asked.answer()


def join(threads: list[threading.Thread], ring: Path) -> None:
    """Wait for the loop's threads; where one does not end, end the process without it."""
    until_s = time.monotonic() + END_S
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        leave(ring)


def leave(ring: Path) -> None:
    """End the process now, with whatever hangs in it: nothing of the driver may be closed under a call that runs."""
    log.error("a call of the driver does not end: the process goes without it; what is left is for the next start")
    ring.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_HUNG)
