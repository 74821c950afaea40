"""eagent's directories: whose they are, and whether the journal can be written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host

LEAST_B = 1 << 20  # a journal is a few hundred bytes a knob, a ring less than a megabyte
LOW_B = 16 << 20
SOCKET_NAME_MAX = 107
LONGEST = "jobs/ask.sock"


def check(host: Host) -> Iterator[Finding]:
    """Both directories; one that is not there yet is made at the first start, if its parent lets it."""
    run, state = host.paths.run, host.paths.state
    excess = len(os.fsencode(run / LONGEST)) - SOCKET_NAME_MAX
    if excess > 0:
        fix = "set EAGENT_RUN_DIR to a shorter path"
        yield Finding(str(run), Severity.PROBLEM, f"too long for a socket's name, by {excess} bytes", fix)
    for path in dict.fromkeys((run, state)):
        yield from _look(path, None if host.status is not None else host.user.uid)


def _look(path: Path, uid: int | None) -> Iterator[Finding]:
    """`uid` is whose directory it may be; None where an agent answers: who runs it then is right."""
    try:
        made = path.stat()
    except FileNotFoundError:
        yield _absent(path)
        return
    except OSError as problem:
        yield Finding(str(path), Severity.NOTE, f"can't be looked at: {problem.strerror}", "run `sudo eagent doctor`")
        return
    faults = [*_ownership(path, made, uid), *_space(path)]
    yield from faults
    if not faults:
        yield Finding(str(path), Severity.OK, f"belongs to user {made.st_uid}, with space")


def _absent(path: Path) -> Finding:
    parent = next(each for each in path.parents if each.exists())
    if os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
        return Finding(str(path), Severity.NOTE, "not there yet; the first start makes it")
    fix = "run as root, or set EAGENT_RUN_DIR and EAGENT_STATE_DIR to where this user may write"
    return Finding(str(path), Severity.WARNING, f"not there, and this user may not make it in {parent}", fix)


def _ownership(path: Path, made: os.stat_result, uid: int | None) -> Iterator[Finding]:
    if not stat.S_ISDIR(made.st_mode):
        yield Finding(str(path), Severity.PROBLEM, "not a directory", f"remove it: `sudo rm {path}`")
        return
    if uid is not None and made.st_uid not in (0, uid):
        what = f"belongs to user {made.st_uid}, not to root or to user {uid}, whose eagent will not use it"
        yield Finding(str(path), Severity.PROBLEM, what, "choose another with EAGENT_RUN_DIR and EAGENT_STATE_DIR")
    if made.st_mode & stat.S_IWOTH and not made.st_mode & stat.S_ISVTX:
        what = "anyone may write into it, and so replace eagent's sockets and journal"
        yield Finding(str(path), Severity.PROBLEM, what, f"run `sudo chmod 750 {path}`")


def _space(path: Path) -> Iterator[Finding]:
    room = os.statvfs(path)
    free_b = room.f_bavail * room.f_frsize
    if room.f_flag & os.ST_RDONLY:
        what = "read-only: nothing can be journalled, so nothing is set"
        yield Finding(str(path), Severity.PROBLEM, what, f"run `sudo mount -o remount,rw` on what holds {path}")
    elif free_b < LEAST_B or (room.f_files and room.f_favail == 0):
        what = f"full ({free_b >> 10} KiB free): nothing can be journalled, so nothing is set"
        yield Finding(str(path), Severity.PROBLEM, what, f"make room: `df -h {path}; df -i {path}`")
    elif free_b < LOW_B:
        yield Finding(str(path), Severity.WARNING, f"only {free_b >> 20} MiB free", f"make room: `df -h {path}`")
