"""The warden under a service manager: its signs of life, and how it becomes its own successor with all it holds."""

from __future__ import annotations

import logging
from collections.abc import Callable

from eagent.config import Config
from eagent.errors import EagentError, ProtocolError
from eagent.handover import check_successor
from eagent.hardware._loop import Loop
from eagent.notify import Notifier
from eagent.warden.patience import hangs
from eagent.warden.warden import Warden
from eagent.wire import Message

log = logging.getLogger("eagent.warden")

# For how long a successor holds what its predecessor held, without hearing of the agent. It may be starting anew, too.
GRACE_S = 10.0


class Service:
    """What a warden that governs tells the manager, and when it may be replaced by itself."""

    def __init__(
        self, notifier: Notifier, warden: Warden, loop: Loop, config: Config, check: Callable[[], object]
    ) -> None:
        """Nothing is told yet.

        Args:
            notifier: The way to the manager.
            warden: Who governs.
            loop: Who writes.
            config: The operator's wishes.
            check: Reads the configuration as a successor would; raises what would end that.
        """
        self._notifier = notifier
        self._warden = warden
        self._loop = loop
        self._check = check
        self._patience_ns = int(config.replace_after_s * 1e9)

    def turned(self, now_ns: int) -> None:
        """Give a sign of life, unless a half of the loop has hung for so long that another warden may do better."""
        if self._notifier.listened_to and not hangs(self._loop.beats(), now_ns, self._patience_ns):
            self._notifier.beat(now_ns, self.status(now_ns))

    def status(self, now_ns: int) -> str:
        """How it stands, in a line."""
        budget = self._warden.budget
        lease = "a lease runs" if self._warden.leased(now_ns) else "no lease runs"
        kind = "simulated GPUs" if self._loop.simulated_host is not None else "GPUs"
        stands = f"; budget {budget.budget_w:g} W" if budget else ""
        hung = "; a call of the driver hangs" if hangs(self._loop.beats(), now_ns) else ""
        return f"governs {self._loop.gpus} {kind}{stands}; {lease}{hung}"

    def may_renew(self, now_ns: int) -> bool:
        """Whether a successor could go on; if not, why is logged and nothing changes."""
        if hangs(self._loop.beats(), now_ns):
            log.error("not renewed: a call of the driver hangs, and a successor could not open it")
            return False
        try:
            self._check()
            check_successor()
        except EagentError as problem:
            log.error("not renewed: %s", problem)
            return False
        return True


def go_on(warden: Warden, left: Message, now_ns: int) -> None:
    """Hold what the predecessor held until the agent has had time to ask for it; call it before the loop writes."""
    if not left:
        return
    try:
        limits_mw = left["limits_mw"]
        if not isinstance(limits_mw, dict):
            raise ProtocolError("limits_mw: not a map of devices")
        warden.lease(limits_mw, GRACE_S, now_ns, left.get("clocks_mhz"), left.get("preferences"))
    except (EagentError, KeyError, TypeError, ValueError, AttributeError) as problem:
        log.warning("what the warden before this one held goes back now: %s", problem)
