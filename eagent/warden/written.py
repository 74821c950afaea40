"""What this host's wardens have written to GPUs' power limits last: a mapped file, from which the next one knows ours.

The journal says where a limit goes back to, and not what we have made of it. Without that a value that somebody else
has set while no warden ran is taken for ours, and written over. So the loop notes each write here, before it and after
it, with plain stores into the run directory's memory: that survives `kill -9` and is gone after a boot.

The form: a header with the boot, then a slot for each device with its UUID, two values and a check that covers all of
them. written.c writes values and check. What is not whole is not known, and never guessed.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eagent.errors import ProtocolError
from eagent.hardware._loop import Loop
from eagent.model import Device, KnobName
from eagent.warden.durable import check_owner, shown
from eagent.warden.entry import Entry
from eagent.warden.journal import Journal
from eagent.wire import mw

MAGIC = b"eagentW1"
HEADER = struct.Struct("<8s40s16s")
SLOT = struct.Struct("<48sQQ")
SLOTS = 128  # of twice as many devices as a host may have: those that are not here now are remembered, too
SIZE = HEADER.size + SLOTS * SLOT.size
VALUES_AT = 48
UUID_MAX, BOOT_MAX = 47, 40  # bytes
WORD = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Written:
    """Of one limit, in mW: what was to be written last, and what was read back last after a write; 0: nothing was."""

    wish_mw: int = 0
    done_mw: int = 0


def salt_of(uuid: str, boot_id: str) -> int:
    """What makes a slot's check its device's and its boot's own."""
    return zlib.crc32(f"{boot_id} {uuid}".encode()) << 32 | zlib.crc32(f"{uuid} {boot_id}".encode())


def _digest(boot: bytes) -> bytes:
    return zlib.crc32(boot).to_bytes(16, "little")


def check_of(values: int, salt: int) -> int:
    """As written.c makes it."""
    mixed = (values + salt) & WORD
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & WORD
    return mixed ^ (mixed >> 31)


def pack(slots: Mapping[str, Written | None], boot_id: str) -> bytes:
    """A whole file with these slots, in their order; None: it is not known, and stays so until the next write."""
    file = bytearray(SIZE)
    HEADER.pack_into(file, 0, MAGIC, boot_id.encode(), _digest(boot_id.encode()))
    for place, (uuid, written) in enumerate(slots.items()):
        values = written.done_mw << 32 | written.wish_mw if written else 0
        check = check_of(values, salt_of(uuid, boot_id))
        SLOT.pack_into(file, at(place), uuid.encode(), values, check if written else ~check & WORD)
    return bytes(file)


def at(place: int) -> int:
    """Where in the file a slot begins."""
    return HEADER.size + place * SLOT.size


def unpack(file: bytes, boot_id: str) -> dict[str, Written]:
    """What is known by a file, by UUID. A slot that is not whole is not known.

    Raises:
        ProtocolError: it is no file of ours and of this boot, or not the whole of it.
    """
    if len(file) != SIZE:
        raise ProtocolError(f"{len(file)} bytes, and not {SIZE}")
    magic, boot, digest = HEADER.unpack_from(file)
    if magic != MAGIC or digest != _digest(boot.rstrip(b"\0")):
        raise ProtocolError("damaged, or not one of eagent's files")
    if boot.rstrip(b"\0") != boot_id.encode():
        raise ProtocolError("of another boot")
    known = {}
    for place in range(SLOTS):
        name, values, check = SLOT.unpack_from(file, at(place))
        uuid = name.rstrip(b"\0").decode("utf-8", "replace")
        if uuid and check == check_of(values, salt_of(uuid, boot_id)):
            known[uuid] = Written(values & 0xFFFFFFFF, values >> 32)
    return known


class Memory:
    """What the wardens before this one have written, and the file in which this one notes its own writes."""

    def __init__(self, path: Path, boot_id: str, journal: Journal) -> None:
        """Read what there is.

        Args:
            path: The file, in the run directory.
            boot_id: This boot: of what an earlier one has written nothing stands.
            journal: What an earlier warden left, before this one enters anything.
        """
        self._standing = {
            entry.uuid: entry
            for entry in journal
            if entry.knob is KnobName.POWER_LIMIT and not journal.is_void(entry, boot_id)
        }
        self._void = {  # what these say was reset by a newer life of the driver, in this boot
            entry.uuid
            for entry in journal
            if entry.knob is KnobName.POWER_LIMIT and entry.boot_id == boot_id and entry.uuid not in self._standing
        }
        self._path = path
        self._boot_id = boot_id
        self._journal = journal
        self._known: dict[str, Written] = {}
        self._problem = "it has no place in it, or not a whole one"
        self.problems: list[str] = []  # what is not known, and what will not be, a line each
        try:
            self._known = unpack(_read(path), boot_id)
        except FileNotFoundError:
            self._problem = "the file is not there"
        except OSError as problem:
            self._problem = str(problem.strerror)
        except ProtocolError as problem:
            self._problem = str(problem)

    def resume(self, loop: Loop, devices: Sequence[Device]) -> None:
        """Let the loop go on from what was written last, and note what it writes. Before it runs.

        A limit that is not where we put it, nor where it goes back to, was set by somebody else meanwhile, or dropped
        by the driver: the loop treats it as if it had seen it happen. Where it is not known what was written last, it
        is taken for ours. A limit without an entry in the journal is nobody's.

        Args:
            loop: The hot loop, with all its devices.
            devices: These, in its order.
        """
        gpus = devices[: loop.gpus]  # a package has several limits, and a kill between two of them leaves neither value
        for i, device in enumerate(gpus):
            self._disown(device, loop.limits()[i][0])
            entry, found_mw = self._standing.get(device.uuid), loop.limits()[i][0]
            known = self._known.get(device.uuid)
            is_where_we_put_it = known is not None and found_mw == known.done_mw  # which the driver has not forgotten
            is_detached = not found_mw  # and comes back
            if entry and (device.power_limit.writable or is_detached or is_where_we_put_it):
                self._resume(loop, i, device, entry)
        self._note(loop, gpus)

    def end(self, *, holds: bool) -> None:
        """Leave nothing in the run directory where nothing is held any more. After the loop has run."""
        if not holds:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _disown(self, device: Device, found_mw: int | None) -> None:
        """Have a limit go back to the driver's own, if what is found was written after it was loaded, and by us.

        Lowering for a budget does not wait for the journal: who is killed then leaves an entry that is void, and what
        was written is entered by the next one as what was found.
        """
        known, entry = self._known.get(device.uuid), self._journal.get(device.uuid, KnobName.POWER_LIMIT)
        default_mw = mw(device.default_limit_w)
        if device.uuid not in self._void or not known or not entry or entry.prior != found_mw:
            return
        if found_mw in (known.wish_mw, known.done_mw) and default_mw not in (0, found_mw):
            try:
                self._journal.move(replace(entry, prior=default_mw))
            except OSError as problem:
                self.problems.append(
                    f"{device.label}: its power limit is eagent's, and stays: the journal can't be written "
                    f"({problem.strerror})"
                )
            else:
                self._standing[device.uuid] = replace(entry, prior=default_mw)

    def _resume(self, loop: Loop, i: int, device: Device, entry: Entry) -> None:
        written = self._known.get(device.uuid)
        found_mw = loop.limits()[i][0]
        if written is None and found_mw not in (None, entry.prior):
            self.problems.append(
                f"{device.label}: what eagent wrote last to its power limit is not known ({shown(self._path)}: "
                f"{self._problem}): if somebody else has set it since, that is written over"
            )
        elif written:
            loop.resume(i, written.wish_mw, written.done_mw, entry.prior)

    def _note(self, loop: Loop, devices: Sequence[Device]) -> None:
        here = [device.uuid for device in devices if len(device.uuid.encode()) <= UUID_MAX]
        # What is at rest begins anew: what was written to it before its next entry will be no matter.
        slots = {uuid: self._known.get(uuid) if uuid in self._standing else Written() for uuid in here}
        absent = [uuid for uuid in self._standing if uuid not in slots and uuid in self._known]
        slots |= {uuid: self._known[uuid] for uuid in absent[: SLOTS - len(slots)]}
        try:
            file = _make(self._path, pack(slots, self._boot_id))
        except OSError as problem:
            with contextlib.suppress(OSError):  # what stands in it would be taken for what this warden has written
                self._path.unlink(missing_ok=True)
            self.problems.append(
                f"{shown(self._path)} can't be made: {problem.strerror}: if this warden is killed, the next one "
                "writes over what somebody else sets in between"
            )
            return
        places = {}
        numbers = {device.uuid: i for i, device in enumerate(devices)}
        for place, uuid in enumerate(here):
            written = slots[uuid]
            places[numbers[uuid]] = (
                at(place) + VALUES_AT,
                salt_of(uuid, self._boot_id),
                written.done_mw if written else 0,
            )
        loop.note_writes(file, places)


def _read(path: Path) -> bytes:
    """What the file holds, and a byte more than any of ours where it is larger."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProtocolError("not a plain file, so not one of eagent's")
        check_owner(descriptor, path)
        return os.read(descriptor, SIZE + 1)
    finally:
        os.close(descriptor)


def _make(path: Path, content: bytes) -> mmap.mmap:
    """Put a new file in the place of the one that stands, if any, and map it. All its room is taken.

    Raises:
        OSError: it can't be made. The old one stands.
    """
    draft = path.with_name(f".{path.name}.tmp")
    draft.unlink(missing_ok=True)  # of one that was killed here
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mapped = mmap.mmap(descriptor, len(content))
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return mapped
