"""What makes a host a member of the mesh: its key, and what its site has signed, read from files.

    roster.toml, roster.toml.sig      which hosts there are, and their keys
    tables/*.toml, each with a .sig   how many watts each may hold, a table for each domain and epoch

A signature is 64 bytes in a file of its own, made by `eagent mesh sign`. Files may be replaced while the agent runs:
what is newer and signed counts from then on.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import ConfigError, EagentError, UnavailableError
from eagent.mesh import documents, form, keys, roster, signer, signing, table
from eagent.mesh.epoch import Off
from eagent.mesh.keys import KeyPair
from eagent.mesh.messages import Document
from eagent.mesh.roster import Roster
from eagent.mesh.table import Table

FILE_MAX_BYTES = 4 * 1024 * 1024  # a roster of 16,384 hosts fits in
SIGNATURE_SUFFIX = ".sig"
_KEY_DIGITS = 2 * signing.PUBLIC_KEY_BYTES


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a member's files are, and whose signatures count: all that a configuration says of it."""

    name: str
    key_file: Path
    roster_file: Path
    tables: Path  # a directory
    site_key: str  # 64 hexadecimal digits
    power_key: str = ""  # likewise; empty: nobody certifies that hosts are off


@dataclass(frozen=True, slots=True)
class Membership:
    """A host's part in the mesh, everything verified."""

    name: str
    pair: KeyPair
    roster: Roster
    site_key: bytes
    power_key: bytes

    def read(self, document: Document) -> Table | Off:
        """What a document holds; see `documents.read`."""
        return documents.read(document, self.site_key, self.power_key)


def load(sources: Sources) -> Membership:
    """Read and verify a member's files. Tables are read by `load_tables`, for there may be none yet.

    Raises:
        ConfigError: a file does not hold what it should, or the roster does not know this host by this key.
        RefusedError: the roster is not signed by the site, or the key's file lets others in.
        UnavailableError: a file can't be read, or the library that verifies is not installed.
    """
    site_key = public_key(sources.site_key, "site_key")
    power_key = public_key(sources.power_key, "power_key") if sources.power_key else b""
    pair = keys.load(sources.key_file)
    found = load_roster(sources.roster_file, site_key)
    check_listed(found, sources.name, pair, sources)
    return Membership(sources.name, pair, found, site_key, power_key)


def check_listed(found: Roster, name: str, pair: KeyPair, sources: Sources) -> None:
    """Refuse a roster that does not know the host `name` by its key.

    Raises:
        ConfigError: it does not.
    """
    peer = found.hosts.get(name)
    if peer is None:
        raise ConfigError(f"{sources.roster_file}: {name} is not in it: have the site add it")
    if peer.key != pair.public:
        raise ConfigError(f"{sources.roster_file}: has another key for {name} than {sources.key_file}")


def load_roster(path: Path, site_key: bytes) -> Roster:
    """The roster in a file that the site has signed; errors as of `load`."""
    content = _verified(path, site_key)
    return roster.parse(_text(content, path), str(path))


def load_tables(directory: Path, site_key: bytes) -> tuple[list[Document], list[str]]:
    """The tables in a directory, as the documents that gossip spreads, and one line for each that can't be used."""
    found: list[Document] = []
    problems: list[str] = []
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(".toml"))
    except OSError as problem:
        return [], [f"{directory}: {problem.strerror}"]
    for path in paths:
        try:
            content = _verified(path, site_key)
            parsed = table.parse(_text(content, path), str(path))
            found.append(documents.table_document(parsed, content, _read(signature_of(path))))
        except EagentError as refusal:
            problems.append(str(refusal))
    return found, problems


def sign(path: Path, key_file: Path) -> Path:
    """Sign a roster or a table, after it was found to hold; return where the signature was written.

    Raises:
        ConfigError: the file holds neither a roster nor a table.
        RefusedError: the key's file lets others in.
        UnavailableError: a file can't be read or written.
    """
    content = _read(path)
    text = _text(content, path)
    if "members" in form.document(text, str(path)):
        table.parse(text, str(path))
    else:
        roster.parse(text, str(path))
    signature = signer.load(key_file).sign(content)
    target = signature_of(path)
    try:
        target.write_bytes(signature)
    except OSError as problem:
        raise UnavailableError(f"{target}: {problem.strerror}") from None
    return target


def public_key(digits: str, what: str) -> bytes:
    """A public key of 64 hexadecimal digits as bytes.

    Raises:
        ConfigError: it is none.
    """
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != signing.PUBLIC_KEY_BYTES or len(digits) != _KEY_DIGITS:
        raise ConfigError(f"{what}: {digits[:80]!r}: must be {_KEY_DIGITS} hexadecimal digits, an Ed25519 public key")
    return key


def signature_of(path: Path) -> Path:
    """The file that holds a file's signature."""
    return path.with_name(path.name + SIGNATURE_SUFFIX)


def _verified(path: Path, site_key: bytes) -> bytes:
    """A file's content, after its signature was found good; a pair that is just being replaced may be refused."""
    content = _read(path)
    signing.verify(content, _read(signature_of(path)), site_key, str(path))
    return content


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without end
            raise UnavailableError(f"{path}: not a file")
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except OSError as problem:
        raise UnavailableError(f"{path}: {problem.strerror}") from None
    if len(content) > FILE_MAX_BYTES:
        raise ConfigError(f"{path}: longer than {FILE_MAX_BYTES} bytes")
    return content


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text in UTF-8") from None
