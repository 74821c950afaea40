"""What eagent's processes need: to be the only one of a kind, not to outlive a parent, to halt, to have descriptors."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import stat
from collections.abc import Mapping
from pathlib import Path

from eagent.errors import UnavailableError

PARENT = "EAGENT_PARENT_PID"  # set by `eagent up` for its children
SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path, less its terminating zero
DESCRIPTORS = 65_536  # each connection of the mesh takes one; strangers' too, until their handshake has failed
_PR_SET_PDEATHSIG = 1


def make_directory(path: Path, mode: int) -> None:
    """Make a directory that is eagent's own, with its parents.

    Raises:
        UnavailableError: it can't be made, or belongs to somebody else (a trap laid in /tmp).
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        owner = path.stat().st_uid
    except OSError as problem:
        raise UnavailableError(
            f"{path}: {problem.strerror}; set EAGENT_RUN_DIR and EAGENT_STATE_DIR, or run as root"
        ) from None
    if owner not in (0, os.getuid()):
        raise UnavailableError(f"{path} belongs to user {owner}, not to root or to you: remove it or choose another")


def make_inner_directory(path: Path, mode: int) -> None:
    """Make a directory of exactly this mode within one in which others may make files, too: no link is followed.

    Raises:
        UnavailableError: it can't be made, or what is there is a link or not ours.
    """
    make_directory(path, mode)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise UnavailableError(f"{path} is a link, or belongs to user {found.st_uid} and not to us: remove it")
    path.chmod(mode)  # what the umask took


def check_socket_path(path: Path) -> None:
    """Refuse a path that the kernel takes for no socket.

    Raises:
        UnavailableError: it is too long.
    """
    excess = len(os.fsencode(path)) - SOCKET_PATH_BYTES
    if excess > 0:
        raise UnavailableError(f"{path}: too long for a socket by {excess} bytes: choose a shorter EAGENT_RUN_DIR")


def hold_lock(path: Path, what: str) -> int:
    """Take the lock that only one process may hold; the kernel drops it when the process ends, however it ends.

    Args:
        path: The lock file, made if need be. Its text is the holder's pid, for people. Nobody else may open it, because
            who can read a file can lock it; and no link is followed to where somebody else would have us write.
        what: The holder's name in the error: "agent", "warden".

    Returns:
        The descriptor that holds the lock: keep it open.

    Raises:
        UnavailableError: another process holds it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise UnavailableError(f"another {what} (pid {holder}) runs on this host already: {path} is held") from None
    with contextlib.suppress(OSError):  # on a full disk it is held without its text
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def follow_parent(environ: Mapping[str, str] = os.environ) -> None:
    """Ask the kernel for a SIGTERM when the parent named in the environment dies, so that no orphan goes on alone."""
    parent = environ.get(PARENT)
    if parent is None:
        return
    import ctypes  # here: half a megabyte that a warden under systemd does without

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if str(os.getppid()) != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def allow_descriptors() -> None:
    """Let this process open as many files and connections as it may: most shells and units start it with 1024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
    if resource.RLIM_INFINITY != now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def halt_reason(path: Path) -> str | None:
    """The text of the halt file; None: it is not there. One that can't be read halts, too."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or "halted"
    except FileNotFoundError:
        return None
    except OSError as problem:
        return f"halted; {path}: {problem.strerror}"
