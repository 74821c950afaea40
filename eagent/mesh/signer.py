"""The secret half of a signature, made once and kept in a file that only its owner can read.

The file holds an Ed25519 private key as 64 hexadecimal digits and a line feed; the public key is derived from it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from eagent.errors import ConfigError, RefusedError, UnavailableError
from eagent.mesh.signing import MISSING_LIBRARY

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_READ_BYTES = 4096  # more than a key, so that a file with something behind the key is noticed
_KEY_DIGITS = 64


class Signer:
    """Signs with one key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Sign with `key`."""
        self._key = key

    @property
    def public_key(self) -> bytes:
        """32 bytes; hosts are told them in hexadecimal digits."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        """The signature of exactly this content, 64 bytes."""
        return self._key.sign(content)


def make(path: Path) -> Signer:
    """Make a key and write it into a new file with mode 0600.

    Raises:
        RefusedError: the file is there already: a key is not replaced in passing.
        UnavailableError: it can't be written, or the library that makes keys is not installed.
    """
    key = _library().generate()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            os.write(descriptor, f"{key.private_bytes_raw().hex()}\n".encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileExistsError:
        raise RefusedError(f"{path} exists: remove it first if there shall be another key") from None
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None
    return Signer(key)


def load(path: Path) -> Signer:
    """The signer whose key a file holds.

    Raises:
        ConfigError: there is no key in it.
        RefusedError: others can read or change it, so it is no secret.
        UnavailableError: it can't be read, or the library that signs is not installed.
    """
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(_READ_BYTES)
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None
    if mode & 0o077:
        raise RefusedError(f"{path}: mode {mode & 0o777:04o} lets others in: chmod 600, or make another key")
    text = content.decode("ascii", "replace").removesuffix("\n")
    try:
        secret = bytes.fromhex(text) if len(text) == _KEY_DIGITS else b""
    except ValueError:
        secret = b""
    if not secret:
        raise ConfigError(f"{path}: not a signing key, {_KEY_DIGITS} hexadecimal digits")
    return Signer(_library().from_private_bytes(secret))


def _library() -> type[Ed25519PrivateKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise UnavailableError(MISSING_LIBRARY) from None
    return Ed25519PrivateKey
