"""This host's part in the mesh: what it is and needs goes out, what it may draw comes back and is kept.

Until the mesh has brought a ceiling into force that its state bears out, nothing is asked of the warden: after a boot
its budget may still be that of an earlier life, and a host that has just booted has its reserve only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from eagent.agent import rights
from eagent.agent.ceilings import Ceilings
from eagent.agent.loop import Governor
from eagent.agent.signed import SignedFiles
from eagent.config import Config, Mesh
from eagent.errors import EagentError
from eagent.mesh import membership
from eagent.mesh.membership import Membership, Sources
from eagent.mesh.node import Node, Observation
from eagent.mesh.records import Power
from eagent.mesh.state import Host
from eagent.mesh.station import Station
from eagent.mesh.store import Store
from eagent.mesh.trade import Terms
from eagent.mesh.transport import Transport, clock_ns
from eagent.model import DeviceKind, HostState
from eagent.policy import need, sleep
from eagent.policy.goals import Resting
from eagent.policy.sleep import Rest

log = logging.getLogger(__name__)

Json = dict[str, Any]

WAITS = "the mesh has not said yet what this host may draw: its reserve at most"
TRY_S = 1.0  # between attempts to begin
LOOK_ROUNDS = 5  # of TRY_S, between looks at the files that the site signs
UNSEEN_NS = 10_000_000_000  # what was not looked at for so long may have been at work: stopped, or the host suspended
NOT_LOOKED = Rest(wanted=False, reason="it has not been looked at yet")


class Member:
    """Joins the governor to a node of the mesh."""

    def __init__(
        self,
        governor: Governor,
        config: Config,
        mesh: Mesh,
        directory: Path,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        make_transport: Callable[..., Transport] = Transport,
    ) -> None:
        """A member that does not take part yet; from now on the governor waits for it.

        Args:
            governor: The loop; its `waiting` is this object's to set.
            config: The operator's wishes.
            mesh: Those for the mesh.
            directory: Where the states of domains are kept, under the run directory.
            clock: Monotonic nanoseconds, as the governor's.
            sleep: Waits for some seconds.
            make_transport: Makes the way to the other hosts.
        """
        self.name = mesh.name or socket.gethostname()
        self.mesh = mesh
        self.rest = NOT_LOOKED
        self._looked_ns = 0  # by the clock that goes on while the host is suspended
        self.node: Node | None = None
        self.station: Station | None = None
        self.ceilings: Ceilings | None = None
        self._governor = governor
        self._config = config
        self._directory = directory
        self._problems: dict[str, str] = {}
        self._files: SignedFiles | None = None
        self._clock = clock
        self._sleep = sleep
        self._make_transport = make_transport
        governor.waiting = WAITS

    @property
    def alarms(self) -> list[str]:
        """What is wrong now."""
        lines = [f"mesh: {problem}" for problem in self._problems.values()]
        if self.ceilings is not None and self.ceilings.problem is not None:
            lines.append(f"mesh: {self.ceilings.problem}")
        if self.node is not None:
            refused = (escrow.refused for escrow in self.node.escrows.values())
            lines += [f"mesh: {reason}" for reason in refused if reason]
            told = (*rights.too_small(self.node), *rights.doubled(self.node, clock_ns()))
            lines += [f"mesh: {reason}" for reason in told]
        return lines

    @property
    def _reserve_mw(self) -> int:
        return round(self.mesh.reserve_w * 1000)

    @property
    def sleeps(self) -> bool:
        """Whether this host may act on its wish to sleep."""
        return self._config.mode_sleep == "act" and self._governor.halted is None

    def status(self) -> Json:
        """All that is known of the mesh here."""
        return rights.status(self, clock_ns())

    def plan(self) -> Json:
        """What the policy sleep asks for, whether it acts or only observes."""
        return rights.sleep(self, clock_ns())

    def summary(self) -> Json:
        """The same without the peers and the lines of tables."""
        return rights.summary(self, clock_ns())

    async def run(self, stopping: asyncio.Event) -> None:
        """Take part until told to stop; what is in the way is an alarm, and tried again."""
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                try:
                    await self._take_part(stopping)
                except EagentError as problem:
                    self._mind("begin", str(problem))
                    await self._hold()
                pause = asyncio.ensure_future(self._sleep(TRY_S))
                await asyncio.wait([stop, pause], return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            stop.cancel()

    async def _take_part(self, stopping: asyncio.Event) -> None:
        """From the files to the end, or to the first error."""
        governor, mesh = self._governor, self.mesh
        if governor.hello is None or not governor.warden.connected:
            self._mind("begin", "waits for the warden")
            return
        states = Store(self._directory, governor.hello.boot_id, self.name)
        self.ceilings = Ceilings(governor, self._config, mesh, states, self._clock, self._sleep)
        sources = Sources(self.name, mesh.key_file, mesh.roster, mesh.tables, mesh.site_key, mesh.power_key)
        member = membership.load(sources)
        transport = self._make_transport(self.name, member.pair.secret, member.roster, mesh.listen or None)
        self._mind("begin", None)
        self.rest = NOT_LOOKED  # nobody has looked while the host took no part
        self._files = SignedFiles(sources, member)
        self.node = self._make_node(member)
        self.station = Station(self.node, transport, self.ceilings.perform, sleep=self._sleep)
        self.station.before_round = self._before_round
        try:
            self._read_files()
            self._observe()
            stored = {domain: state for domain in mesh.domains if (state := states.load(domain)) is not None}
            ceilings_mw = dict.fromkeys(mesh.domains, self.ceilings.in_force_mw)
            self.station.do(self.node.start(clock_ns(), stored, ceilings_mw))
            await self.station.run(stopping, self._look)
        finally:
            governor.waiting = WAITS
            self.node = self.station = self._files = None

    async def _hold(self) -> None:
        """Keep to a ceiling where the host can't take part: a table may count on its reserve all the same."""
        if self.ceilings is None or not self._governor.warden.connected:
            return
        try:
            await self.ceilings.keep()
            await self.ceilings.bound(self._reserve_mw)
            self._mind("ceiling", None)
        except EagentError as problem:
            self._mind("ceiling", str(problem))

    def _make_node(self, member: Membership) -> Node:
        mesh = self.mesh
        nameplate_mw = round(mesh.nameplate_w * 1000)
        hosts = [Host(self.name, domain, self._reserve_mw, nameplate_mw) for domain in mesh.domains]
        terms = Terms(round(mesh.headroom_w * 1000), round(mesh.band_w * 1000), round(mesh.lot_w * 1000))
        fresh_life = secrets.token_hex(8)
        return Node(
            self.name, hosts, fresh_life, member.roster.hosts, random.Random(), time.time_ns(), member.read, terms
        )

    def _before_round(self) -> None:
        """Tell the node how this host is, and let the governor go once every domain has a state that is in force."""
        assert self.node is not None
        governor = self._governor
        self._observe()
        begun = all(escrow.state is not None for escrow in self.node.escrows.values())
        if begun and governor.waiting is not None:
            governor.waiting = None
            governor.wake()

    def _observe(self) -> None:
        assert self.node is not None
        assert self.ceilings is not None
        governor, now_ns = self._governor, self._clock()
        state = governor.state
        resting = self._resting_goals()
        looked_ns, self._looked_ns = self._looked_ns, clock_ns()
        if self._looked_ns - looked_ns > UNSEEN_NS:
            self.rest = NOT_LOOKED
        self.rest = sleep.decide(state, resting, now_ns, self.rest)
        limits = [each.limit_w.value for each in state.devices if each.device.power_limit.writable]
        self.node.observe(
            Observation(
                need_mw=self._need_mw(self.ceilings),
                power_w=_power_w(state),
                limits_w=None if None in limits else sum(value for value in limits if value is not None),
                power=Power.YIELDING if self.rest.wanted and self.sleeps else Power.AWAKE,
                devices=len(state.gpus),
                busy=sleep.busy_gpus(state, resting),
            )
        )

    def _need_mw(self, ceilings: Ceilings) -> int:
        governor = self._governor
        if self._config.mode_budget != "act":
            return self._reserve_mw  # nobody leases, so more than the safe caps would lie unused here
        pins_w = {uuid: pin.limit_w for uuid, pin in governor.pins.items() if pin.limit_w is not None}
        return ceilings.wall_mw([need.need_w(governor.state, pins_w)])

    def _resting_goals(self) -> Resting:
        config = self._config
        return Resting(config.sleep_after_s, config.sleep_cpus, self._governor.consented(config.sleep_consent))

    async def _look(self) -> None:
        """Hold the ceiling that the warden may have lost, and read anew what the site has changed."""
        rounds = 0
        while True:
            await self._sleep(TRY_S)
            rounds += 1
            if self.ceilings is not None and self._governor.waiting is None:
                try:
                    await self.ceilings.keep()
                    self._mind("ceiling", None)
                except EagentError as problem:
                    self._mind("ceiling", str(problem))
            if rounds % LOOK_ROUNDS == 0:
                self._read_files()

    def _read_files(self) -> None:
        if self._files is not None and self.node is not None and self.station is not None:
            self._files.read(self.node, self.station.transport)
            for what in ("tables", "roster"):
                self._mind(what, self._files.problems.get(what))

    def _mind(self, subject: str, problem: str | None) -> None:
        if problem is None:
            self._problems.pop(subject, None)
        elif self._problems.get(subject) != problem:
            log.warning("%s", problem)
            self._problems[subject] = problem


def _power_w(state: HostState) -> float | None:
    """What the devices draw; None where a GPU does not tell, for a sum of the others would be none of the host.

    A package that nobody can read counts into the fixed draw.
    """
    told = [each.power_mean_w for each in state.devices if each.power_mean_w.ok or each.device.kind is DeviceKind.GPU]
    found = [reading.value for reading in told if reading.ok and reading.value is not None]
    return sum(found) if found and len(found) == len(told) else None
