"""What the agent leaves to its own successor: its pins. Its lease runs on meanwhile, and the warden has the budget."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from eagent import handover
from eagent.errors import EagentError
from eagent.policy.goals import Pin

log = logging.getLogger("eagent.agent")


class Successor:
    """From this process's predecessor, if it had one, to its successor, if it is to have one."""

    def __init__(self, check: Callable[[], object]) -> None:
        """Takes what the predecessor left.

        Args:
            check: Reads the configuration as a successor would; raises what would end that.
        """
        self._check = check
        self._left = handover.take()
        self._leaves: dict[str, Any] = {}
        self.follows = False  # whether a successor is to follow
        self.told_to_end = False

    def pins(self) -> dict[str, Pin]:
        """The predecessor's pins, by UUID. Their times stand: the clock is of this boot, as the process is."""
        pins = {}
        for row in self._left.get("pins", ()):
            with contextlib.suppress(TypeError):  # of a version that had other ones
                pin = Pin(**row)
                pins[pin.uuid] = pin
        return pins

    def begin(self) -> bool:
        """Have a successor, if one could go on; if not, why is logged and nothing changes."""
        try:
            self._check()
            handover.check_successor()
        except EagentError as problem:
            log.error("not renewed: %s", problem)
            return False
        handover.hold_signals()
        self.follows = True
        return True

    def leave(self, pins: Iterable[Pin]) -> None:
        """Note what the successor is to get."""
        self._leaves = {"pins": [asdict(pin) for pin in pins]}

    def follow(self) -> None:
        """Become the successor, if there is to be one."""
        if not self.follows:
            return
        if self.told_to_end:  # another thread got the signal meanwhile: it is the successor's
            os.kill(os.getpid(), signal.SIGTERM)
        handover.become_successor(self._leaves)
