"""CPU frequency ceilings and energy preferences as the warden holds them: under a lease, and given back after it.

Each is one knob of a package, and of the kernel's attributes as many as the package has cpufreq policies. The journal
keeps them one by one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eagent.errors import DriverError, RefusedError
from eagent.hardware import sysfs
from eagent.hardware._loop import Loop
from eagent.hardware.package import Package
from eagent.model import Device, Knob, KnobName
from eagent.warden import foreign as foreigners
from eagent.warden.entry import Entry, is_text
from eagent.warden.foreign import Foreign
from eagent.warden.journal import Journal
from eagent.wire import Message

MIXED = "mixed"  # where the CPUs of a package differ
GONE = {errno.ENOENT, errno.ENODEV}  # the kernel has dropped the attribute, and what was written to it


@dataclass(frozen=True, slots=True)
class _Group:
    """One knob of one package: its attributes, whose settings begin at `first` in the loop."""

    device: Device
    knob: KnobName
    offered: Knob  # for all that is known without the journal
    writable: Knob
    paths: tuple[Path, ...]
    first: int
    found: tuple[str, ...]  # what they held when they were taken over: told, and never written

    def names(self) -> tuple[str, ...]:
        """What the journal calls the attributes."""
        return tuple(f"{path.parent.name}/{path.name}" for path in self.paths)


class Processors:
    """The frequency ceilings and preferences of all packages of the host."""

    def __init__(self, loop: Loop, journal: Journal, boot_id: str) -> None:
        """Nothing is taken over yet.

        Args:
            loop: The hot loop that writes them.
            journal: What an earlier warden left.
            boot_id: This boot, which has reset whatever was written before it.
        """
        self._loop = loop
        self._journal = journal
        self._boot_id = boot_id
        self._groups: list[_Group] = []
        self._packages: dict[str, Package] = {}
        self._count = 0
        self._originals: dict[tuple[str, KnobName], Entry] = {}  # what the journal said before somebody else wrote

    def take(self, device: Device, package: Package) -> Device:
        """Take one package over; returns it with what is known of its two knobs."""
        self._packages[device.uuid] = package
        clock = self._take(device, KnobName.CPU_CLOCK, package.ceiling_paths, device.clock)
        preference = self._take(device, KnobName.CPU_PREFERENCE, package.preference_paths, device.preference)
        return replace(device, clock=clock, preference=preference)

    def _take(self, device: Device, knob: KnobName, shown: tuple[Path, ...], found: Knob) -> Knob:
        usable = self._usable(device.uuid, knob, found)
        paths = (*shown, *_hidden(shown, self._standing(device.uuid, knob)))
        try:
            self._loop.add_settings([str(path) for path in paths])
        except DriverError as problem:  # too many, or too long: it must not cost the GPUs their warden
            paths, found = (), Knob(False, str(problem))
            usable = found
        self._groups.append(_Group(device, knob, found, usable, paths, self._count, _read(shown)))
        self._count += len(paths)
        self._let_stand(self._groups[-1])
        return usable

    def _let_stand(self, group: _Group) -> None:
        """Leave alone what an earlier warden had left to somebody else, where it still is as they had set it."""
        entry = self._entry(group)
        if not entry or entry.owner != foreigners.OWNER or self._loop.foreign_policy != foreigners.RESPECT:
            return
        for i, (name, path) in enumerate(zip(group.names(), group.paths, strict=True)):
            with contextlib.suppress(DriverError):
                if name in entry.texts and sysfs.read(path) == entry.texts[name]:
                    self._loop.let_text_stand(group.first + i, entry.texts[name])

    def judged(self, device: Device) -> Device:
        """The device with its two knobs as they can be set with the journal as it is."""
        usable = {
            group.knob: self._usable(device.uuid, group.knob, group.offered)
            for group in self._groups
            if group.device.uuid == device.uuid
        }
        return replace(device, clock=usable[KnobName.CPU_CLOCK], preference=usable[KnobName.CPU_PREFERENCE])

    def rebind(self, device: Device) -> None:
        """Know a package's knobs as these from now on."""
        writable = {KnobName.CPU_CLOCK: device.clock, KnobName.CPU_PREFERENCE: device.preference}
        self._groups = [
            replace(group, writable=writable[group.knob]) if group.device.uuid == device.uuid else group
            for group in self._groups
        ]

    def _usable(self, uuid: str, knob: KnobName, found: Knob) -> Knob:
        """The knob as found, unless its entry can't be used; one of another boot is retired."""
        damage = self._journal.damaged.get((uuid, knob))
        entry = self._journal.get(uuid, knob)
        try:
            if entry and self._journal.is_void(entry, self._boot_id):
                self._journal.retire(uuid, knob)
        except OSError as problem:
            damage = f"the journal can't be written: {problem.strerror}"
        return Knob(False, damage) if damage else found

    def fallback(self) -> list[str]:
        """Per setting, in the loop's terms, what it goes to without a lease."""
        return [text for group in self._groups for text in self._fallback(group)]

    def _standing(self, uuid: str, knob: KnobName) -> Entry | None:
        """The entry of a knob, if it is not void. What can't be leased any more is to go back all the same."""
        entry = self._journal.get(uuid, knob)
        return entry if entry and not self._journal.is_void(entry, self._boot_id) else None

    def _entry(self, group: _Group) -> Entry | None:
        return self._standing(group.device.uuid, group.knob)

    def _fallback(self, group: _Group) -> list[str]:
        entry = self._entry(group)
        return [entry.texts.get(name, "") if entry else "" for name in group.names()]

    def wish(self, clocks_mhz: Mapping[str, int], preferences: Mapping[str, str]) -> list[str]:
        """Check what a lease asks for and journal where those knobs go back to.

        Returns:
            Per setting, in the loop's terms, what to hold under the lease.

        Raises:
            RefusedError: no such package, not writable, not a value of its, or the journal can't be written.
        """
        asked: dict[KnobName, Mapping[str, int | str]] = {
            KnobName.CPU_CLOCK: clocks_mhz,
            KnobName.CPU_PREFERENCE: preferences,
        }
        strangers = (clocks_mhz.keys() | preferences.keys()) - self._packages.keys()
        if strangers:
            raise RefusedError(f"{min(strangers)[:80]}: no CPU package of this host")
        wanted = [group for group in self._groups if group.device.uuid in asked[group.knob]]
        for group in wanted:
            self._check(group, asked[group.knob][group.device.uuid])
        for group in wanted:
            self._enter(group)
        return [
            text
            for group in self._groups
            for text in (
                self._texts(group, asked[group.knob][group.device.uuid]) if group in wanted else self._fallback(group)
            )
        ]

    def _check(self, group: _Group, value: int | str) -> None:
        device = group.device
        if not group.writable.writable:
            raise RefusedError(f"{device.label}: its {_words(group.knob)} can't be set: {group.writable.why}")
        if group.knob is KnobName.CPU_CLOCK and value not in device.clocks_mhz:
            low, high = device.clocks_mhz[0], device.clocks_mhz[-1]
            raise RefusedError(f"{device.label}: {value} MHz is not one of its frequencies, {low} to {high} MHz")
        if group.knob is KnobName.CPU_PREFERENCE and value not in device.preferences:
            raise RefusedError(
                f"{device.label}: {str(value)[:40]!r} is not one of its preferences: {', '.join(device.preferences)}"
            )

    def _enter(self, group: _Group) -> None:
        """Journal what its attributes hold now, unless an entry stands; one that can't be read is left alone."""
        if self._journal.get(group.device.uuid, group.knob):
            return
        texts = {}
        for name, path in zip(group.names(), group.paths, strict=True):
            with contextlib.suppress(DriverError):  # its CPUs are off line
                texts[name] = sysfs.read(path)
        texts = {name: text for name, text in texts.items() if is_text(text)}
        if not texts:
            raise RefusedError(f"{group.device.label}: its {_words(group.knob)} can't be read, so not be put back")
        try:
            prior = max(int(text) for text in texts.values()) // 1000 if group.knob is KnobName.CPU_CLOCK else 0
            self._journal.enter(group.device.uuid, group.knob, prior, self._boot_id, texts, owner="lease")
        except ValueError as problem:
            raise RefusedError(f"{group.device.label}: {problem}, so it could not be put back") from None
        except OSError as problem:
            raise RefusedError(f"the journal can't be written ({problem.strerror}), so nothing is set") from None

    def _texts(self, group: _Group, value: int | str) -> list[str]:
        """What each attribute is to hold; never more than its owner had allowed; empty for one that came since."""
        prior = self._fallback(group)
        if isinstance(value, str):
            return [value if text else "" for text in prior]
        least_khz = {each.path: each.hardware_min_khz for each in self._packages[group.device.uuid].policies}
        return [
            str(min(int(text), max(least_khz.get(path.parent, 0), value * 1000))) if text else ""
            for text, path in zip(prior, group.paths, strict=True)
        ]

    # -- what others write -------------------------------------------------------------------------------------------

    def heed(self) -> bool:
        """Journal what somebody else has set, where it is respected, as where those attributes go back to.

        Returns:
            Whether one goes back to another text now.
        """
        if self._loop.foreign_policy != foreigners.RESPECT:
            return False
        found = self._foreign()
        moved = [self._heed(group, found) for group in self._groups] if found else []
        return any(moved)

    def _foreign(self) -> dict[int, Foreign]:
        """By the loop's numbers, what somebody else did to a setting."""
        return {i: Foreign(*found) for i, found in self._loop.foreign_texts().items()}

    def _heed(self, group: _Group, found: Mapping[int, Foreign]) -> bool:
        entry = self._entry(group)
        mine = {name: found[group.first + i] for i, name in enumerate(group.names()) if group.first + i in found}
        if entry is None or not mine:
            return False
        key = group.device.uuid, group.knob
        original = self._originals.get(key, entry)
        texts = dict(entry.texts)
        for name, foreign in mine.items():
            if foreign.stands and is_text(str(foreign.value)) and name in texts:
                texts[name] = str(foreign.value)
            elif foreign.fate == foreigners.MOVED_BACK and name in texts:
                texts[name] = original.texts[name]
        stands = any(foreign.stands for foreign in mine.values())
        owner = foreigners.OWNER if stands else original.owner if entry.owner == foreigners.OWNER else entry.owner
        moved = _with_texts(replace(entry, owner="" if owner == foreigners.OWNER and not stands else owner), texts)
        if moved == entry:
            return False
        with contextlib.suppress(OSError):  # they are left alone all the same; the next tick tries again
            self._journal.move(moved)
            if stands:
                self._originals.setdefault(key, entry)
            else:
                self._originals.pop(key, None)
            return True
        return False

    def take_back(self) -> None:
        """Let all of them be ours again; what somebody else had set is where they go back to.

        Raises:
            RefusedError: the journal can't be written. Theirs stands.
        """
        self.heed()
        for group in self._groups:
            entry = self._entry(group)
            if entry is None or entry.owner != foreigners.OWNER:
                continue
            original = self._originals.pop((group.device.uuid, group.knob), None)
            try:
                self._journal.move(replace(entry, owner=original.owner if original else ""))
            except OSError as problem:
                raise RefusedError(
                    f"the journal can't be written ({problem.strerror}): nothing is taken back"
                ) from None

    def at_rest(self) -> bool:
        """Whether every attribute is back where it was, or gone, or left to somebody else."""
        found, foreign = self._loop.settings(), self._foreign()
        return all(self._is_back(group, found, foreign) for group in self._groups)

    def _last(self, group: _Group, found: Mapping[int, Foreign]) -> Foreign | None:
        last = foreigners.last([found[i] for i in range(group.first, group.first + len(group.paths)) if i in found])
        if last is None or group.knob is not KnobName.CPU_CLOCK:
            return last
        return replace(last, value=_mhz(last.value), before=None if last.before is None else _mhz(last.before))

    def _is_back(
        self, group: _Group, found: Sequence[tuple[str | None, int | None, int | None]], theirs: Mapping[int, Foreign]
    ) -> bool:
        if not group.paths:  # nobody looks at them
            return self._entry(group) is None
        return all(
            text in ("", held) or error in GONE or (i in theirs and theirs[i].stands)
            for i, (text, (held, error, _)) in enumerate(
                zip(self._fallback(group), found[group.first :], strict=False), group.first
            )
        )

    def tick(self, clocks: Collection[str], preferences: Collection[str]) -> bool:
        """Retire the entries of knobs that are back, but of those that a lease holds. Returns whether there was one."""
        found, foreign = self._loop.settings(), self._foreign()
        leased = {KnobName.CPU_CLOCK: clocks, KnobName.CPU_PREFERENCE: preferences}
        free = [group for group in self._groups if group.device.uuid not in leased[group.knob]]
        back = [group for group in free if self._entry(group) and self._is_back(group, found, foreign)]
        retired = [self._journal.try_retire(group.device.uuid, group.knob) for group in back]  # each of them
        return any(retired)

    def status(
        self, clocks_mhz: Mapping[str, int], preferences: Mapping[str, str], now_ns: int
    ) -> tuple[list[Message], list[Message], list[str]]:
        """What is known of ceilings and of preferences, a row for each package, and the alarms."""
        found, theirs = self._loop.settings(), self._foreign()
        rows: dict[KnobName, list[Message]] = {KnobName.CPU_CLOCK: [], KnobName.CPU_PREFERENCE: []}
        alarms = []
        for group in self._groups:
            mine = found[group.first : group.first + len(group.paths)]
            ours = (clocks_mhz if group.knob is KnobName.CPU_CLOCK else preferences).get(group.device.uuid)
            entry = self._entry(group)
            state = "unwritable" if not group.writable.writable else "leased" if ours else "baseline"
            foreign = self._last(group, theirs)
            if foreign and foreign.stands and state != "unwritable":
                state = "foreign"
            if state in ("baseline", "unwritable") and entry and not self._is_back(group, found, theirs):
                state = "restoring"
            codes = [error for _, error, _ in mine if error]
            problem = os.strerror(codes[0]) if codes and entry else None
            what = f"{group.device.label}: {_words(group.knob)}"
            if problem:
                alarms.append(f"{what}: {problem}, for {len(codes)} of {len(mine)} policies")
            changed = foreigners.alarm(what, foreign, self._loop.foreign_policy, _shown(group.knob), ours, now_ns)
            alarms += [changed] if changed else []
            held = [text for text, *_ in mine if text]
            prior = [text for text in self._fallback(group) if text] or group.found
            row: Message = {"uuid": group.device.uuid, "knob": str(group.knob), "state": state}
            row |= {"writable": group.writable.writable, "why": group.writable.why, "error": problem}
            row["foreign"] = foreign.message() if foreign else None
            unit, read = ("_mhz", _least_mhz) if group.knob is KnobName.CPU_CLOCK else ("", _common)
            rows[group.knob].append(
                {**row, f"held{unit}": read(held), f"ours{unit}": ours, f"baseline{unit}": read(prior)}
            )
        return rows[KnobName.CPU_CLOCK], rows[KnobName.CPU_PREFERENCE], alarms


def _read(paths: Sequence[Path]) -> tuple[str, ...]:
    """What they hold; nothing if one can't be read."""
    try:
        return tuple(map(sysfs.read, paths))
    except DriverError:
        return ()


def _hidden(shown: Sequence[Path], entry: Entry | None) -> Iterator[Path]:
    """What the entry names beside the attributes that are shown: those of CPUs that are off line, and will be back."""
    if not shown or entry is None:
        return
    attribute, policies = shown[0].name, shown[0].parent.parent
    for name in entry.texts:
        path = policies / name
        if re.fullmatch(rf"policy[0-9]{{1,6}}/{attribute}", name, re.ASCII) and path not in shown:
            yield path


def _words(knob: KnobName) -> str:
    return "frequency ceiling" if knob is KnobName.CPU_CLOCK else "energy preference"


def _shown(knob: KnobName) -> Callable[[int | str], str]:
    return (lambda value: f"{value} MHz") if knob is KnobName.CPU_CLOCK else str


def _mhz(khz: int | str) -> int | str:
    return int(khz) // 1000 if str(khz).isdigit() else khz


def _with_texts(entry: Entry, texts: Mapping[str, str]) -> Entry:
    """The entry with these texts, and what the greatest of them comes to where they are frequencies."""
    if texts == entry.texts or entry.knob is not KnobName.CPU_CLOCK:
        return replace(entry, texts=texts)
    return replace(entry, texts=texts, prior=max(int(text) for text in texts.values() if text.isdigit()) // 1000)


def _least_mhz(khz: Sequence[str]) -> int | None:
    return min((int(text) // 1000 for text in khz if text.isdigit()), default=None)


def _common(texts: Sequence[str]) -> str | None:
    return None if not texts else texts[0] if len(set(texts)) == 1 else MIXED
