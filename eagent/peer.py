"""Who is at the other end of a unix socket, by the kernel's word of when it connected: it can't be forged."""

from __future__ import annotations

import grp
import logging
import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")  # ucred: pid, uid, gid
_SO_PEERGROUPS = 59  # Linux 4.13; Python has no name for it
_GROUPS_BYTES = 1024  # the most that Python asks the kernel for: 256 groups
_PROC = Path("/proc")  # pids are the kernel's, on a simulated host too


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connected."""

    pid: int  # as we see it; 0: we do not
    uid: int
    gid: int = -1
    groups: frozenset[int] = frozenset()  # the supplementary ones

    def is_in(self, groups: Iterable[int]) -> bool:
        """Whether it is in one of these groups."""
        return any(group == self.gid or group in self.groups for group in groups)


NOBODY = Peer(0, -1)


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a connected unix socket; nobody where the kernel does not tell."""
    try:
        pid, uid, gid = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
    except (OSError, struct.error):
        return NOBODY
    try:
        packed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:  # in more than 256 groups: it counts as in its first one alone, and so may rather less than more
        packed = b""
    return Peer(pid, uid, gid, frozenset(struct.unpack(f"{len(packed) // 4}I", packed)))


def user_name(uid: int) -> str:
    """What the host calls a user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, ValueError):
        return f"user {uid}"


def name_of(pid: int, proc: Path = _PROC) -> str:
    """The command's name of a process, for people: it is what the process says of itself. Empty where there is none."""
    try:
        text = (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return printable(text)


def printable(text: str) -> str:
    """What somebody else said, for a line or a terminal: it ends no line and moves no cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def group_ids(names: Iterable[str]) -> frozenset[int]:
    """The ids of the groups of these names that there are. One that is not there has no members, and is no error."""
    found = set()
    for name in names:
        try:
            found.add(grp.getgrnam(name).gr_gid)
        except KeyError:
            log.debug("no group %s on this host: nobody is in it", name)
    return frozenset(found)


# The kernel's form of a POSIX access control list (linux/posix_acl_xattr.h): a version, then tag, permission and id.
_ACL, _ACL_VERSION = "system.posix_acl_access", 2
_OWNER, _OWNING_GROUP, _GROUP, _MASK, _OTHERS = 0x01, 0x04, 0x08, 0x10, 0x20
_NO_ID, _READ_WRITE = 0xFFFF_FFFF, 6


def let_in(path: Path, groups: Iterable[int]) -> None:
    """Let the members of further groups open a file of mode 0660, which names one group only.

    A file system without access control lists can't: then only its own group may, and that is logged.
    """
    rows = [(_GROUP, _READ_WRITE, gid) for gid in sorted(groups)]
    if not rows:
        return
    entries = [(_OWNER, _READ_WRITE, _NO_ID), (_OWNING_GROUP, _READ_WRITE, _NO_ID), *rows]
    entries += [(_MASK, _READ_WRITE, _NO_ID), (_OTHERS, 0, _NO_ID)]
    packed = struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, _ACL, packed)
    except OSError as problem:
        log.warning("%s: its file system lets in one group only (%s): others can't open it", path, problem.strerror)
