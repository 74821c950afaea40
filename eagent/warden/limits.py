"""Power limits of GPUs and CPU packages as the warden holds them: leased, at safe caps, or as they were before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from eagent.errors import RefusedError
from eagent.hardware import nvml
from eagent.hardware import package as packages
from eagent.hardware._loop import Loop, scaled
from eagent.hardware.package import Package
from eagent.model import Budget, Device, Knob, KnobName
from eagent.warden import foreign as foreigners
from eagent.warden.absent import Detachment, Outside
from eagent.warden.budget import left_alone_mw, safe_cap_mw, uncapped_mw
from eagent.warden.entry import Entry
from eagent.warden.journal import Journal
from eagent.warden.patience import Patience
from eagent.warden.prior import vet_gpu, vet_package
from eagent.warden.probing import Probing, unwritable
from eagent.warden.terms import ceiling_mw, limits_uw, owner_uw_of, probe, texts_of
from eagent.warden.yielded import Yielded
from eagent.wire import Message, mw, watts

POWER_LIMIT = KnobName.POWER_LIMIT
GPU_NEEDS = "root (CAP_SYS_ADMIN)"


class Limits:
    """The power limits of all devices of the host."""

    def __init__(
        self, loop: Loop, journal: Journal, boot_id: str, outside: Outside, must_lower: Callable[[], bool]
    ) -> None:
        """Nothing is taken over yet.

        Args:
            loop: The hot loop that writes them.
            journal: What an earlier warden left.
            boot_id: This boot, which has reset whatever was written before it.
            outside: Which GPUs are taken out: nothing of theirs is set.
            must_lower: Whether a budget stands: limits are lowered for it also where the disk takes no entry.
        """
        self._must_lower = must_lower
        self._probing = Probing(journal, boot_id, must_lower)
        self._offered: set[str] = set()  # the UUIDs whose limit could be set, for all that is known without a try
        self._outside = outside
        self._loop = loop
        self._journal = journal
        self._boot_id = boot_id
        self._patience = Patience()
        self._devices: list[Device] = []
        self._packages: dict[str, Package] = {}
        self.yielded = Yielded(loop, journal, self._devices, self._packages, self._standing)

    # -- taking over -------------------------------------------------------------------------------------------------

    def take_gpu(self, i: int) -> Device:
        """Take GPU `i` over, in the loop's order: nothing is written but a no-op, to learn whether it can be.

        Raises:
            DriverError: the driver does not answer.
        """
        device, facts = nvml.describe(self._loop, i)
        vet_gpu(self._journal, self._boot_id, device)
        limit_mw = facts["limit_mw"]
        if limit_mw is None:
            return self._took(device)
        self._offered |= {device.uuid} if device.power_limit.writable else set()
        return self._took(self._probing.probed(device, limit_mw, {}, partial(self._loop.probe, i, limit_mw), GPU_NEEDS))

    def take_gone(self, i: int, gone: Detachment) -> Device:
        """Take GPU `i` in as an earlier warden has left it: detached, and not to be opened."""
        device = gone.device
        self._loop.assume(i, mw(device.max_limit_w), device.clocks_mhz[0] if device.clocks_mhz else 0)
        self._loop.cap(i, device.power_limit.writable)
        self._devices.append(gone.stand_in())
        self._offered |= {device.uuid} if device.max_limit_w else set()
        return self._devices[i]

    def rebind(self, i: int, device: Device) -> None:
        """Know device `i` as this from now on; the loop does from when it is told what it falls back to."""
        self._devices[i] = device
        if device.uuid not in self._outside:
            self._loop.cap(i, device.power_limit.writable)

    def take_package(self, package: Package, index: int) -> Device:
        """Take a CPU package over, after all GPUs: it becomes the loop's next device.

        Raises:
            DriverError: there is no room for it. Nothing was taken over then.
        """
        vet_package(self._journal, self._boot_id, package)
        entry = self._standing(package.uuid)
        present_uw = limits_uw(package)
        owner_uw = (entry and owner_uw_of(package, entry)) or present_uw
        zone = package.zone
        self._loop.add_package(
            str(zone.path / "energy_uj") if zone else "",
            zone.max_energy_uj if zone else 0,
            str(zone.path / "enabled") if zone and (zone.path / "enabled").exists() else "",
            [str(path) for path in package.limit_paths] if owner_uw else [],
            owner_uw,
        )
        self._packages[package.uuid] = package
        device = packages.describe(package, index, owner_uw)
        texts = texts_of(package, owner_uw)
        self._offered |= {device.uuid} if device.power_limit.writable else set()
        return self._took(self._probing.probed(device, mw(device.max_limit_w), texts, partial(probe, package), "root"))

    def _took(self, device: Device) -> Device:
        self._devices.append(device)
        self._loop.cap(len(self._devices) - 1, device.power_limit.writable)
        self.yielded.take(len(self._devices) - 1)
        return device

    def _standing(self, uuid: str) -> Entry | None:
        """The entry of a device, if it is not void."""
        entry = self._journal.get(uuid, POWER_LIMIT)
        return entry if entry and not self._journal.is_void(entry, self._boot_id) else None

    # -- what could not be set ----------------------------------------------------------------------------------------

    def again(self, devices: Sequence[Device], now_ns: int) -> dict[int, Device]:
        """Try again the limits of these that could not be set at the last try, and whose time has come.

        Nothing is tried of who is out, or whose limit the loop is to move: it may be what the loop is at.

        Returns:
            By their numbers, those of whom something else is known now.
        """
        tried = {}
        for i, device in enumerate(devices):
            if self._may_come_back(device) and not self._loop_has(device) and self._probing.is_due(device.uuid, now_ns):
                found = self._tried_again(i, device)
                if found != device:
                    tried[i] = found
                if found.power_limit.writable:
                    self._probing.settled(device.uuid)
        return tried

    def _may_come_back(self, device: Device) -> bool:
        is_usable = (device.uuid, POWER_LIMIT) not in self._journal.damaged
        is_open = device.uuid in self._offered and device.uuid not in self._outside
        return is_usable and is_open and not device.power_limit.writable

    def _loop_has(self, device: Device) -> bool:
        return not self._must_lower() and self._standing(device.uuid) is not None

    def _tried_again(self, i: int, device: Device) -> Device:
        self._patience.begin()
        package = self._packages.get(device.uuid)
        try:
            if package is None:
                return self._gpu_tried_again(i, device)
            owner_uw = self._patience.ask(partial(limits_uw, package))
            device = packages.describe(package, device.index, owner_uw)
            if not device.power_limit.writable:
                return device
            self._loop.own(i, owner_uw)
            ask = partial(self._patience.ask, partial(probe, package))
            return self._probing.probed(device, ceiling_mw(owner_uw), texts_of(package, owner_uw), ask, "root")
        except RefusedError as problem:
            return unwritable(device, str(problem))

    def _gpu_tried_again(self, i: int, device: Device) -> Device:
        present_mw = self._patience.ask(partial(self._loop.limit_now, i))
        if not present_mw:
            return unwritable(device, "its power limit can't be read")
        ask = partial(self._patience.ask, partial(self._loop.probe, i, present_mw))
        return self._probing.probed(replace(device, power_limit=Knob(True)), present_mw, {}, ask, GPU_NEEDS)

    def hurry(self) -> None:
        """The journal can be written again: what could not be set is tried at once."""
        self._probing.hurry()

    def wait_ns(self, devices: Sequence[Device]) -> int | None:
        """How long at most `again` may be put off for these; None: nothing of theirs is tried again."""
        waits = [self._probing.wait_ns(device.uuid) for device in devices if self._may_come_back(device)]
        return min(waits, default=None)

    # -- what stands -------------------------------------------------------------------------------------------------

    def writable(self) -> dict[str, Device]:
        """By UUID, the devices whose limit can be set."""
        return {device.uuid: device for device in self._devices if device.power_limit.writable}

    def enter(self, uuids: Collection[str], owner: str, reason: str) -> None:
        """Journal where each of these stands now, unless an entry stands.

        Args:
            uuids: The devices.
            owner: For whom they are to be set: "lease", "budget".
            reason: The same for a person, with its numbers.

        Raises:
            RefusedError: one can't be read, or not in time, or the journal not be written.
        """
        if not self._journal.save():
            raise RefusedError("the journal can't be written, so nothing is set but what a budget's safe caps ask for")
        self._patience.begin()
        for i, device in enumerate(self._devices):
            if device.uuid not in uuids or self._journal.get(device.uuid, POWER_LIMIT):
                continue
            # What was read last may be a second old, and its owner's no more.
            package = self._packages.get(device.uuid)
            owner_uw = limits_uw(package) if package else []
            present_mw = ceiling_mw(owner_uw) if package else self._patience.ask(partial(self._loop.limit_now, i))
            if not present_mw:
                raise RefusedError(f"{device.label}: its power limit can't be read, so it could not be put back")
            texts = texts_of(package, owner_uw) if package else {}
            try:
                self._journal.enter(
                    device.uuid, POWER_LIMIT, present_mw, self._boot_id, texts, owner=owner, reason=reason
                )
            except OSError as problem:
                raise RefusedError(f"the journal can't be written ({problem.strerror}), so nothing is set") from None
            if package:
                self._loop.own(i, owner_uw)

    def renew(self, i: int, found_mw: int | None) -> None:
        """Make the entry of GPU `i`, if one stands, anew after its driver has forgotten what was set.

        Args:
            i: Its number in the loop's order.
            found_mw: What the driver had in its place; None: the limit was still ours.

        Raises:
            OSError: the journal can't be written; the entry stands in memory.
        """
        entry = self._journal.get(self._devices[i].uuid, POWER_LIMIT)
        if entry:
            renewed = entry if found_mw is None else self.yielded.forgotten(replace(entry, prior=found_mw))
            self._journal.renew_or_remember(renewed)

    def wish(self, limits_mw: Mapping[str, int]) -> list[int]:
        """Per device, in the loop's terms, what to hold under a lease of these; they are in the journal.

        0: it is not in the lease, and goes where it does without one.
        """
        wished = []
        for device in self._devices:
            limit_mw = limits_mw.get(device.uuid, 0)
            entry = self._journal.get(device.uuid, POWER_LIMIT)
            if entry and device.uuid in self._packages:
                limit_mw = min(limit_mw, entry.prior)  # its owner may have lowered it since it was described
            wished.append(limit_mw)
        return wished

    def _held(self, limits_mw: Mapping[str, int], budget: Budget | None, envelope_mw: int) -> list[int]:
        """Per device, what a lease of these comes to: the loop scales one that a later budget is too small for."""
        safe_mw = self.fallback(budget)
        asked_mw = [asked or safe for asked, safe in zip(self.wish(limits_mw), safe_mw, strict=True)]
        if not budget:
            return asked_mw
        counted = [device.power_limit.writable for device in self._devices]
        counted_mw = [asked if counts else 0 for asked, counts in zip(asked_mw, counted, strict=True)]
        theirs = {
            i: each.value for i, each in self.yielded.all().items() if each.stands and isinstance(each.value, int)
        }
        counted_mw = [theirs.get(i, counted) if counted else 0 for i, counted in enumerate(counted_mw)]
        floor_mw = [theirs.get(i, safe) for i, safe in enumerate(safe_mw)]
        reserved_mw = uncapped_mw(budget, self._devices) + self.left_alone_mw()
        held_mw = scaled(counted_mw, floor_mw, max(envelope_mw - reserved_mw, 0))
        return [
            asked
            if i in theirs
            else _whole(held, safe)
            if held < asked and device.uuid in self._packages
            else held or asked
            for i, (device, held, asked, safe) in enumerate(zip(self._devices, held_mw, asked_mw, safe_mw, strict=True))
        ]

    def fallback(self, budget: Budget | None) -> list[int]:
        """Per device, in the loop's terms, where it goes without a lease."""
        return [self._fallback(device, budget) for device in self._devices]

    def _fallback(self, device: Device, budget: Budget | None) -> int:
        """0: it is where it belongs, or not here. What can't be leased any more is to go back all the same."""
        entry = self._standing(device.uuid)
        if device.uuid in self._outside.gone:
            return 0
        if budget is None:
            return entry.prior if entry else 0
        if not device.power_limit.writable and device.uuid not in self._outside.parting:
            return 0
        safe_mw = safe_cap_mw(budget, device)
        return min(safe_mw, entry.prior) if entry and device.uuid in self._packages else safe_mw

    def sum_mw(self, budget: Budget | None) -> int:
        """The sum of limits in force as last read back; what can't be set, or can't be read, counts in full."""
        found = zip(self._devices, self._loop.limits(), strict=True)
        capped_mw = sum(limit[0] or mw(device.max_limit_w) for device, limit in found if device.power_limit.writable)
        return capped_mw + (uncapped_mw(budget, self._devices) + self.left_alone_mw() if budget else 0)

    def left_alone_mw(self) -> int:
        """What GPUs may draw that did not answer at the start: nobody knows, so the most that the others may."""
        return left_alone_mw(len(self._loop.left_alone), self._devices)

    def tick(self, leased: Collection[str]) -> bool:
        """Retire the entries of limits that are back, but of those `leased`; not under a budget. Whether one was."""
        retired, theirs = False, self.yielded.all()
        for i, (device, (*_, held_mw)) in enumerate(zip(self._devices, self._loop.limits(), strict=True)):
            entry = self._journal.get(device.uuid, POWER_LIMIT)
            is_back = entry and (entry.prior == held_mw or (i in theirs and theirs[i].stands))
            if is_back and device.uuid not in leased:
                retired |= self._journal.try_retire(device.uuid, POWER_LIMIT)
        return retired

    def at_rest(self, budget: Budget | None) -> bool:
        """Whether every writable limit is where it falls back to, or left to somebody else, and the driver says so now.

        The loop's last look may be a second old, and who ends by this leaves nobody behind who would look again.
        """
        theirs = {i: int(each.value) for i, each in self.yielded.all().items() if each.stands}
        wanted = {}
        for i, (back_mw, (requested_mw, *_, held_mw)) in enumerate(
            zip(self.fallback(budget), self._loop.limits(), strict=True)
        ):
            rest_mw, seen_mw = (theirs[i], requested_mw) if i in theirs else (back_mw, held_mw)
            if rest_mw and seen_mw != rest_mw:
                return False
            if rest_mw and i < self._loop.gpus:
                wanted[i] = rest_mw
        self._patience.begin()
        try:
            return all(self._patience.ask(partial(self._loop.limit_now, i)) == mw for i, mw in wanted.items())
        except RefusedError:  # it hangs
            return False

    def status(
        self, leased_mw: Mapping[str, int] | None, budget: Budget | None, envelope_mw: int, now_ns: int
    ) -> tuple[list[Message], list[str]]:
        """Per device what is known of its limit, and the alarms.

        Args:
            leased_mw: Per UUID, the limits of the lease; None without one.
            budget: The one that stands.
            envelope_mw: What it leaves for all devices.
            now_ns: Monotonic time.
        """
        rows, alarms = [], []
        held_mw = self.fallback(budget) if leased_mw is None else self._held(leased_mw, budget, envelope_mw)
        theirs = self.yielded.all()
        for i, (device, limit, ours_mw) in enumerate(zip(self._devices, self._loop.limits(), held_mw, strict=True)):
            requested_mw, enforced_mw, _, problem, settled_mw = limit
            foreign = theirs.get(i)
            entry = self._journal.get(device.uuid, POWER_LIMIT)
            if not device.power_limit.writable:
                state = "detached" if device.uuid in self._outside.gone else "unwritable"
            elif foreign and foreign.stands:
                state = "foreign"
            elif leased_mw is not None and device.uuid in leased_mw:
                state = "leased"
            elif budget:
                state = "safe"
            else:
                state = "restoring" if entry and entry.prior != settled_mw else "baseline"
            if problem:
                alarms.append(f"{device.label}: power limit: {problem}")
            changed = foreigners.alarm(
                f"{device.label}: power limit",
                foreign,
                self._loop.foreign_policy,
                lambda value: f"{watts(int(value)):g} W",
                ours_mw or None,
                now_ns,
                has_budget=budget is not None,
            )
            alarms += [changed] if changed else []
            unmoved = self.yielded.unmoved.get(device.uuid)
            alarms += [f"{device.label}: power limit: {unmoved}"] if unmoved else []
            rows.append(
                {
                    "uuid": device.uuid,
                    "knob": str(POWER_LIMIT),
                    "requested_mw": requested_mw,
                    "enforced_mw": enforced_mw,
                    "ours_mw": ours_mw or None,
                    "baseline_mw": entry.prior if entry else requested_mw,
                    "state": state,
                    "writable": device.power_limit.writable,
                    "why": device.power_limit.why,
                    "error": problem,
                    "foreign": foreign.message() if foreign else None,
                }
            )
        return rows, alarms


def _whole(limit_mw: int, safe_mw: int) -> int:
    """A scaled limit of a package, which takes whole watts, as the loop rounds it."""
    return max(limit_mw - limit_mw % 1000, safe_mw)
