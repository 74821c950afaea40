"""What the mesh allows this host, brought about: a permission at the wall becomes the warden's budget.

    permission at the wall = fixed_w + sum of device limits / efficiency of the power supply

The warden's budget outlives the agent and the boot, so what was lowered stays lowered, whoever dies.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable

from eagent.agent import orders
from eagent.agent.envelope import safe_caps_w
from eagent.agent.loop import Governor
from eagent.config import Config, Mesh
from eagent.errors import EagentError, RefusedError, UnavailableError
from eagent.mesh.effects import SETTLE_NS, Awaited, Lower, Raise, Store
from eagent.mesh.form import MOST_MW
from eagent.mesh.permission import binding_mw, limits_mw, permission_mw
from eagent.mesh.store import Store as Files
from eagent.model import Budget

log = logging.getLogger(__name__)

RETRY_S = 1.0


class Ceilings:
    """The ceilings of all domains of this host; the least of them binds."""

    def __init__(
        self,
        governor: Governor,
        config: Config,
        mesh: Mesh,
        files: Files,
        clock: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Ceilings as the warden holds them now; the governor must have met it.

        Raises:
            RefusedError: this host can't keep a ceiling as it is configured.
        """
        self._governor = governor
        self._config = config
        self._mesh = mesh
        self._files = files
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._fixed_mw = self._checked_fixed_mw()
        self.problem: str | None = None  # why the last effect had to be tried again, or failed; None: it did not
        self._ceilings_mw = dict.fromkeys(mesh.domains, self._told_mw())
        self._has_settled = False  # in this process: what one before had begun to lower may be on its way
        governor.widest_w = governor.budget.envelope_w if governor.budget is not None else None

    @property
    def in_force_mw(self) -> int:
        """What the host may draw at the wall as far as the warden was asked; MOST_MW while it holds no budget.

        A raise that was asked for counts from then on, a lowering when it is done.
        """
        return binding_mw(self._ceilings_mw.values())

    def wall_mw(self, limits_w: Iterable[float]) -> int:
        """What the host may draw at the wall under these device limits, in watts."""
        return permission_mw(self._fixed_mw, map(_mw, limits_w), self._permille)

    async def keep(self) -> None:
        """Put the ceiling back if the warden has another one: its files are gone or damaged, or somebody changed it.

        Raises:
            RefusedError, UnavailableError, ProtocolError: it is not back; try again.
        """
        async with self._turn:
            if not self._governor.warden.connected or self.in_force_mw == MOST_MW:
                return
            if self._told_envelope_mw() != self._envelope_mw():
                log.warning("the warden has lost its ceiling of %g W: setting it again", self.in_force_mw / 1000)
                await self._apply()

    async def bound(self, ceiling_mw: int) -> None:
        """Have a ceiling where there is none at all: for a host that can't join, and may be counted on all the same.

        Raises:
            RefusedError, UnavailableError, ProtocolError: there is none yet; try again.
        """
        if self.in_force_mw == MOST_MW:
            for domain in self._ceilings_mw:
                await self._bring_about(Lower(domain, ceiling_mw))

    async def perform(self, effect: Awaited) -> None:
        """Bring an effect about. What must be lowered or stored is tried until it is: nothing else may go on before.

        Raises:
            RefusedError: the warden will not have it raised.
        """
        while True:
            try:
                if isinstance(effect, Store):
                    self._files.save(effect.domain, effect.state)
                else:
                    await self._bring_about(effect)
            except EagentError as problem:
                self.problem = str(problem)
                if isinstance(effect, Raise) and isinstance(problem, RefusedError):
                    raise
                await self._sleep(RETRY_S)
            else:
                self.problem = None
                return

    async def _bring_about(self, effect: Lower | Raise) -> None:
        async with self._turn:
            await self._move(effect)

    async def _move(self, effect: Lower | Raise) -> None:
        before_mw = self._ceilings_mw[effect.domain]
        lowers = isinstance(effect, Lower)
        if lowers and effect.ceiling_mw >= before_mw and self._is_settled():
            return  # nothing has to move: what is given was of no use here
        self._ceilings_mw[effect.domain] = min(before_mw, effect.ceiling_mw) if lowers else effect.ceiling_mw
        try:
            in_force = await self._apply()
        except EagentError as problem:
            if lowers or isinstance(problem, RefusedError):  # else a raise may have come about, and counts as if it had
                self._ceilings_mw[effect.domain] = before_mw
            raise
        if lowers:
            if not in_force:
                raise UnavailableError("the limits have not been read back under the lower ceiling yet")
            await self._sleep(SETTLE_NS / 1e9)  # limits hold as means of one second
            self._has_settled = True

    async def _apply(self) -> bool:
        self._has_settled = False
        envelope_w = self._governor.widest_w = self._envelope_mw() / 1000
        fixed_w = self._fixed_mw / 1000
        devices = self._governor.devices
        budget = Budget(fixed_w + envelope_w, fixed_w, safe_caps_w(devices, self._config))
        return await orders.set_budget(self._governor, budget, self._clock())

    def _is_settled(self) -> bool:
        """Whether all limits have been under the ceiling for a second, and the warden holds it by its last word."""
        return self._has_settled and self._governor.warden.connected and self._told_mw() <= self.in_force_mw

    def _envelope_mw(self) -> int:
        """What the ceilings leave for the devices' limits."""
        return limits_mw(self.in_force_mw, self._fixed_mw, self._permille)

    @property
    def _permille(self) -> int:
        return math.floor(round(self._mesh.psu_efficiency * 1000, 6))

    def _told_mw(self) -> int:
        """What the budget allows that the warden told last."""
        budget = self._governor.budget
        return MOST_MW if budget is None else self.wall_mw([budget.envelope_w])

    def _told_envelope_mw(self) -> int | None:
        budget = self._governor.budget
        return None if budget is None else _mw(budget.envelope_w)

    def _checked_fixed_mw(self) -> int:
        """The worst draw of what is not capped. The reserve must cover what the host falls to by itself (rule 2)."""
        if self._config.fixed_w is None:
            raise RefusedError("[host] fixed_w is missing: the mesh counts all that this host draws at the wall")
        fixed_mw = _mw(self._config.fixed_w)
        devices = self._governor.devices
        caps_w = safe_caps_w(devices, self._config)
        budget = Budget(0.0, 0.0, caps_w)
        counted_w = (caps_w[each.uuid] if each.power_limit.writable else budget.uncapped_w(each) for each in devices)
        alone_w = [*counted_w, self._governor.reserved_w]
        least_mw = permission_mw(fixed_mw, map(_mw, alone_w), self._permille)
        if least_mw > _mw(self._mesh.reserve_w):
            raise RefusedError(
                f"[mesh] reserve_w = {self._mesh.reserve_w:g}: at its safe caps this host may draw "
                f"{least_mw / 1000:g} W at the wall, and nobody asks before it falls to them: set at least that, and "
                "have it in the table"
            )
        return fixed_mw


def _mw(watts: float) -> int:
    return math.ceil(round(watts * 1000, 3))
