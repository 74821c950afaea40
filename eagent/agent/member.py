"""This host's part in the mesh: what it is and needs goes out, what it may draw comes back and is kept.

Until the mesh has brought a ceiling into force that its state bears out, nothing is asked of the warden: after a boot
its budget may still be that of an earlier life, and a host that has just booted has its reserve only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from eagent.agent import rights
from eagent.agent.ceilings import Ceilings
from eagent.agent.loop import Governor
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
from eagent.policy import need, sleep
from eagent.policy.goals import Resting
from eagent.policy.sleep import Rest

log = logging.getLogger(__name__)

Json = dict[str, Any]

WAITS = "the mesh has not said yet what this host may draw: its reserve at most"
TRY_S = 1.0  # between attempts to begin
LOOK_S = 5.0  # between looks at the files that the site signs


class Member:
    """Joins the governor to a node of the mesh."""

    def __init__(self, governor: Governor, config: Config, mesh: Mesh, directory: Path) -> None:
        """A member that does not take part yet; from now on the governor waits for it.

        Args:
            governor: The loop; its `waiting` is this object's to set.
            config: The operator's wishes.
            mesh: Those for the mesh.
            directory: Where the states of domains are kept, under the run directory.
        """
        self.name = mesh.name or socket.gethostname()
        self.mesh = mesh
        self.rest = Rest(wanted=False, reason="it has not been looked at yet")
        self.node: Node | None = None
        self.station: Station | None = None
        self.ceilings: Ceilings | None = None
        self._governor = governor
        self._config = config
        self._directory = directory
        self._problems: dict[str, str] = {}
        self._seen: dict[Path, int] = {}  # when the files that the site signs were changed last
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
        return lines

    @property
    def sleeps(self) -> bool:
        """Whether this host may act on its wish to sleep."""
        return self._config.mode_sleep == "act" and self._governor.halted is None

    def status(self) -> Json:
        """All that is known of the mesh here."""
        return rights.status(self, clock_ns())

    def summary(self) -> Json:
        """The same without the peers."""
        return {key: value for key, value in self.status().items() if key not in ("peers", "name", "alarms")}

    async def run(self, stopping: asyncio.Event) -> None:
        """Take part until told to stop; what is in the way is an alarm, and tried again."""
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                try:
                    await self._take_part(stopping)
                except EagentError as problem:
                    self._mind("begin", str(problem))
                await asyncio.wait([stop], timeout=TRY_S)
        finally:
            stop.cancel()

    async def _take_part(self, stopping: asyncio.Event) -> None:
        """From the files to the end, or to the first error."""
        governor, mesh = self._governor, self.mesh
        sources = Sources(self.name, mesh.key_file, mesh.roster, mesh.tables, mesh.site_key, mesh.power_key)
        member = membership.load(sources)
        if governor.hello is None or not governor.warden.connected:
            self._mind("begin", "waits for the warden")
            return
        files = Store(self._directory, governor.hello.boot_id, self.name)
        self.ceilings = Ceilings(governor, self._config, mesh, files, time.monotonic_ns)
        self.node = self._make_node(member)
        transport = Transport(self.name, member.pair.secret, member.roster, mesh.listen or None)
        self.station = Station(self.node, transport, self.ceilings.perform)
        self.station.before_round = self._before_round
        self._mind("begin", None)
        self._seen.clear()
        self._read_files(member)
        self._observe()
        stored = {domain: state for domain in mesh.domains if (state := files.load(domain)) is not None}
        ceilings_mw = dict.fromkeys(mesh.domains, self.ceilings.in_force_mw)
        self.station.do(self.node.start(clock_ns(), stored, ceilings_mw))
        looking = asyncio.create_task(self._look(member))
        try:
            await self.station.run(stopping)
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
            governor.waiting = WAITS
            self.node = self.station = None

    def _make_node(self, member: Membership) -> Node:
        mesh = self.mesh
        reserve_mw, nameplate_mw = round(mesh.reserve_w * 1000), round(mesh.nameplate_w * 1000)
        hosts = [Host(self.name, domain, reserve_mw, nameplate_mw) for domain in mesh.domains]
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
        governor, now_ns = self._governor, time.monotonic_ns()
        state = governor.state
        resting = self._resting_goals()
        self.rest = sleep.decide(state, resting, now_ns, self.rest)
        powers = [each.power_mean_w.value for each in state.devices if each.power_mean_w.ok]
        limits = [each.limit_w.value for each in state.devices if each.device.power_limit.writable]
        self.node.observe(
            Observation(
                need_mw=self.ceilings.wall_mw([need.need_w(state)]),
                power_w=sum(value for value in powers if value is not None) if powers else None,
                limits_w=None if None in limits else sum(value for value in limits if value is not None),
                power=Power.YIELDING if self.rest.wanted and self.sleeps else Power.AWAKE,
                devices=len(state.gpus),
                busy=sleep.busy_gpus(state, resting),
            )
        )

    def _resting_goals(self) -> Resting:
        config = self._config
        return Resting(config.sleep_after_s, config.sleep_cpus, self._governor.consented(config.sleep_consent))

    # --- What the site signs, while we run ---

    async def _look(self, member: Membership) -> None:
        """Read changed files anew, and hold the ceiling that the warden may have lost."""
        since_s = 0.0
        while True:
            await asyncio.sleep(TRY_S)
            since_s += TRY_S
            if self.ceilings is not None and self._governor.waiting is None:
                try:
                    await self.ceilings.keep()
                    self._mind("ceiling", None)
                except EagentError as problem:
                    self._mind("ceiling", str(problem))
            if since_s >= LOOK_S:
                since_s = 0.0
                self._read_files(member)

    def _read_files(self, member: Membership) -> None:
        assert self.node is not None
        if self._is_new(self.mesh.tables, *self._tables()):
            found, problems = membership.load_tables(self.mesh.tables, member.site_key)
            for document in found:
                self.node.add(document)
            self._mind("tables", problems[0] if problems else None)
        roster_files = self.mesh.roster, membership.signature_of(self.mesh.roster)
        if self._is_new(*roster_files) and self.station is not None:
            try:
                roster = membership.load_roster(self.mesh.roster, member.site_key)
                self.station.transport.update_roster(roster)
                self.node.set_peers(roster.hosts)
                self._mind("roster", None)
            except EagentError as problem:
                self._mind("roster", str(problem))

    def _tables(self) -> list[Path]:
        try:
            return sorted(self.mesh.tables.iterdir())
        except OSError:
            return []

    def _is_new(self, *paths: Path) -> bool:
        """Whether any of these was changed since the last time it was asked for."""
        new = False
        for path in paths:
            try:
                changed_ns = path.stat().st_mtime_ns
            except OSError:
                changed_ns = -1
            new |= self._seen.get(path) != changed_ns
            self._seen[path] = changed_ns
        return new

    def _mind(self, subject: str, problem: str | None) -> None:
        if problem is None:
            self._problems.pop(subject, None)
        elif self._problems.get(subject) != problem:
            log.warning("%s", problem)
            self._problems[subject] = problem
