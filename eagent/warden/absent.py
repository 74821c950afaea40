"""The GPUs that an operator has taken out for a while, and their file in the run directory.

A warden that starts anew in the middle of a reset must not open the GPU. So the file says which GPUs those are, and
where all others are found without a look at them. It is gone with a boot: nobody resets a GPU across one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eagent.errors import ProtocolError
from eagent.model import Device, Knob
from eagent.warden import durable
from eagent.wire import pack_device, unpack_device

TEXT_MAX = 200  # characters of a name or a reason


@dataclass(frozen=True, slots=True)
class Detachment:
    """One GPU that is out: what it was before, and by whom, when and why it was taken out."""

    device: Device
    since_s: float  # since 1970
    by: str
    why: str

    def told(self) -> str:
        """For a person."""
        since = datetime.fromtimestamp(self.since_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"detached since {since} by {self.by}: {self.why}"

    def stand_in(self) -> Device:
        """The device as it is meanwhile: nothing of it can be set."""
        return replace(self.device, power_limit=Knob(False, self.told()), clock=Knob(False, self.told()))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a GPU is, by the driver's index of the day and for good."""

    number: int
    uuid: str
    bus_id: str


@dataclass(frozen=True, slots=True)
class Absent:
    """All that are out, by UUID, and the places of all GPUs that are governed, those that are out included."""

    detached: Mapping[str, Detachment] = field(default_factory=dict)
    places: tuple[Place, ...] = ()

    def loops_places(self) -> list[tuple[int, str, str, bool]] | None:
        """The same in the loop's terms; None: all may be opened."""
        if not self.detached:
            return None
        return [(place.number, place.uuid, place.bus_id, place.uuid in self.detached) for place in self.places]


NONE = Absent()


class Outside:
    """Which GPUs are out, or on their way: what the files of the single knobs go by."""

    def __init__(self, absent: Absent) -> None:
        """At first those that an earlier warden had taken out."""
        self.gone: Mapping[str, Detachment] = absent.detached
        self.parting: frozenset[str] = frozenset()  # their knobs are still to go back
        self.is_moving = False  # one is being taken out or in: nobody else is to know it as another one meanwhile

    def __contains__(self, uuid: str) -> bool:
        return uuid in self.gone or uuid in self.parting


def store(path: Path, absent: Absent, boot_id: str) -> None:
    """Keep it, or the file away where nobody is out.

    Raises:
        OSError: it can't be kept; what was there before still is.
    """
    if not absent.detached:
        durable.remove(path)
        return
    detached = {
        uuid: {"device": pack_device(each.device), "since_s": each.since_s, "by": each.by, "why": each.why}
        for uuid, each in absent.detached.items()
    }
    places = [[place.number, place.uuid, place.bus_id] for place in absent.places]
    durable.store(path, {"boot_id": boot_id, "detached": detached, "places": places})


def load(path: Path, boot_id: str) -> Absent:
    """What is kept there, of this boot.

    Raises:
        ProtocolError: it is damaged.
        OSError: it can't be read.
    """
    content = durable.load(path)
    if content is None or content.get("boot_id") != boot_id:
        return NONE
    try:
        absent = Absent(
            {uuid: _detachment(packed) for uuid, packed in content["detached"].items()},
            tuple(Place(int(number), str(uuid), str(bus_id)) for number, uuid, bus_id in content["places"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ProtocolError(f"{durable.shown(path)}: damaged: {problem!r}") from None
    if not absent.detached.keys() <= {place.uuid for place in absent.places}:
        raise ProtocolError(f"{durable.shown(path)}: damaged: it says not where the GPU is that is detached")
    return absent


def _detachment(packed: Mapping[str, Any]) -> Detachment:
    return Detachment(unpack_device(packed["device"]), float(packed["since_s"]), str(packed["by"]), str(packed["why"]))
