"""Run a command as a child that gets our signals, and wait for its end: as `env` or `time` do, and no shell between."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Sequence

from eagent.errors import InputError

# What people and schedulers send to end a job, to tell it something, or to have it save its work.
FORWARDED = frozenset(
    (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
)
OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # that the interpreter ignores, which children would inherit
SI_USER = 0  # and below: sent by a process, not by a terminal to all of its foreground
NOT_FOUND, NOT_RUNNABLE, BY_SIGNAL = 127, 126, 128  # exit codes as shells give them
LOOK_S = 1.0  # whether it has ended, should its signal have been lost
_PR_SET_CHILD_SUBREAPER = 36


class CommandError(InputError):
    """The command could not be started; `code` is what a shell would return."""

    def __init__(self, line: str, code: int) -> None:
        """What is wrong, and the exit code."""
        super().__init__(line)
        self.code = code


def run_child(command: Sequence[str]) -> int:
    """Run it to its end; returns its exit code, or 128 and the number of the signal that ended it.

    What the child leaves running becomes our child: so it is still known to be ours.

    Raises:
        CommandError: it can't be started.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    try:
        return _await(_spawn(command, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn(command: Sequence[str], mask: Iterable[int]) -> int:
    try:
        return os.posix_spawnp(command[0], list(command), os.environ, setsigmask=mask, setsigdef=OF_PYTHON)
    except FileNotFoundError:
        raise CommandError(f"{command[0]}: no such command", NOT_FOUND) from None
    except OSError as problem:
        raise CommandError(f"{command[0]}: {problem.strerror}", NOT_RUNNABLE) from None


def _await(child: int) -> int:
    while True:
        code = _reap(child)
        if code is not None:
            return code
        got = signal.sigtimedwait(FORWARDED | {signal.SIGCHLD}, LOOK_S)
        if got is not None and got.si_signo != signal.SIGCHLD and got.si_code <= SI_USER:
            os.kill(child, got.si_signo)  # it is not reaped yet, so its pid is its own


def _reap(child: int) -> int | None:
    """Take leave of all who ended; the child's exit code if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else BY_SIGNAL - code
