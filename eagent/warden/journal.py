"""What each knob held before eagent first wrote it. No knob is written before its entry is on the disk.

One file a knob, so that one damaged file costs one knob. An entry is never overwritten while it stands: whatever died
in between, the first prior value is the one to go back to. It is retired only after the knob was read back at it, or,
where a knob can't be read, after the driver has taken the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from eagent.errors import ProtocolError
from eagent.model import KnobName
from eagent.warden import durable

PRIOR_MAX = 0xFFFFFFFF  # milliwatts or megahertz, as the loop takes them
TEXT_MAX = 23  # characters, likewise


@dataclass(frozen=True, slots=True)
class Entry:
    """The value to go back to, in the knob's own unit, and the boot in which it was read or declared.

    A knob that is many attributes of the kernel goes back by `texts`: what each of them held, by its name.
    """

    uuid: str
    knob: KnobName
    prior: int
    boot_id: str
    texts: Mapping[str, str] = field(default_factory=dict)


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
        self._entries: dict[tuple[str, KnobName], Entry] = {}
        self.damaged: dict[tuple[str, KnobName], str] = {}  # what is wrong: such a knob must not be written
        for knob in KnobName:
            for path in sorted(directory.glob(f"*{_suffix(knob)}")):
                uuid = path.name.removesuffix(_suffix(knob))
                try:
                    self._entries[uuid, knob] = _entry(uuid, knob, durable.load(path), path)
                except (ProtocolError, OSError) as problem:
                    self.damaged[uuid, knob] = f"{problem}; check the knob by hand, then remove the file"

    def __iter__(self) -> Iterator[Entry]:
        """The entries that stand."""
        return iter(list(self._entries.values()))

    def get(self, uuid: str, knob: KnobName) -> Entry | None:
        """The entry of one knob, if it stands."""
        return self._entries.get((uuid, knob))

    def enter(
        self, uuid: str, knob: KnobName, prior: int, boot_id: str, texts: Mapping[str, str] | None = None
    ) -> Entry:
        """Put a knob's prior value on the disk, unless an entry stands already; return the entry that stands.

        Raises:
            OSError: it could not be made durable. The knob must not be written then.
        """
        standing = self._entries.get((uuid, knob))
        if standing is not None:
            return standing
        entry = Entry(uuid, knob, prior, boot_id, texts or {})
        content = {"uuid": uuid, "knob": str(knob), "prior": prior, "boot_id": boot_id, "texts": dict(entry.texts)}
        durable.store(self._path(uuid, knob), content)
        self._entries[uuid, knob] = entry
        return entry

    def retire(self, uuid: str, knob: KnobName) -> None:
        """Drop an entry: the knob is back at its prior value, or a boot has reset it.

        Raises:
            OSError: the file could not be removed; the entry stands.
        """
        durable.remove(self._path(uuid, knob))
        self._entries.pop((uuid, knob), None)

    def _path(self, uuid: str, knob: KnobName) -> Path:
        return self._directory / f"{uuid}{_suffix(knob)}"


def _suffix(knob: KnobName) -> str:
    return f".{knob}.json"


def _entry(uuid: str, knob: KnobName, content: dict[str, object] | None, path: Path) -> Entry:
    match content:
        case {"uuid": str(named), "knob": str(kind), "prior": int(prior), "boot_id": str(boot_id)}:
            texts = content.get("texts", {}) if content else {}
            if named == uuid and kind == knob and 0 <= prior <= PRIOR_MAX and _are_texts(texts):
                return Entry(uuid, knob, prior, boot_id, texts)
    raise ProtocolError(f"{path}: not a journal entry of {uuid}")


def _are_texts(texts: object) -> TypeGuard[dict[str, str]]:
    return isinstance(texts, dict) and all(isinstance(text, str) and is_text(text) for text in texts.values())


def is_text(text: str) -> bool:
    """Whether a text can be held and put back: no attribute that is ours is empty, or longer."""
    return text.isascii() and 0 < len(text) <= TEXT_MAX
