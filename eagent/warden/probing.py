"""Whether a power limit can be set here: a write of what is in force tells.

It is made at the start and, where the limit could not be set then, again and again. What could not be learnt, or was
refused, may be otherwise in a while: a disk has room again, a driver has come to itself, somebody has got a privilege.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from eagent.errors import RefusedError
from eagent.model import Device, Knob, KnobName
from eagent.warden.entry import Entry
from eagent.warden.journal import Journal

POWER_LIMIT = KnobName.POWER_LIMIT
REASON = "a write of what is in force, to learn whether it can be set"
FIRST_NS = 2_000_000_000  # from one try to the next; then ever more, ...
MOST_NS = 60_000_000_000  # ... up to this: most refusals are for good


class Probing:
    """The tries of all power limits of the host."""

    def __init__(self, journal: Journal, boot_id: str, must_lower: Callable[[], bool]) -> None:
        """None was made yet.

        Args:
            journal: Where a value is entered before it is written.
            boot_id: This boot.
            must_lower: Whether a budget stands: a limit is tried then also where the disk takes no entry.
        """
        self._journal = journal
        self._boot_id = boot_id
        self._must_lower = must_lower
        self._due_ns: dict[str, int] = {}  # per UUID, when to try again, ...
        self._wait_ns: dict[str, int] = {}  # ... and how long was waited for that

    def probed(
        self, device: Device, prior_mw: int, texts: Mapping[str, str], probe: Callable[[], str | None], needs: str
    ) -> Device:
        """The device, and whether a write of what is in force was taken. Its value is in the journal before.

        Args:
            device: As the driver or the kernel describes it.
            prior_mw: What is in force.
            texts: The same of a package, as the journal keeps it.
            probe: Writes it; None, or why it was refused. RefusedError: it may still be written, nobody knows when.
            needs: The privilege that it takes, for a person.
        """
        damage = self._journal.damaged.get((device.uuid, POWER_LIMIT))
        if damage:
            return unwritable(device, damage)
        if not device.power_limit.writable:
            return device
        standing = self._journal.get(device.uuid, POWER_LIMIT)
        is_ours = standing is not None and not self._journal.is_void(standing, self._boot_id)
        try:
            self._enter(Entry(device.uuid, POWER_LIMIT, prior_mw, self._boot_id, texts))
            refusal = probe()
            if refusal is None:
                return device
            if not is_ours:
                self._journal.retire(device.uuid, POWER_LIMIT)
        except OSError as problem:
            return unwritable(device, f"the journal can't be written: {problem.strerror}")
        except RefusedError as problem:
            return unwritable(device, str(problem))
        return unwritable(device, f"the driver refuses: {refusal}; setting it takes {needs} on the host itself")

    def _enter(self, entry: Entry) -> None:
        try:
            self._journal.enter(
                entry.uuid, entry.knob, entry.prior, entry.boot_id, entry.texts, owner="probe", reason=REASON
            )
        except OSError:
            if not self._must_lower():
                raise
            self._journal.remember(replace(entry, owner="budget", reason="it stands, and the disk took no entry"))

    def is_due(self, uuid: str, now_ns: int) -> bool:
        """Whether a limit that could not be set is to be tried again now; then it is waited for the next time, too."""
        due_ns = self._due_ns.setdefault(uuid, now_ns + FIRST_NS)
        if now_ns < due_ns:
            return False
        self._wait_ns[uuid] = min(2 * self._wait_ns.get(uuid, FIRST_NS), MOST_NS)
        self._due_ns[uuid] = now_ns + self._wait_ns[uuid]
        return True

    def wait_ns(self, uuid: str) -> int:
        """How long it is waited between two tries."""
        return self._wait_ns.get(uuid, FIRST_NS)

    def hurry(self) -> None:
        """What tries failed by is gone: all are due."""
        self._due_ns = dict.fromkeys(self._due_ns, 0)
        self._wait_ns.clear()

    def settled(self, uuid: str) -> None:
        """It can be set."""
        self._due_ns.pop(uuid, None)
        self._wait_ns.pop(uuid, None)


def unwritable(device: Device, why: str) -> Device:
    """The device with a limit that can't be set."""
    return replace(device, power_limit=Knob(False, why))
