"""How the demo with several hosts ends early: in order, whatever the signal and whenever it comes.

An exception in the midst of starting a process or of ending one would leave processes and mounts behind. So signals
only leave a mark, and who plays looks for it where it may end.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Takes the signals that end a program, for as long as it is entered. The main thread only."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._came: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take them; one that is ignored, as SIGHUP under nohup, stays so."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give them back. One that has come and was not yet seen ends the program now."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Return unless a signal has come.

        Raises:
            KeyboardInterrupt: SIGINT.
            SystemExit: Another, with the exit code that shells give it.
        """
        if self._came is signal.SIGINT:
            raise KeyboardInterrupt
        if self._came is not None:
            raise SystemExit(128 + self._came)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._came = self._came or signal.Signals(number)
