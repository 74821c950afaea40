"""What `Store` asks to be kept, one small file for each domain, under the run directory.

It speaks for one life, and a life ends with the boot (rule 4). So it belongs where a boot clears it away, and carries
the boot's id for where that is not so; and the host's name, under which its life is known. What is lost, damaged, of
another boot or another name is nothing: a new life begins.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from eagent.errors import ProtocolError, UnavailableError
from eagent.mesh import codec
from eagent.mesh.state import State

_CHECK_BYTES = 4


class Store:
    """The states of one host, in one boot."""

    def __init__(self, directory: Path, boot_id: str, host: str) -> None:
        """Keep states in `directory`, which is made if need be."""
        self._directory = directory
        self._owner = f"{boot_id} {host}".encode()

    def load(self, domain: str) -> State | None:
        """What was stored in this boot; None if there is nothing that can be relied on."""
        try:
            content = self._path(domain).read_bytes()
        except OSError:
            return None
        check, owner, packed = content[:_CHECK_BYTES], *_halves(content[_CHECK_BYTES:])
        if check != _check(content[_CHECK_BYTES:]) or owner != self._owner:
            return None
        try:
            return codec.decode_state(packed)
        except ProtocolError:
            return None

    def save(self, domain: str, state: State) -> None:
        """Replace what was stored as a whole, or leave it. Nothing outlives the boot, so nothing is flushed to a disk.

        Raises:
            UnavailableError: it can't be written.
        """
        content = self._owner + b"\n" + codec.encode_state(state)
        path = self._path(domain)
        new = path.with_name(path.name + ".new")
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            new.write_bytes(_check(content) + content)
            new.replace(path)
        except OSError as problem:
            raise UnavailableError(f"{path}: {problem.strerror}") from None

    def _path(self, domain: str) -> Path:
        return self._directory / f"{domain}.state"


def _check(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECK_BYTES, "big")


def _halves(content: bytes) -> tuple[bytes, bytes]:
    owner, _, packed = content.partition(b"\n")
    return owner, packed
