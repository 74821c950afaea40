"""The init of a simulated host: it runs one command while the host is on, and ends it as a power cut does.

Everything that the command has started dies with it, whatever session it is in: this process is made the one that
orphans fall to, so that all of them stay its descendants.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from eagent.errors import InputError, RefusedError
from eagent.sim._plant import Host
from eagent.sim.host import SimulatedHost

POLL_S = 0.02  # how long a cut may go unnoticed
RESTART_S = 1.0  # after a failure; twice as long after each further one
RESTART_MAX_S = 30.0
STEADY_S = 60.0  # a command that ran this long has earned a quick restart again
KILLED_S = 5.0  # a killed process that is not gone by then hangs in the kernel
STOP_S = 15.0  # `eagent up` takes at most this long to put everything back
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_libc = ctypes.CDLL(None, use_errno=True)


def run(host: SimulatedHost, command: Sequence[str], environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
    """Run `command` on the host in each of its boots, until SIGTERM or SIGINT.

    When the host goes off, all that the command has started is killed at once and the host's run directory is emptied,
    as a tmpfs is by a boot; its state directory, a disk, is left alone. A command that fails is started again after a
    while; one that succeeds is done until the next boot.

    Raises:
        RefusedError: another process does this for the host already.
        InputError: the command can't be run.
    """
    lock = _hold(host.boot_lock)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    tree = _Tree(command, host.environment(environ), tell)
    try:
        with Host(host.plant) as plant:
            present = plant.boot_id
            if present is None:
                _empty(host.run)
                tell(f"{host.name} is not on: waiting for it.")
            else:
                tree.start()
            while not stopping:
                boot = plant.boot_id
                if boot != present:
                    if present is not None:
                        tree.cut()
                        _empty(host.run)
                        tell(f"{host.name} has lost power: all that ran on it is dead.")
                    if boot is not None:
                        host.show_boot()
                        tree.start()
                    present = boot
                tree.mind(time.monotonic())
                time.sleep(POLL_S)
        tree.stop()
    finally:
        tree.cut()
        os.close(lock)


def _hold(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RefusedError(f"`eagent sim boot` runs for {path.parent.name} already: {path} is held") from None
    return descriptor


def _empty(directory: Path) -> None:
    """Remove all that is in a directory, and not the directory."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _follow() -> None:
    """In the command, before it runs: end in order when init is killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class _Tree:
    """The command and all that it has started."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._command = list(command)
        self._environ = environ
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._wait_s = RESTART_S
        self._again_at: float | None = None

    def start(self) -> None:
        """Start the command.

        Raises:
            InputError: it can't be run.
        """
        self._again_at = None
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_follow,  # this process has one thread
            )
        except OSError as problem:
            raise InputError(f"{self._command[0]}: {problem.strerror}") from None
        self._tell(f"{self._command[0]} runs as pid {self._process.pid}.")

    def mind(self, now: float) -> None:
        """Reap the dead; start the command again when it has failed and waited."""
        self._reap()
        if self._again_at is not None and now >= self._again_at:
            self._wait_s = min(2 * self._wait_s, RESTART_MAX_S)
            self.start()
        process = self._process
        if process is None or process.returncode is None:
            return
        self._process = None
        if process.returncode == 0:
            self._tell(f"{self._command[0]} has ended; it runs again after the next boot.")
            return
        self._wait_s = RESTART_S if now - self._started > STEADY_S else self._wait_s
        self._again_at = now + self._wait_s
        self._tell(f"{self._command[0]} failed ({process.returncode}); starting it again in {self._wait_s:g} s.")

    def cut(self) -> None:
        """Kill all at once. All are stopped before one is killed, so that none sees another's death and acts on it."""
        stopped: set[int] = set()
        while fresh := _descendants() - stopped:  # one that was not stopped yet may have started another
            for pid in fresh:
                _send(pid, signal.SIGSTOP)
            stopped |= fresh
        for pid in stopped:
            _send(pid, signal.SIGKILL)
        deadline = time.monotonic() + KILLED_S
        while (alive := _descendants()) and time.monotonic() < deadline:
            self._reap()
            time.sleep(POLL_S / 10)
        if alive:
            self._tell(f"killed, and not gone after {KILLED_S:g} s: {', '.join(map(str, sorted(alive)))}.")
        self._process, self._again_at, self._wait_s = None, None, RESTART_S

    def stop(self) -> None:
        """End the command in order, then what it has left behind; whatever is there after STOP_S is for `cut`."""
        deadline = time.monotonic() + STOP_S
        if self._process is not None:
            _send(-self._process.pid, signal.SIGTERM)  # it leads its group
            while self._process.returncode is None and time.monotonic() < deadline:
                self._reap()
                time.sleep(POLL_S)
        for pid in _descendants():
            _send(pid, signal.SIGTERM)
        while _descendants() and time.monotonic() < deadline:
            self._reap()
            time.sleep(POLL_S)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._process is not None and pid == self._process.pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)


def _descendants() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(pid, number)
