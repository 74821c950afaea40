"""A host's CURVE key pair: made once, its secret half kept in a file that only its owner can read.

The file holds the secret key in Z85, 40 characters, and a line feed. The public key is derived from it, so the two
can't disagree.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from eagent.errors import ConfigError, RefusedError, UnavailableError

KEY_LENGTH = 40  # 32 bytes in Z85
_READ_BYTES = 4096  # more than a key, so that a file with something behind the key is noticed


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both halves in Z85. The secret one stays out of logs and tracebacks."""

    public: str
    secret: str = field(repr=False)


def make() -> KeyPair:
    """A new pair.

    Raises:
        UnavailableError: this machine's ZeroMQ can't.
    """
    need_curve()
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode("ascii"), secret.decode("ascii"))


def from_secret(secret: str, what: str) -> KeyPair:
    """The pair to which a secret key belongs; `what` is what errors call it, for they don't tell the key.

    Raises:
        ConfigError: it is none.
        UnavailableError: this machine's ZeroMQ can't tell.
    """
    need_curve()
    try:
        public = zmq.curve_public(secret.encode("ascii")) if len(secret) == KEY_LENGTH else None
    except (zmq.ZMQError, UnicodeEncodeError):
        public = None
    if public is None:
        raise ConfigError(f"{what}: not a CURVE secret key, {KEY_LENGTH} characters in Z85: make another")
    return KeyPair(public.decode("ascii"), secret)


def need_curve() -> None:
    """Return if this machine's ZeroMQ was built with CURVE.

    Raises:
        UnavailableError: it was not.
    """
    if not zmq.has("curve"):
        raise UnavailableError(f"libzmq {zmq.zmq_version()} was built without CURVE: install pyzmq from PyPI")


def store(pair: KeyPair, path: Path) -> None:
    """Write the secret key into a new file with mode 0600 and make it durable.

    Raises:
        RefusedError: the file is there already. A host's key is not replaced in passing: its peers know it by that.
        UnavailableError: it can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            os.write(descriptor, f"{pair.secret}\n".encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise RefusedError(f"{path} exists: remove it first if this host shall have another key") from None
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None


def load(path: Path) -> KeyPair:
    """The pair whose secret key a file holds.

    Raises:
        ConfigError: there is no key in it.
        RefusedError: others can read or change it, so it is no secret.
        UnavailableError: it can't be read.
    """
    try:
        # Without O_NONBLOCK a FIFO would hold us up. The descriptor is asked, not the path: that may change in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            about = os.fstat(descriptor)
            content = os.read(descriptor, _READ_BYTES) if stat.S_ISREG(about.st_mode) else b""
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None
    if not stat.S_ISREG(about.st_mode):
        raise ConfigError(f"{path} is no file: must be one that holds this host's secret key")
    if about.st_mode & 0o077:
        raise RefusedError(f"{path}: mode {about.st_mode & 0o777:04o} lets others in: chmod 600, or make another key")
    if about.st_uid not in (0, os.geteuid()):
        raise RefusedError(f"{path} belongs to user {about.st_uid}: it must be root's or that of who runs this")
    return from_secret(content.decode("ascii", "replace").removesuffix("\n"), str(path))
