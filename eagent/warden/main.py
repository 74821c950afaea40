"""The warden as a process: one per host, from taking the host over to putting everything back."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eagent.config import RUN_MODE, Config, Paths
from eagent.errors import DriverError, RefusedError, RingError, UnavailableError
from eagent.hardware import package
from eagent.hardware._loop import Loop
from eagent.hardware.generation import generation
from eagent.hardware.package import Package
from eagent.model import KnobName
from eagent.process import follow_parent, hold_lock, make_directory
from eagent.warden import durable
from eagent.warden.journal import Journal
from eagent.warden.server import Server
from eagent.warden.warden import SETTLE_S, Warden

log = logging.getLogger("eagent.warden")

SPARE = Path("/dev/shm")  # memory, of whose room the run directory's file system takes none


@dataclass(frozen=True, slots=True)
class Host:
    """A host that is taken over: the warden's mind, the loop that does what it says, and what was found."""

    warden: Warden
    loop: Loop
    found_mw: list[int | None]  # the power limits before anything was put back
    entered: frozenset[tuple[str, KnobName]]  # the knobs that an earlier warden had not put back


@contextlib.contextmanager
def take_over(paths: Paths, config: Config) -> Iterator[Host]:
    """Take the host's knobs over as its only warden, with the loop running; let everything go at the end.

    Raises:
        UnavailableError: another warden runs, or eagent's directories can't be made.
        DriverError: no usable driver.
    """
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):  # until the server has its own: end in order at any point
            signal.signal(number, lambda *_: sys.exit(0))
        make_directory(paths.run, RUN_MODE)
        make_directory(paths.state, 0o750)
        stack.callback(os.close, hold_lock(paths.warden_lock, "warden"))
        loop = _make_loop(paths, config)
        loop.on_foreign(config.foreign)
        stack.callback(paths.ring.unlink, missing_ok=True)
        stack.callback(loop.close)
        for claim in _claim(loop):
            stack.enter_context(claim)
        journal, boot_id = _open_journal(paths), _boot_id(paths)
        entered = frozenset(entry.key for entry in journal if not journal.is_void(entry, boot_id))
        packages = _find_packages(paths.sysfs)
        baseline_mhz, driver = config.gpu_clock_baseline_mhz, functools.partial(generation, paths.sysfs)
        warden = Warden(loop, journal, paths.budget, boot_id, _settle, baseline_mhz, packages, driver)
        found_mw = [limit[0] for limit in loop.limits()]
        for body in (loop.sample, loop.actuate):
            thread = threading.Thread(target=body, name=f"hot loop: {body.__name__}")
            thread.start()
            stack.callback(thread.join)
        stack.callback(loop.stop)
        stack.callback(_let_go, warden, config.let_go_s)
        yield Host(warden, loop, found_mw, entered)


def _make_loop(paths: Paths, config: Config) -> Loop:
    """The loop, with its ring where the agent reads it; where that is full, where nobody does: knobs must go back."""
    ramp_mw_per_s = round(config.ramp_w_per_s * 1000)
    try:
        return Loop(config.library, str(paths.ring), config.sample_period_ms, ramp_mw_per_s=ramp_mw_per_s)
    except RingError as problem:
        log.error("%s; nobody can read this host's sensors until the warden is started again with room", problem)
    spare = SPARE / f"eagent-ring-{os.getpid()}"
    loop = Loop(config.library, str(spare), config.sample_period_ms, ramp_mw_per_s=ramp_mw_per_s)
    spare.unlink()
    return loop


def _find_packages(sysfs: Path) -> tuple[Package, ...]:
    """The CPU packages; none where the kernel's trees can't be read, which must not cost the GPUs their warden."""
    try:
        return package.discover(sysfs)
    except DriverError as problem:
        log.warning("the CPUs are left alone: %s", problem)
        return ()


def _boot_id(paths: Paths) -> str:
    try:
        boot_id = paths.boot_id()
    except OSError as problem:
        raise UnavailableError(
            f"{problem.filename}: {problem.strerror}: the warden can't tell what an earlier boot has reset"
        ) from None
    if not boot_id:
        raise UnavailableError("the kernel's boot_id is empty: the warden can't tell what an earlier boot has reset")
    return boot_id


def _open_journal(paths: Paths) -> Journal:
    try:
        journal = Journal(paths.journal, generation(paths.sysfs))
        for directory in (paths.journal, paths.state):
            durable.sweep(directory)
        return journal
    except OSError as problem:
        raise UnavailableError(
            f"{paths.journal}: {problem.strerror}: without its journal the warden touches nothing"
        ) from None


def _let_go(warden: Warden, most_s: float) -> None:
    warden.release()
    if warden.budget is None:  # in order nothing is left to be remembered; a budget's next warden goes on
        with contextlib.suppress(RefusedError):
            warden.yield_clear()
    if not wait(warden.at_rest, most_s):
        log.error("some knobs are not back yet; the next start, or `eagent restore`, finishes it")
    warden.tick(time.monotonic_ns())


def run(paths: Paths, config: Config) -> None:
    """Be the warden until SIGTERM or SIGINT.

    Raises:
        UnavailableError: another warden runs, or eagent's directories can't be made.
        DriverError: no usable driver.
    """
    follow_parent()
    with take_over(paths, config) as host:
        for device in host.warden.devices:
            if not device.power_limit.writable:
                log.warning("%s: power limit: observing only: %s", device.label, device.power_limit.why)
        server = Server(host.warden, paths.warden_socket)
        packages = len(host.warden.devices) - host.loop.gpus
        kind = "simulated" if host.loop.simulated_host else "real"
        log.info("ready: %d GPUs, %s, and %d CPU packages", host.loop.gpus, kind, packages)
        try:
            server.serve()
        finally:
            server.close()


def _claim(loop: Loop) -> list[socket.socket]:
    """Claim each GPU in the kernel's abstract socket names, so that wardens with different directories don't share one.

    The claim dies with the process. It does not reach across network namespaces.
    """
    claims = []
    for i in range(loop.gpus):
        device = f"{loop.simulated_host or ''}:{loop.describe(i)['uuid']}"
        name = f"\0eagent-warden-{hashlib.sha256(device.encode()).hexdigest()}"
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        claims.append(claim)
        try:
            claim.bind(name)
            claim.listen(1)
        except OSError:
            pid, uid = _holder(name)
            number = loop.numbers[i]
            if uid in (0, os.getuid()):
                raise UnavailableError(
                    f"another warden (pid {pid}) governs gpu{number} already, with other directories: stop it first"
                ) from None
            log.warning("gpu%d is claimed by pid %s of user %s, who can be no warden: passed over", number, pid, uid)
    return claims


def _holder(name: str) -> tuple[int | None, int | None]:
    """Pid and user of whoever claimed a name; None where nobody listens, as a warden does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(name)
            pid, uid, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return None, None
        return pid, uid


def _settle(condition: Callable[[], bool]) -> bool:
    return wait(condition, SETTLE_S)


def wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until the condition holds, at most this long; returns whether it does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
