"""The warden as a process: one per host, from taking the host over to putting everything back."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eagent import handover
from eagent.access import of_warden
from eagent.audit import Audit
from eagent.config import Config
from eagent.errors import DriverError, ProtocolError, RefusedError, RingError, UnavailableError
from eagent.hardware import package
from eagent.hardware._loop import Loop
from eagent.hardware.package import Package
from eagent.model import KnobName
from eagent.notify import Notifier
from eagent.paths import RUN_MODE, Paths
from eagent.process import follow_parent, hold_lock, make_directory, make_inner_directory
from eagent.warden import durable
from eagent.warden.absent import NONE, Absent, load
from eagent.warden.callers import Callers
from eagent.warden.journal import Journal
from eagent.warden.nodes import is_open
from eagent.warden.patience import END_S, Call, hangs, join, leave
from eagent.warden.server import Server
from eagent.warden.service import Service, go_on
from eagent.warden.waiting import Waiting
from eagent.warden.warden import SETTLE_S, Warden
from eagent.warden.written import Memory
from eagent.wire import Message

log = logging.getLogger("eagent.warden")

SPARE = Path("/dev/shm")  # memory, of whose room the run directory's file system takes none
WAITS = "waits for the driver, which does not answer: nothing is governed"
START_S = 1.5  # a driver that takes longer over its start is waited for, and that is said within two seconds


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
        stack.enter_context(_alone(paths))
        yield _take_over_in_time(stack, paths, config, _wait)


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Be the only warden of these directories. Asks nothing of the driver."""
    _end_when_told()
    make_directory(paths.run, RUN_MODE)
    make_inner_directory(paths.warden_socket.parent, RUN_MODE)
    make_directory(paths.state, 0o750)
    lock = hold_lock(paths.warden_lock, "warden")
    try:
        yield
    finally:
        os.close(lock)


def _end_when_told() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):  # until the server has its own: end in order at any point
        signal.signal(number, lambda *_: sys.exit(0))


@contextlib.contextmanager
def _govern(paths: Paths, config: Config, left: Message) -> Iterator[Host]:
    """Take the knobs over, with the loop running. Each step may wait for the driver, in a thread that need not be main.

    At the end a call that still hangs is left alone, and the process with it.

    Args:
        paths: Where things are.
        config: The operator's wishes.
        left: What a predecessor held, and handed over.
    """
    with contextlib.ExitStack() as stack:
        boot_id = _boot_id(paths)
        absent = _load_absent(paths, boot_id)
        loop = _make_loop(paths, config, absent)
        loop.on_foreign(config.foreign)
        stack.callback(paths.ring.unlink, missing_ok=True)
        stack.callback(_close, loop, paths.ring)
        for claim in _claim(loop):
            stack.enter_context(claim)
        journal = _open_journal(paths)
        entered = frozenset(entry.key for entry in journal if not journal.is_void(entry, boot_id))
        memory = Memory(paths.written, boot_id, journal)
        packages = _find_packages(paths.sysfs)
        baseline_mhz, driver = config.gpu_clock_baseline_mhz, paths.driver_life
        outside = (absent, paths.detached, lambda device: is_open(device.pci_bus_id, paths.proc))
        warden = Warden(loop, journal, paths.budget, boot_id, _settle, baseline_mhz, packages, driver, *outside)
        found_mw = [limit[0] for limit in loop.limits()]
        memory.resume(loop, warden.devices)
        warden.tell()  # where a limit goes back to may be something else now
        for problem in memory.problems:
            log.warning("%s", problem)
        go_on(warden, left, time.monotonic_ns())
        bodies = (loop.sample, loop.actuate)
        threads = [threading.Thread(target=body, name=f"hot loop: {body.__name__}", daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        stack.callback(lambda: memory.end(holds=warden.entered))
        stack.callback(join, threads, paths.ring)
        stack.callback(loop.stop)
        stack.callback(_let_go, warden, loop, config.let_go_s)
        yield Host(warden, loop, found_mw, entered)


def _load_absent(paths: Paths, boot_id: str) -> Absent:
    """The GPUs that are detached; none where that can't be told, which must not cost the others their warden."""
    try:
        return load(paths.detached, boot_id)
    except (ProtocolError, OSError) as problem:
        log.error("which GPUs are detached can't be read, so all are opened: %s", problem)
        return NONE


def _make_loop(paths: Paths, config: Config, absent: Absent) -> Loop:
    """The loop, with its ring where the agent reads it; where that is full, where nobody does: knobs must go back."""
    ramp_mw_per_s, places = round(config.ramp_w_per_s * 1000), absent.loops_places()
    try:
        return Loop(config.library, str(paths.ring), config.sample_period_ms, False, ramp_mw_per_s, places)
    except RingError as problem:
        log.error("%s; nobody can read this host's sensors until the warden is started again with room", problem)
    spare = SPARE / f"eagent-ring-{os.getpid()}"
    loop = Loop(config.library, str(spare), config.sample_period_ms, False, ramp_mw_per_s, places)
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
        journal = Journal(paths.journal, paths.driver_life())
        for directory in (paths.journal, paths.state):
            durable.sweep(directory)
        return journal
    except OSError as problem:
        raise UnavailableError(
            f"{paths.journal}: {problem.strerror}: without its journal the warden touches nothing"
        ) from None


def _close(loop: Loop, ring: Path) -> None:
    """Give the driver up, unless it hangs over that, too."""
    if not Call(loop.close, "closes the driver").wait(END_S):
        leave(ring)


def _say_stopping(warden: Warden, notifier: Notifier) -> None:
    if not warden.handed_over:
        notifier.stopping()


def _let_go(warden: Warden, loop: Loop, most_s: float) -> None:
    if warden.handed_over:
        return
    warden.release()
    if warden.budget is None:  # in order nothing is left to be remembered; a budget's next warden goes on
        with contextlib.suppress(RefusedError):
            warden.yield_clear()
    if not put_back(warden, most_s, lambda: hangs(loop.beats(), time.monotonic_ns())):
        log.error("some knobs are not back yet; the next start, or `eagent restore`, finishes it")


def put_back(warden: Warden, most_s: float, gives_up: Callable[[], bool] = lambda: False) -> bool:
    """Wait until every knob is back and its entry is retired, or it is given up; whether they are back."""
    if wait(lambda: gives_up() or warden.ended(time.monotonic_ns()), most_s) and not gives_up():
        return True
    warden.tick(time.monotonic_ns())  # of those that are
    return False


def run(paths: Paths, config: Config, check: Callable[[], object] = lambda: None) -> None:
    """Be the warden until SIGTERM or SIGINT. On SIGHUP it hands over to the program and configuration on the disk.

    Args:
        paths: Where things are.
        config: The operator's wishes.
        check: Reads the configuration as a successor would, and raises what would end that.

    Raises:
        UnavailableError: another warden runs, or eagent's directories can't be made.
        DriverError: no usable driver.
    """
    left = _be(paths, config, check)
    if left is not None:
        handover.become_successor(left)


def _be(paths: Paths, config: Config, check: Callable[[], object]) -> Message | None:
    """Be the warden to its end; what its successor is to get, if it is to have one."""
    left, notifier = handover.take(), Notifier()
    follow_parent()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(paths))
        audit = Audit(paths.warden_audit)
        stack.callback(audit.close)
        callers = Callers(of_warden(config.groups), config, audit)
        meanwhile = functools.partial(_serve_meanwhile, path=paths.warden_socket, callers=callers, notifier=notifier)
        host = _take_over_in_time(stack, paths, config, meanwhile, left)
        for device in host.warden.devices:
            if not device.power_limit.writable:
                log.warning("%s: power limit: observing only: %s", device.label, device.power_limit.why)
        stack.callback(_say_stopping, host.warden, notifier)
        service = Service(notifier, host.warden, host.loop, config, check)
        told = (service.may_renew, service.turned, notifier.period_s)
        server = Server(host.warden, paths.warden_socket, callers, *told)
        notifier.ready(service.status(time.monotonic_ns()))
        packages = len(host.warden.devices) - host.loop.gpus
        kind = "simulated" if host.loop.simulated_host else "real"
        log.info("ready: %d GPUs, %s, and %d CPU packages", host.loop.gpus, kind, packages)
        try:
            server.serve()
        finally:
            server.close()
        if not server.told_to_renew:
            return None
        notifier.reloading()
        left = host.warden.hand_over(time.monotonic_ns())
    if server.told_to_end:  # another thread got the signal meanwhile: it is the successor's
        os.kill(os.getpid(), signal.SIGTERM)
    return left


Taking = Call[Host]


def _take_over_in_time(
    stack: contextlib.ExitStack,
    paths: Paths,
    config: Config,
    meanwhile: Callable[[Taking, int], None],
    left: Message | None = None,
) -> Host:
    """Take the knobs over in a thread beside, so that a driver that hangs keeps nobody from ending us.

    Args:
        stack: What is to be put in order at the end.
        paths: Where things are.
        config: The operator's wishes.
        meanwhile: Called where the driver does not answer at once, with when it was asked: returns when it has.
        left: What a predecessor held, and handed over.

    Raises:
        UnavailableError, DriverError: as `take_over`.
        SystemExit: told to end.
    """
    since_ns = time.monotonic_ns()
    taking = Call(lambda: stack.enter_context(_govern(paths, config, left or {})), "takes over")
    try:
        if not taking.wait(START_S):
            log.warning("the driver does not answer yet: nothing is governed until it does; knobs stay as they are")
            meanwhile(taking, since_ns)
            log.warning("the driver answers after %.0f s", (time.monotonic_ns() - since_ns) / 1e9)
    except SystemExit:  # told to end: what has been begun is to be put in order, unless it hangs
        if not taking.wait(END_S):
            leave(paths.ring)
        raise
    return taking.answer()


def _wait(taking: Taking, _: int) -> None:
    while not taking.wait(START_S):
        pass


def _serve_meanwhile(taking: Taking, since_ns: int, path: Path, callers: Callers, notifier: Notifier) -> None:
    """Say at the warden's socket, and to the service manager, that the driver is waited for."""
    waiting = Waiting(lambda: taking.ended, since_ns, time.monotonic_ns)
    server = Server(waiting, path, callers, turned=lambda now_ns: notifier.beat(now_ns, WAITS))
    waiting.at_end = server.stop
    notifier.ready(WAITS)  # to start another would not help, and who waits for us need not wait for the driver
    try:
        server.serve()
    finally:
        server.close()
    _end_when_told()
    if server.told_to_end:
        sys.exit(0)


def _claim(loop: Loop) -> list[socket.socket]:
    """Claim each GPU in the kernel's abstract socket names, so that wardens with different directories don't share one.

    The claim dies with the process. It does not reach across network namespaces.
    """
    claims = []
    for i in range(loop.gpus):
        # A real GPU's UUID is its own. Simulated hosts may have the same ones; a path would be too long for a name.
        place = zlib.crc32((loop.simulated_host or "").encode())
        name = f"\0eagent-warden-{place:08x}-{loop.uuid(i)}"
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
