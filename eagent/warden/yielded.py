"""Power limits that are left to somebody else who has set them: what the journal says of them, and how that ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from eagent.errors import RefusedError
from eagent.hardware._loop import Loop
from eagent.hardware.package import Package
from eagent.model import Device
from eagent.warden import foreign as foreigners
from eagent.warden.entry import Entry
from eagent.warden.foreign import Foreign
from eagent.warden.journal import Journal
from eagent.warden.terms import ceiling_mw, limits_uw, owner_uw_of, texts_of


class Yielded:
    """The limits of all devices of the host, as far as others write them."""

    def __init__(
        self,
        loop: Loop,
        journal: Journal,
        devices: Sequence[Device],
        packages: Mapping[str, Package],
        standing: Callable[[str], Entry | None],
    ) -> None:
        """Nothing is left to anybody yet.

        Args:
            loop: The hot loop, which notices them.
            journal: Where what they have set is kept.
            devices: In the loop's order; more may come.
            packages: Per UUID, those of them that are CPU packages; likewise.
            standing: Gives the entry of a device's limit, if it is not void.
        """
        self._loop = loop
        self._journal = journal
        self._devices = devices
        self._packages = packages
        self._standing = standing
        self._originals: dict[str, Entry] = {}  # per UUID, what the journal said before somebody else wrote
        self.unmoved: dict[str, str] = {}  # and where that can't be journalled

    def take(self, i: int) -> None:
        """Go on leaving limit `i` alone, if an earlier warden had."""
        entry = self._standing(self._devices[i].uuid)
        if entry and entry.owner == foreigners.OWNER and self._loop.foreign_policy == foreigners.RESPECT:
            self._loop.let_limit_stand(i, entry.prior)

    def forgotten(self, entry: Entry) -> Entry:
        """The entry of a limit whose driver has forgotten what was set, theirs as well as ours."""
        original = self._originals.pop(entry.uuid, None)
        if entry.owner != foreigners.OWNER:
            return entry
        return replace(entry, owner=original.owner if original else "")

    def all(self) -> dict[int, Foreign]:
        """By the loop's numbers, what somebody else did to a limit."""
        return {i: Foreign(*found) for i, found in self._loop.foreign_limits().items()}

    def heed(self) -> bool:
        """Journal what somebody else has set, where it is respected, as where that limit goes back to.

        Returns:
            Whether a limit goes back to another value now.
        """
        if self._loop.foreign_policy != foreigners.RESPECT:
            return False
        moved = [self._heed(i, foreign) for i, foreign in self.all().items()]
        return any(moved)

    def _heed(self, i: int, foreign: Foreign) -> bool:
        uuid = self._devices[i].uuid
        entry = self._standing(uuid)
        if entry is None:
            return False
        moved = self._moved(entry, foreign)
        if moved == entry:
            return False
        try:
            self._journal.move(moved)
        except OSError as problem:  # the loop leaves the limit alone all the same; the next tick tries again
            self.unmoved[uuid] = f"what somebody else has set can't be journalled: {problem.strerror}"
            return False
        self.unmoved.pop(uuid, None)
        if foreign.stands:
            self._originals.setdefault(uuid, entry)
        else:
            self._end(i, moved)
        return True

    def _end(self, i: int, entry: Entry) -> None:
        """A limit is ours again, and goes back to what the entry says."""
        self._originals.pop(entry.uuid, None)
        if entry.uuid in self._packages:  # not before: by its owner's values the loop knows theirs from ours
            self._loop.own(i, owner_uw_of(self._packages[entry.uuid], entry))

    def _moved(self, entry: Entry, foreign: Foreign) -> Entry:
        """What the entry is to say after what somebody else did."""
        if not foreign.stands:
            if entry.owner != foreigners.OWNER:
                return entry
            original = self._originals.get(entry.uuid)
            is_undone = foreign.fate == foreigners.MOVED_BACK and original is not None
            return original if is_undone and original else replace(entry, owner=original.owner if original else "")
        assert isinstance(foreign.value, int)
        package = self._packages.get(entry.uuid)
        if package is None:
            return replace(entry, prior=foreign.value, owner=foreigners.OWNER)
        owner_uw = limits_uw(package)
        if ceiling_mw(owner_uw) != foreign.value:  # it moves on: what it is then is seen by the loop, too
            return entry
        return replace(entry, prior=foreign.value, texts=texts_of(package, owner_uw), owner=foreigners.OWNER)

    def take_back(self, uuids: Collection[str]) -> list[int]:
        """Let these limits be ours again; what somebody else had set is where they go back to.

        Returns:
            Their numbers, for the loop to be told.

        Raises:
            RefusedError: the journal can't be written. Theirs stands.
        """
        self.heed()
        taken = [i for i, foreign in self.all().items() if foreign.stands and self._devices[i].uuid in uuids]
        for i in taken:
            entry = self._standing(self._devices[i].uuid)
            if entry is None or entry.owner != foreigners.OWNER:
                continue
            original = self._originals.get(entry.uuid)
            ours = replace(entry, owner=original.owner if original else "")
            try:
                self._journal.move(ours)
            except OSError as problem:
                raise RefusedError(
                    f"the journal can't be written ({problem.strerror}): nothing is taken back"
                ) from None
            self._end(i, ours)
        return taken
