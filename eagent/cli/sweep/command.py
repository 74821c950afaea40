"""Run a command in a group of its own, read what it prints line by line, and end all of it in any case."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

TICK_S = 0.1
LAST_LINES = 5  # that are shown of one that failed
LINE_MAX = 65_536
END_S = 10.0  # for a command to end by itself when it is told to


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `code` as shells have it; None: it took too long and was ended."""

    code: int | None
    last_lines: tuple[str, ...]


def run(
    words: Sequence[str],
    told: Callable[[str], None],
    tick: Callable[[], None],
    timeout_s: float | None = None,
    log: IO[bytes] | None = None,
) -> Ended:
    """Run it to its end. `told` gets each of its lines, `tick` is called ten times a second.

    Whatever is raised meanwhile, Ctrl-C included: it is ended first, and all that it has started in its group.

    Raises:
        OSError: it can't be started.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C comes to us alone, and we end it in order
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # else lines come when a buffer is full
    )
    lines = _Lines(told, log)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        assert process.stdout is not None
        code = _follow(process, process.stdout.fileno(), lines, tick, deadline)
        return Ended(None if code is None else code if code >= 0 else 128 - code, tuple(lines.last))
    finally:
        _end(process)


def _follow(
    process: subprocess.Popen[bytes], pipe: int, lines: _Lines, tick: Callable[[], None], deadline: float | None
) -> int | None:
    os.set_blocking(pipe, False)
    closed = False
    while process.poll() is None:
        if deadline is not None and time.monotonic() > deadline:
            return None
        if closed:
            time.sleep(TICK_S / 10)
        elif select.select([pipe], [], [], TICK_S)[0]:
            closed = not lines.read(pipe)
        tick()
    while not closed and lines.read(pipe):  # what it printed at the end; what it left running may hold the pipe
        pass
    lines.finish()
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of its group, in order or by force."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class _Lines:
    """What comes through a pipe, cut into lines; a carriage return ends one, too, as progress bars use it."""

    def __init__(self, told: Callable[[str], None], log: IO[bytes] | None) -> None:
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._told = told
        self._log = log
        self._rest = b""

    def read(self, pipe: int) -> bool:
        """What is there now; False: nothing, or there will be no more."""
        try:
            data = os.read(pipe, LINE_MAX)
        except BlockingIOError:
            return False
        if self._log is not None and data:
            self._log.write(data)
            self._log.flush()
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._tell(line)
        self._rest = self._rest[-LINE_MAX:]
        return bool(data)

    def finish(self) -> None:
        """The last line may lack its end."""
        rest, self._rest = self._rest, b""
        self._tell(rest)

    def _tell(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self.last.append(text)
            self._told(text)
