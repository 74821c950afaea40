"""Persistence mode of GPUs as the warden holds it: switched on while something is held, and off again after that.

Without it the driver forgets limits and locks when the last process that uses the GPU ends, which may be the warden
itself: a budget must outlive it. It is on while any knob of the GPU is eagent's, and goes back last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from eagent.hardware._loop import Loop
from eagent.model import Device, KnobName
from eagent.warden.absent import Outside
from eagent.warden.entry import Entry
from eagent.warden.journal import Journal
from eagent.warden.life import Life

PERSISTENCE_MODE = KnobName.PERSISTENCE_MODE
OFF = 0  # the only prior value: a mode that is on is left alone
AGAIN_NS = 30_000_000_000  # until what was refused is tried again while something is held


class Modes:
    """The persistence modes of all GPUs of the host."""

    def __init__(self, loop: Loop, journal: Journal, boot_id: str, gpus: Sequence[Device], outside: Outside) -> None:
        """What an earlier warden switched on is off again when nothing is held; a boot has switched it off already.

        Args:
            loop: The hot loop, which switches them.
            journal: What an earlier warden left.
            boot_id: This boot.
            gpus: In the loop's order.
            outside: Which of them are taken out: nothing of theirs is set.
        """
        self._loop = loop
        self._journal = journal
        self._boot_id = boot_id
        self._gpus = list(gpus)
        self._outside = outside
        self._refused: dict[str, str] = {}  # by UUID: why
        self._due_ns: dict[str, int] = {}  # when these are tried again
        self._told: list[bool | None] = [None] * len(gpus)
        for device in gpus:
            if journal.get(device.uuid, PERSISTENCE_MODE) and not self._entry(device):
                journal.try_retire(device.uuid, PERSISTENCE_MODE)

    def rebind(self, i: int, device: Device) -> None:
        """Know GPU `i` as this from now on."""
        self._gpus[i] = device

    def _entry(self, device: Device) -> Entry | None:
        entry = self._journal.get(device.uuid, PERSISTENCE_MODE)
        return entry if entry and not self._journal.is_void(entry, self._boot_id) else None

    @property
    def refused(self) -> Mapping[str, str]:
        """By UUID, why the mode could not be switched on for what is held."""
        return self._refused

    def again(self, now_ns: int) -> None:
        """Let what was refused a while ago be tried again: a driver comes to itself, somebody gets a privilege."""
        for uuid in list(self._refused):
            if now_ns >= self._due_ns.setdefault(uuid, now_ns + AGAIN_NS):
                self._forgive(uuid)

    def _forgive(self, uuid: str) -> None:
        self._refused.pop(uuid, None)
        self._due_ns.pop(uuid, None)

    def follow(self, held: Collection[str], lives: Sequence[Life]) -> None:
        """Have the mode on for these UUIDs and for no others that it was switched on for."""
        wanted = [
            self._wanted(device, device.uuid in held, life) for device, life in zip(self._gpus, lives, strict=True)
        ]
        if wanted != self._told:
            self._loop.modes(wanted)
            self._told = wanted

    def _wanted(self, device: Device, is_held: bool, life: Life) -> bool | None:
        """None: it is left alone."""
        if device.uuid in self._outside.gone:
            return None
        if self._entry(device) is None:
            if not is_held:
                self._forgive(device.uuid)
            return True if is_held and self._takes(device, life) else None
        if life.mode_problem is not None:
            self._refused[device.uuid] = life.mode_problem
        if is_held and device.uuid not in self._refused:
            return True
        if life.has_mode is not False:
            return False
        self._journal.try_retire(device.uuid, PERSISTENCE_MODE)
        return None

    def _takes(self, device: Device, life: Life) -> bool:
        """Whether it is to be switched on; what it was is in the journal then."""
        key = (device.uuid, PERSISTENCE_MODE)
        if life.has_mode is not False or device.uuid in self._refused or key in self._journal.damaged:
            return False
        if not device.power_limit.writable and not device.clock.writable:  # one privilege for all
            return False
        try:
            self._journal.enter(*key, OFF, self._boot_id, owner="warden", reason="what is set must outlive its setter")
        except OSError:  # it is an alarm already, of the knobs that matter
            return False
        return True

    def renew(self, i: int) -> None:
        """Make the entry of GPU `i`, if one stands, anew after its driver has forgotten what was set.

        Raises:
            OSError: the journal can't be written; the entry stands in memory.
        """
        entry = self._journal.get(self._gpus[i].uuid, PERSISTENCE_MODE)
        if entry:
            self._journal.renew_or_remember(entry)

    def at_rest(self) -> bool:
        """Whether none is on because of eagent."""
        return not any(self._entry(device) for device in self._gpus if device.uuid not in self._outside.gone)
