"""One entry of the journal, and its form on the disk. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from eagent.errors import ProtocolError
from eagent.model import KnobName

PRIOR_MAX = 0xFFFFFFFF  # milliwatts or megahertz, as the loop takes them
TEXT_MAX = 23  # characters, likewise
NOTE_MAX = 200  # characters of what is only told

Key = tuple[str, KnobName]


@dataclass(frozen=True, slots=True)
class Entry:
    """The value to go back to, in the knob's own unit, and the boot in which it was read or declared.

    A knob that is many attributes of the kernel goes back by `texts`: what each of them held, by its name. `driver` is
    the life of the GPU driver it was entered in, "" where that is not known; `owner`, `reason` and `entered` (UTC, ISO
    8601) say for whom, why and when. They are "" in entries of before there were any.
    """

    uuid: str
    knob: KnobName
    prior: int
    boot_id: str
    texts: Mapping[str, str] = field(default_factory=dict)
    driver: str = ""
    owner: str = ""
    reason: str = ""
    entered: str = ""

    @property
    def key(self) -> Key:
        """Which knob of which device."""
        return self.uuid, self.knob

    @property
    def is_of_gpu(self) -> bool:
        """Whether a reload of the GPU driver resets the knob."""
        return not self.uuid.startswith("CPU-")

    def is_void(self, boot_id: str, driver: str) -> bool:
        """Whether the knob was reset since: by a boot, or with the life of the driver where both are known."""
        if self.boot_id != boot_id:
            return True
        return self.is_of_gpu and "" not in (self.driver, driver) and self.driver != driver

    def told(self) -> str:
        """For a person: what it was, since when and for whom eagent has it."""
        if self.texts:
            values = sorted(set(self.texts.values()))
            was = f"{values[0]} to {values[-1]}" if len(values) > 1 else values[0]
        elif self.knob is KnobName.POWER_LIMIT:
            was = f"{self.prior / 1000:g} W"
        elif self.knob is KnobName.PERSISTENCE_MODE:
            was = "on" if self.prior else "off"
        else:
            was = f"{self.prior} MHz" if self.prior else "not locked"
        since = f" at {self.entered}" if self.entered else ""
        owner = f" for a {self.owner}" if self.owner else ""
        return f"{self.knob.replace('_', ' ')} was {was}, journalled{since}{owner}"


def pack(entry: Entry) -> dict[str, object]:
    """An entry as a map. Readers of before there were notes pass over them."""
    return {
        "uuid": entry.uuid,
        "knob": str(entry.knob),
        "prior": entry.prior,
        "boot_id": entry.boot_id,
        "texts": dict(entry.texts),
        "driver": entry.driver,
        "owner": entry.owner[:NOTE_MAX],
        "reason": entry.reason[:NOTE_MAX],
        "entered": entry.entered,
    }


def unpack(content: Mapping[str, object], uuid: str, knob: KnobName) -> Entry:
    """The entry that `pack` packed.

    Args:
        content: The map.
        uuid: Whose it must be.
        knob: Of what it must be.

    Raises:
        ProtocolError: it is of another device or knob, or no entry.
    """
    match content:
        case {"uuid": str(named), "knob": str(kind), "prior": int(prior), "boot_id": str(boot_id)}:
            texts = content.get("texts", {})
            notes = [content.get(name, "") for name in ("driver", "owner", "reason", "entered")]
            is_its = named == uuid and kind == knob and type(prior) is int and 0 <= prior <= PRIOR_MAX
            if is_its and _are_texts(texts) and all(isinstance(note, str) for note in notes):
                return Entry(uuid, knob, prior, boot_id, texts, *map(str, notes))
    raise ProtocolError(f"not a journal entry of {uuid if uuid.isprintable() else ascii(uuid)}")


def _are_texts(texts: object) -> TypeGuard[dict[str, str]]:
    return isinstance(texts, dict) and all(isinstance(text, str) and is_text(text) for text in texts.values())


def is_text(text: str) -> bool:
    """Whether a text can be held and put back: no attribute that is ours is empty, or longer."""
    return text.isascii() and 0 < len(text) <= TEXT_MAX
