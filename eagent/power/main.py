"""The power role as a process: one per run directory, a peer of the mesh, in no table."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from eagent.engines.power.adapter import Clock
from eagent.engines.power.config import MeshFiles, PowerConfig
from eagent.engines.power.registry import switches
from eagent.errors import ConfigError, EagentError
from eagent.mesh import membership, signer
from eagent.mesh.effects import Awaited
from eagent.mesh.membership import Membership, Sources
from eagent.mesh.node import Node
from eagent.mesh.signer import Signer
from eagent.mesh.station import Station
from eagent.mesh.trade import Terms
from eagent.mesh.transport import Transport, clock_ns
from eagent.paths import Paths
from eagent.power.keeper import Keeper
from eagent.power.papers import Papers
from eagent.power.record import Record
from eagent.power.service import Service
from eagent.process import allow_descriptors, follow_parent, halt_reason, hold_lock, make_directory

log = logging.getLogger("eagent.power")

STEP_S = 1.0
LOOK_S = 30.0  # at those who sleep
CERTIFY_S = 5.0
FILES_S = 30.0  # how often the site's files are read again


class ApiServer(Protocol):
    """What answers for the role at its socket."""

    async def start(self) -> None:
        """Listen."""

    async def close(self) -> None:
        """Finish what is being answered, and stop."""


Api = Callable[[Service, Path], ApiServer]


def run(paths: Paths, config: PowerConfig, api: Api) -> None:
    """Be the power role until SIGTERM or SIGINT.

    Args:
        paths: Where the socket, the lock and the record are.
        config: The operator's wishes.
        api: Makes the server for a service at a socket path.

    Raises:
        ConfigError: the configuration has no mesh, or what it names does not hold what it should.
        RefusedError: the roster is not signed by the site, or a key's file lets others in.
        UnavailableError: another power role runs, or a file or the socket can't be used.
    """
    if config.mesh is None:
        raise ConfigError("power.toml: the section [mesh] is missing or empty: without it no host is heard")
    follow_parent()
    allow_descriptors()
    for directory in (paths.run, paths.state):
        make_directory(directory, 0o750)
    lock = hold_lock(paths.power_lock, "power role")
    try:
        asyncio.run(_run(paths, config, config.mesh, api))
    finally:
        os.close(lock)


def load_member(files: MeshFiles) -> tuple[Membership, Signer]:
    """Who the role is in the mesh, and what it signs certificates with; the errors are those of `run`."""
    signs = signer.load(files.power_key_file)
    public_key = signs.public_key.hex()
    name = files.name or socket.gethostname()
    sources = Sources(name, files.key_file, files.roster, files.tables, files.site_key, public_key)
    return membership.load(sources), signs


async def _run(paths: Paths, config: PowerConfig, files: MeshFiles, api: Api) -> None:
    member, signs = load_member(files)
    papers = Papers(member.read)
    node = Node(
        member.name, [], "", member.roster.hosts, random.Random(), time.time_ns(), papers.read, Terms()
    )  # in no domain: it has no life, and trades nothing
    transport = Transport(member.name, member.pair.secret, member.roster, files.listen)
    station = Station(node, transport, _refuse)
    durable = Record(paths.power_record)
    keeper = Keeper(
        node,
        papers,
        signs,
        switches(config),
        config.rules,
        config.watching,
        durable,
        Clock(now_ns=clock_ns),
        halted=lambda: halt_reason(paths.halt),
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    station.do(node.start(clock_ns(), {}, {}))
    server = api(Service(keeper, signs.public_key), paths.power_socket)
    await server.start()
    said = "switching hosts" if config.rules.act else "observing only"
    log.info("ready: %s, %d hosts, API at %s", said, len(keeper.switches), paths.power_socket)
    files_read = _Files(files, member, node, transport)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(station.run(stopping))
            tasks.create_task(keeper.role.run(stopping))
            for work, every_s in (
                (_soon(files_read.read), FILES_S),
                (_soon(keeper.step), STEP_S),
                (keeper.look, LOOK_S),
                (keeper.certify, CERTIFY_S),
            ):
                tasks.create_task(_repeat(work, every_s, stopping))
    except* EagentError as problems:
        raise problems.exceptions[0] from None  # one line for a person
    finally:
        await server.close()
        durable.close()


class _Files:
    """The site's files, read again now and then: what is newer counts from then on."""

    def __init__(self, files: MeshFiles, member: Membership, node: Node, transport: Transport) -> None:
        self._files = files
        self._member = member
        self._node = node
        self._transport = transport
        self._serial = member.roster.serial
        self._told: set[str] = set()  # what was complained of already

    def read(self) -> None:
        documents, problems = membership.load_tables(self._files.tables, self._member.site_key)
        for document in documents:
            self._node.add(document)
        try:
            roster = membership.load_roster(self._files.roster, self._member.site_key)
            if roster.serial > self._serial:
                self._transport.update_roster(roster)
                self._node.set_peers(roster.hosts)
                self._serial = roster.serial
        except EagentError as problem:
            problems.append(str(problem))
        for each in problems:
            if each not in self._told:
                log.warning("%s", each)
        self._told = set(problems)


def _soon(work: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def done() -> None:
        work()

    return done


async def _repeat(work: Callable[[], Awaitable[None]], every_s: float, stopping: asyncio.Event) -> None:
    """Do it, again and again, until told to stop. What can't be done now is said, and tried again."""

    async def on_and_on() -> None:
        while True:
            try:
                await work()
            except EagentError as problem:
                log.error("%s", problem)
            await asyncio.sleep(every_s)

    working = asyncio.create_task(on_and_on())
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([stop, working], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()  # a fault of ours: it must not be passed over
    finally:
        stop.cancel()
        working.cancel()
        await asyncio.gather(stop, working, return_exceptions=True)


async def _refuse(effect: Awaited) -> None:
    raise ConfigError(f"the power role is in no domain: {effect}")
