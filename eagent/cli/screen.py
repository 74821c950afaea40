"""A terminal taken for a while and given back as it was: plain ANSI, which every terminal of the last decades has."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Literal, Self

TAKE = "\x1b[?1049h\x1b[?25l"  # the alternate screen, so that the shell's stays as it was; no cursor
GIVE_BACK = "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
KEYS_TO_LEAVE = b"qQ\x03\x04"
SIGNALS = (signal.SIGWINCH, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)

SIZE = (80, 24)  # of a terminal that does not know its own

Event = Literal["leave", "look"]


class Screen:
    """stdout's terminal, and stdin's keys if that is one too."""

    def __init__(self) -> None:
        """Nothing is changed before `with`."""
        self._out = sys.stdout.fileno()
        self._in = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._mode: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._wakened, self._waker = -1, -1

    def __enter__(self) -> Self:
        """Take it. From here on signals only wake `wait`."""
        self._wakened, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, _ignore) for number in SIGNALS}
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back, whatever happened."""
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(self._waker)
        os.close(self._wakened)

    def draw(self, lines: Sequence[str]) -> None:
        """Show as much of `lines` as there is room for; below, how much is left out."""
        columns, rows = (size or default for size, default in zip(os.get_terminal_size(self._out), SIZE, strict=True))
        shown = [line[:columns] for line in lines[:rows]]
        if len(lines) > rows:
            shown[-1] = f"… {len(lines) - rows + 1} more lines"[:columns]
        self._write(HOME + "".join(f"{line}{END_OF_LINE}\r\n" for line in shown).removesuffix("\r\n") + END_OF_SCREEN)

    def wait(self, timeout_s: float) -> Event:
        """Until a key, a signal or the time: whether to leave, or to look and draw again."""
        sources = [self._wakened] if self._in is None else [self._wakened, self._in]
        ready, _, _ = select.select(sources, [], [], max(0.0, timeout_s))
        if self._in in ready:
            keys = os.read(self._in, 64) if self._in is not None else b""
            if not keys or any(key in KEYS_TO_LEAVE for key in keys):
                return "leave"
        if self._wakened in ready:
            return self._signalled(os.read(self._wakened, 64))
        return "look"

    def _signalled(self, numbers: bytes) -> Event:
        if {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}.intersection(numbers):
            return "leave"
        if signal.SIGTSTP in numbers:  # Ctrl-Z: the shell must find its terminal as it was
            self._give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._take()
        return "look"

    def _take(self) -> None:
        if self._in is not None:
            self._mode = termios.tcgetattr(self._in)
            tty.setcbreak(self._in)  # keys come at once and are not shown
        self._write(TAKE)

    def _give_back(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # the terminal itself may have gone
            self._write(GIVE_BACK)
            if self._in is not None and self._mode is not None:
                termios.tcsetattr(self._in, termios.TCSADRAIN, self._mode)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing: that there is one makes the kernel wake us."""
