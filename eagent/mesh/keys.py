"""A host's CURVE key pair: made once, its secret half kept in a file that only its owner can read.

The file holds the secret key in Z85, 40 characters, and a line feed. The public key is derived from it, so the two
can't disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import zmq

from eagent.errors import ConfigError, UnavailableError
from eagent.mesh import secret_file

KEY_LENGTH = 40  # 32 bytes in Z85


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
    secret_file.write(path, pair.secret)


def load(path: Path) -> KeyPair:
    """The pair whose secret key a file holds.

    Raises:
        ConfigError: there is no key in it.
        RefusedError: others can read or change it, so it is no secret.
        UnavailableError: it can't be read.
    """
    return from_secret(secret_file.read(path), str(path))
