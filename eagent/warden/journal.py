"""What each knob held before eagent first wrote it. No knob is written before its entry is on the disk.

One file a knob, so that one damaged file costs one knob. An entry is never overwritten while it stands: whatever died
in between, the first prior value is the one to go back to. It is retired only after the knob was read back at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import ProtocolError
from eagent.warden import durable

SUFFIX = ".power_limit.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """The value to go back to, and the boot in which it was read."""

    uuid: str
    prior_mw: int
    boot_id: str


class Journal:
    """The entries in one directory."""

    def __init__(self, directory: Path) -> None:
        """Read what stands.

        Args:
            directory: Where the entries are kept; made if it is not there.

        Raises:
            OSError: the directory can't be made or read.
        """
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._directory = directory
        self._entries: dict[str, Entry] = {}
        self.damaged: dict[str, str] = {}  # UUID to what is wrong: such a knob must not be written
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            uuid = path.name.removesuffix(SUFFIX)
            try:
                self._entries[uuid] = _entry(uuid, durable.load(path), path)
            except (ProtocolError, OSError) as problem:
                self.damaged[uuid] = f"{problem}; check the knob by hand, then remove the file"

    def __iter__(self) -> Iterator[Entry]:
        """The entries that stand."""
        return iter(list(self._entries.values()))

    def get(self, uuid: str) -> Entry | None:
        """The entry of one device's power limit, if it stands."""
        return self._entries.get(uuid)

    def enter(self, uuid: str, prior_mw: int, boot_id: str) -> Entry:
        """Put a knob's prior value on the disk, unless an entry stands already; return the entry that stands.

        Raises:
            OSError: it could not be made durable. The knob must not be written then.
        """
        standing = self._entries.get(uuid)
        if standing is not None:
            return standing
        entry = Entry(uuid, prior_mw, boot_id)
        durable.store(self._path(uuid), {"uuid": uuid, "knob": "power_limit", "prior_mw": prior_mw, "boot_id": boot_id})
        self._entries[uuid] = entry
        return entry

    def retire(self, uuid: str) -> None:
        """Drop an entry: the knob was read back at its prior value, or a boot has reset it.

        Raises:
            OSError: the file could not be removed; the entry stands.
        """
        durable.remove(self._path(uuid))
        self._entries.pop(uuid, None)

    def _path(self, uuid: str) -> Path:
        return self._directory / f"{uuid}{SUFFIX}"


def _entry(uuid: str, content: dict[str, object] | None, path: Path) -> Entry:
    match content:
        case {"uuid": str(named), "knob": "power_limit", "prior_mw": int(prior_mw), "boot_id": str(boot_id)}:
            if named == uuid and prior_mw > 0:
                return Entry(uuid, prior_mw, boot_id)
    raise ProtocolError(f"{path}: not a journal entry of {uuid}")
