"""The secret half of a signature, made once and kept in a file that only its owner can read.

The file holds an Ed25519 private key as 64 hexadecimal digits and a line feed; the public key is derived from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eagent.errors import ConfigError, UnavailableError
from eagent.mesh import secret_file
from eagent.mesh.signing import MISSING_LIBRARY

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
    secret_file.write(path, key.private_bytes_raw().hex())
    return Signer(key)


def load(path: Path) -> Signer:
    """The signer whose key a file holds.

    Raises:
        ConfigError: there is no key in it.
        RefusedError: others can read or change it, so it is no secret.
        UnavailableError: it can't be read, or the library that signs is not installed.
    """
    text = secret_file.read(path)
    try:
        key = bytes.fromhex(text) if len(text) == _KEY_DIGITS else b""
    except ValueError:
        key = b""
    if not key:
        raise ConfigError(f"{path}: not a signing key, {_KEY_DIGITS} hexadecimal digits")
    return Signer(_library().from_private_bytes(key))


def _library() -> type[Ed25519PrivateKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise UnavailableError(MISSING_LIBRARY) from None
    return Ed25519PrivateKey
