"""The agent as a process: one per run directory, from its lock to its last word."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psutil

from eagent import handover
from eagent.agent.agent import Agent
from eagent.agent.beat_socket import BeatSocket
from eagent.agent.desk import Desk
from eagent.agent.endpoints import Followers
from eagent.agent.feed import Feed
from eagent.agent.footprint import Footprints
from eagent.agent.frequency import Frequencies
from eagent.agent.hints import Hints
from eagent.agent.jobs import Jobs as Running
from eagent.agent.lineage import Lineage
from eagent.agent.loop import Governor
from eagent.agent.processors import Processors
from eagent.agent.progressing import Progressing
from eagent.agent.successor import Successor
from eagent.agent.warden import Warden
from eagent.agent.windows import Windows
from eagent.asking import clock_offset_ns
from eagent.config import Config
from eagent.errors import EagentError
from eagent.notify import Notifier
from eagent.paths import JOBS_MODE, RUN_MODE, Paths
from eagent.process import allow_descriptors, follow_parent, halt_reason, hold_lock, make_directory
from eagent.progress.beats import Beats
from eagent.telemetry._ring import RingReader

if TYPE_CHECKING:
    from eagent.agent.curves import CurveStore
    from eagent.agent.member import Member

log = logging.getLogger("eagent.agent")


class ApiServer(Protocol):
    """What answers for the agent at its socket."""

    async def start(self) -> None:
        """Listen."""

    async def close(self) -> None:
        """Finish what is being answered, and stop."""


Api = Callable[[Agent, Path], ApiServer]
Jobs = Callable[[Desk, Path], ApiServer]


def run(
    paths: Paths,
    config: Config,
    api: Api,
    jobs: Jobs,
    frequencies: Callable[[], Mapping[str, float]] = dict,
    check: Callable[[], object] = lambda: None,
) -> Callable[[], None]:
    """Be the agent until SIGTERM or SIGINT. A warden that is not there yet, or not any more, is waited for.

    On SIGHUP it hands over to the program and configuration on the disk, with its pins and its lease.

    Args:
        paths: Where the sockets, the ring and the lock are.
        config: The operator's wishes.
        api: Makes the server for an agent at a socket path. Agent and api are rooms of one level: who starts both wires
            them.
        jobs: The same for the socket that jobs ask for the joules of their windows.
        frequencies: Reads the MHz of each CPU package that can tell, by its UUID. The agent itself holds no hardware.
        check: Reads the configuration as a successor would, and raises what would end that.

    Returns:
        What is to be called last, with all else closed: it becomes the successor, if there is to be one.

    Raises:
        UnavailableError: another agent runs, or the run directory or the API's socket can't be made.
    """
    successor = Successor(check)
    follow_parent()
    psutil.PROCFS_PATH = str(paths.proc)  # of the whole process: nothing else here asks psutil
    make_directory(paths.run, RUN_MODE)
    lock = hold_lock(paths.agent_lock, "agent")
    try:
        asyncio.run(_run(paths, config, api, jobs, Frequencies(frequencies), successor))
    finally:
        os.close(lock)
    return successor.follow


async def _run(
    paths: Paths, config: Config, api: Api, jobs: Jobs, frequencies: Frequencies, successor: Successor
) -> None:
    notifier = Notifier()
    stopping = asyncio.Event()
    lineage = Lineage()
    windows = Windows(lineage, time.monotonic_ns, shift_ns=clock_offset_ns())
    running = Running(windows.holders, lineage, lambda: governor.devices)
    progressing = Progressing(running, Beats(running.place), time.monotonic_ns, others=[windows])
    curves = _curves(config, paths)
    governor = Governor(
        Warden(paths.warden_socket),
        Feed(lambda: RingReader(paths.ring)),
        config,
        halted=lambda: halt_reason(paths.halt),
        busy_cpus=Processors().busy,
        frequencies=frequencies.look,
        progress=progressing.look,
        curves=None if curves is None else curves.load(),
        tap=progressing,
    )
    followers = Followers(config.metrics, running, lambda: governor.devices, time.monotonic_ns)
    progressing.followers = followers
    governor.pins.update(successor.pins())
    hints = Hints(
        windows.holders,
        lambda: governor.devices,
        time.monotonic_ns,
        acts=config.mode_hint == "act",
        told=governor.wake,
        is_trusted=lineage.may_name,
    )
    governor.hints = hints.standing
    member = _member(governor, config, paths)

    def stop() -> None:
        stopping.set()
        governor.wake()

    def end() -> None:
        successor.told_to_end = True
        stop()

    def renew() -> None:
        if successor.begin():
            stop()

    for number, heed in ((signal.SIGTERM, end), (signal.SIGINT, end), (signal.SIGHUP, renew)):
        asyncio.get_running_loop().add_signal_handler(number, heed)
    handover.heed_signals()
    await governor.step(time.monotonic_ns())  # so that the first request finds more than nothing
    try:
        agent = Agent(governor, config, member=member, footprints=Footprints(), jobs=progressing.told)
        server = api(agent, paths.api_socket)
        await server.start()
        job_server = await _open_to_jobs(jobs, Desk(windows, hints, agent.explain, progressing.count), paths)
        beats = _hear_beats(progressing.beats, paths)
        gpus, cpus = len(governor.state.gpus), len(governor.state.cpus)
        log.info("ready: %d GPUs, %d CPU packages, API at %s", gpus, cpus, paths.api_socket)
        notifier.ready(_status(governor))

        def turned() -> None:
            notifier.beat(time.monotonic_ns(), _status(governor))
            if curves is not None:
                curves.follow(governor.thrift)

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(governor.run(time.monotonic_ns, stopping, turned))
                tasks.create_task(followers.run(stopping))
                if member is not None:
                    tasks.create_task(member.run(stopping))
        finally:
            notifier.reloading() if successor.follows else notifier.stopping()
            await server.close()
            if job_server is not None:
                await job_server.close()
            beats.close()
    finally:
        if successor.follows:
            successor.leave(governor.pins.values())
        if curves is not None:
            curves.close(governor.thrift)
        await governor.close(release=not successor.follows)


def _status(governor: Governor) -> str:
    """How it stands, in a line."""
    gpus, cpus, alarms = len(governor.state.gpus), len(governor.state.cpus), governor.alarms
    told = f"; {len(alarms)} alarms, the first: {alarms[0]}" if alarms else ""
    return f"{gpus} GPUs, {cpus} CPU packages, {len(governor.pins)} pins{told}"


async def _open_to_jobs(jobs: Jobs, desk: Desk, paths: Paths) -> ApiServer | None:
    """Answer jobs, too. That they can't be is no reason not to govern."""
    server = jobs(desk, paths.measure_socket)
    try:
        make_directory(paths.jobs, JOBS_MODE)
        if paths.jobs.stat().st_uid == os.geteuid():
            paths.jobs.chmod(JOBS_MODE)  # what the umask took
        await server.start()
    except (EagentError, OSError) as problem:
        log.warning("jobs can't measure what they draw: %s", problem)
        return None
    return server


def _hear_beats(beats: Beats, paths: Paths) -> BeatSocket:
    """Hear how far jobs are. That they can't say is no reason not to govern, either."""
    listener = BeatSocket(paths.beat_socket, beats, time.monotonic_ns, clock_offset_ns())
    try:
        listener.open()
    except EagentError as problem:
        log.warning("%s", problem)
    return listener


def _curves(config: Config, paths: Paths) -> CurveStore | None:
    """What is known of jobs, where anything can be learnt of them; without, no database is loaded."""
    if config.mode_efficiency != "act":
        return None
    from eagent.agent.curves import CurveStore

    return CurveStore(paths.curves)


def _member(governor: Governor, config: Config, paths: Paths) -> Member | None:
    """This host's part in the mesh, if the operator wants one; without, nothing of the mesh is loaded."""
    if config.mesh is None:
        return None
    from eagent.agent.member import Member

    allow_descriptors()
    return Member(governor, config, config.mesh, paths.mesh)
