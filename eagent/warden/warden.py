"""The warden's mind: which knobs hold what when, and what goes back to where. It decides no number of its own.

Three things can stand, from strong to weak:

    budget     durable, until it is cleared: limits never sum above its envelope, and fall to its safe caps
    lease      the agent's whole vector, until its time: what the devices are held at, or towards, if a budget that came
               later leaves less
    baseline   what each knob held before eagent: where it goes back to when nothing else stands

The hot loop applies them; this class only tells it. Every prior value is on the disk before the loop may write a knob.
What holds for each kind of knob is in limits.py, clocks.py and processors.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from eagent.errors import DriverError, RefusedError
from eagent.hardware._loop import Loop
from eagent.hardware.package import Package
from eagent.model import Budget, Device, DeviceKind, KnobName
from eagent.warden import durable
from eagent.warden.abilities import Abilities
from eagent.warden.absent import NONE, Absent, Outside
from eagent.warden.budget import check_budget, check_lease, load_budget, uncapped_mw
from eagent.warden.clocks import Clocks
from eagent.warden.detached import Detached
from eagent.warden.entry import Entry
from eagent.warden.journal import ALARMS_MAX, Journal
from eagent.warden.life import Life, Lives, told
from eagent.warden.limits import Limits
from eagent.warden.modes import Modes
from eagent.warden.processors import Processors
from eagent.wire import Message, mw, pack_budget, pack_device, watts

TTL_MAX_S = 60.0
SETTLE_S = 3.0  # in this time a budget is in force, or we say that it is not


class Warden:
    """The state behind the command socket. Single-threaded; `now_ns` is monotonic and an argument."""

    def __init__(
        self,
        loop: Loop,
        journal: Journal,
        budget_file: Path,
        boot_id: str,
        settle: Callable[[Callable[[], bool]], bool],
        clock_baseline_mhz: int | None = None,
        packages: Sequence[Package] = (),
        driver: Callable[[], str] = lambda: "",
        absent: Absent = NONE,
        absent_file: Path | None = None,
        is_open: Callable[[Device], bool] = lambda _: False,
    ) -> None:
        """Take the host over: nothing is written yet but a no-op to each power limit, to learn which can be.

        Args:
            loop: The hot loop, not yet running.
            journal: What an earlier warden left.
            budget_file: Where the budget is kept.
            boot_id: This boot: a journalled value of another boot is void, because the boot has reset the knob.
            settle: Waits, while the loop runs, until the condition it is given is true or SETTLE_S have passed; returns
                the condition's last value.
            clock_baseline_mhz: The site's own clock ceiling, which can't be read and so must be declared.
            packages: The host's CPU packages, as far as they are to be governed.
            driver: Tells the present life of the GPU driver, as the journal enters it.
            absent: The GPUs that an earlier warden has taken out, as the loop was told, too.
            absent_file: Where it is kept which those are; None: nowhere, and so none can be taken out.
            is_open: Whether the kernel says that this process has a GPU open.

        Raises:
            DriverError: the driver does not answer.
        """
        self._loop = loop
        self._journal = journal
        self._budget_file = budget_file
        self._boot_id = boot_id
        self._settle = settle
        self._driver = driver
        self._outside = Outside(absent)
        self._limits = Limits(loop, journal, boot_id, self._outside, lambda: os.path.lexists(budget_file))
        self._clocks = Clocks(loop, journal, boot_id, clock_baseline_mhz, self._outside)
        self._processors = Processors(loop, journal, boot_id)
        self._lives = Lives(loop)
        self._lease_mw: dict[str, int] = {}
        self._lease_mhz: dict[str, int] = {}
        self._lease_preferences: dict[str, str] = {}
        self._lease_until_ns = 0
        self.handed_over = False
        self._alarms: list[str] = []
        gpus = [self._take_gpu(i) for i in range(loop.gpus)]
        taken = (self._take_package(package, i) for i, package in enumerate(packages))
        made = (self._limits, self._clocks, self._processors, self._outside)
        self._abilities = Abilities(journal, boot_id, *made, lambda: self.budget is not None, self._rebind)
        self.devices = (*gpus, *(device for device in taken if device is not None))
        self._modes = Modes(loop, journal, boot_id, gpus, self._outside)
        kept = (absent_file, boot_id, is_open)
        detached = Detached(self, loop, journal, self._lives, self._outside, settle, *kept)
        self.detach, self.attach = detached.detach, detached.attach
        self._retire_absent()
        self.budget, problem = load_budget(budget_file, self.devices, self.left_alone_mw())
        self._alarms += [problem] if problem else []
        self._tell_fallback()
        self._abilities.begin(self.devices)

    # -- taking over -------------------------------------------------------------------------------------------------

    def _take_gpu(self, i: int) -> Device:
        gone = self._outside.gone.get(self._loop.uuid(i))
        return self._clocks.take(self._limits.take_gone(i, gone) if gone else self._limits.take_gpu(i))

    def _take_package(self, package: Package, index: int) -> Device | None:
        try:
            return self._processors.take(self._limits.take_package(package, index), package)
        except DriverError as problem:  # it must not cost the others their warden
            self._alarms.append(f"cpu{index} is left alone: {problem}")
            return None

    def _retire_absent(self) -> None:
        """Drop what is void of devices that are not here any more: nobody else will ask for it."""
        here = {device.uuid for device in self.devices}
        for entry in self._journal:
            if entry.uuid not in here and self._journal.is_void(entry, self._boot_id):
                self._journal.try_retire(entry.uuid, entry.knob)

    @property
    def damaged(self) -> Mapping[tuple[str, KnobName], str]:
        """The knobs whose journal entries can't be used, and why: they are not written."""
        return self._journal.damaged

    def kept(self) -> list[str]:
        """What the journal keeps and eagent can't put back, a line each: damaged, wrong, or of an absent device."""
        here = {device.uuid for device in self.devices}
        absent = [entry for entry in self._journal if entry.uuid not in here]
        return [*self._journal.kept(), *(f"{entry.uuid} is not here: its {entry.told()}" for entry in absent)]

    def standing(self) -> tuple[Entry, ...]:
        """The knobs that eagent has set, or may have, and that are not known to be back."""
        return tuple(entry for entry in self._journal if not self._journal.is_void(entry, self._boot_id))

    # -- what stands -------------------------------------------------------------------------------------------------

    def _envelope_mw(self) -> int:
        """What the limits of all devices may sum to; those that can't be set count at their greatest."""
        return mw(self.budget.envelope_w) if self.budget else 0

    def _tell_fallback(self) -> None:
        # The loop leaves devices that can't be set out of its sums. An envelope of 0 would mean none to it.
        envelope_mw = max(self._envelope_mw() - self._uncapped_mw(), 1) if self.budget else 0
        limits_mw = self._limits.fallback(self.budget)
        self._loop.fall_back(limits_mw, self._clocks.fallback(), self._processors.fallback(), envelope_mw)

    def tell(self) -> None:
        """Let the loop know what stands, of the lease too; who can't be set any more is not in that."""
        self._tell_fallback()
        if self._lease_until_ns:
            wished = self._wish(self._lease_mhz, self._lease_preferences)
            self._loop.lease(self._limits.wish(self._lease_mw), *wished, self._lease_until_ns)

    def rebind(self, i: int, device: Device) -> None:
        """Know GPU `i` as this from now on, if the journal can be written."""
        self._rebind(i, self._abilities.found(i, device))

    def _rebind(self, i: int, device: Device) -> None:
        self.devices = (*self.devices[:i], device, *self.devices[i + 1 :])
        self._limits.rebind(i, device)
        if device.kind is DeviceKind.CPU:
            self._processors.rebind(device)
        else:
            self._clocks.rebind(i, device)
            self._modes.rebind(i, device)
        for knob, leased in (
            (device.power_limit, self._lease_mw),
            (device.clock, self._lease_mhz),
            (device.preference, self._lease_preferences),
        ):
            if not knob.writable:
                leased.pop(device.uuid, None)
        self.tell()

    def enter_for_budget(self, uuid: str) -> None:
        """Journal a limit that the budget is to hold from now on."""
        self._limits.enter({uuid}, "budget", "it stands")

    def _uncapped_mw(self) -> int:
        return uncapped_mw(self.budget, self.devices) + self.left_alone_mw() if self.budget else 0

    def left_alone_mw(self) -> int:
        """What GPUs that did not answer at the start may draw, as far as those tell that did."""
        return self._limits.left_alone_mw()

    def in_force(self) -> bool:
        """Whether the limits were read back under the budget, by all that was said; True where there is none."""
        if not self.budget:
            return self._loop.governed(False)
        return self._loop.governed(False) and self._limits.sum_mw(self.budget) <= self._envelope_mw()

    def leased(self, now_ns: int) -> bool:
        """Whether a lease runs."""
        return now_ns < self._lease_until_ns

    def tick(self, now_ns: int) -> bool:
        """Retire the journal entries of knobs that no lease holds and that are back, and heed what others have set.

        Call it a few times a second.

        An entry that can't be removed stands, is among the alarms, and the next tick tries again.

        Returns:
            Whether it could look: False while the loop has not gone by what it was told last.
        """
        self._journal.save()
        self._heed()
        leased = self.leased(now_ns)
        if not self._loop.governed(not leased):
            return False
        held = (self._lease_mw, self._lease_mhz, self._lease_preferences)
        limits, clocks, preferences = held if leased else ({}, {}, {})
        if self._clocks.tick(clocks):
            self._tell_fallback()
        if self._processors.tick(clocks, preferences):
            self._tell_fallback()
        if not self.budget and self._limits.tick(limits):
            self._tell_fallback()
        self._modes.again(now_ns)
        self._switch_modes()
        self._abilities.follow(now_ns)
        return True

    def _switch_modes(self) -> None:
        """Have persistence mode on for what the journal holds: before it is set, or to forget it leaves no evidence."""
        ours = {device.uuid for device in self.devices if self._is_held(device) and device.uuid not in self._outside}
        self._modes.follow(ours, self._lives.all())

    def _heed(self) -> None:
        """Heed what the driver has forgotten, and what others have set."""
        self._follow_driver()
        heeded = [self._limits.yielded.heed(), self._processors.heed()]
        if any(heeded):
            self._tell_fallback()

    def _follow_driver(self) -> None:
        """Enter in the journal anew what the driver has forgotten, and only then let the loop set it again."""
        if self._lives.follow(self._renew):
            self._tell_fallback()
            self._lives.tell()

    def _renew(self, i: int, life: Life) -> None:
        self._journal.driver = self._driver()
        self._limits.renew(i, None if life.is_kept else life.found_mw)
        self._clocks.renew(i)
        self._modes.renew(i)

    @property
    def entered(self) -> bool:
        """Whether the journal holds an entry, which `tick` may retire."""
        return next(iter(self._journal), None) is not None

    @property
    def wait_s(self) -> float | None:
        """The longest time that `tick` may be put off where no entry stands; None: for as long as nobody asks."""
        wait_ns = self._abilities.wait_ns
        return None if wait_ns is None else wait_ns / 1e9

    def at_rest(self) -> bool:
        """Whether every writable knob is where it falls back to."""
        rests = (
            self._loop.governed(True)
            and self._clocks.at_rest()
            and self._processors.at_rest()
            and self._limits.at_rest(self.budget)
        )
        if not rests or self.budget:  # under a budget what is set stays, and the mode that keeps it
            return rests
        self._modes.follow((), self._lives.all())
        return self._modes.at_rest() and self._loop.governed(True)  # that may have told the loop something more

    def ended(self, now_ns: int) -> bool:
        """Whether, at an end, every knob is where it falls back to and the journal says so. Call it until it is.

        A driver that has forgotten something is told of it only after that was heeded. To find a knob back may tell the
        loop something new, and then the tick can't look yet.
        """
        self._abilities.end(now_ns)
        self._heed()
        return self.at_rest() and self.tick(now_ns)

    # -- operations --------------------------------------------------------------------------------------------------

    def hello(self) -> Message:
        """Who is here and what can be done."""
        return {
            "devices": [pack_device(device) for device in self.devices],
            "boot_id": self._boot_id,
            "simulated": self._loop.simulated_host is not None,
            "ttl_max_s": TTL_MAX_S,
            "budget": pack_budget(self.budget) if self.budget else None,
            "reserved_mw": self.left_alone_mw(),
        }

    def status(self, now_ns: int) -> Message:
        """Every knob as it is, and what stands."""
        leased = self.leased(now_ns)
        clocks_mhz, preferences = (self._lease_mhz, self._lease_preferences) if leased else ({}, {})
        knobs, limit_alarms = self._limits.status(
            self._lease_mw if leased else None, self.budget, self._envelope_mw(), now_ns
        )
        gpu_clocks, gpu_alarms = self._clocks.status(clocks_mhz)
        cpu_clocks, cpu_preferences, cpu_alarms = self._processors.status(clocks_mhz, preferences, now_ns)
        alarms = [*self._alarms, *self._journal.alarms(), *limit_alarms, *gpu_alarms, *cpu_alarms]
        alarms += self._lives.alarms(self.devices, self._is_held, self._modes.refused, now_ns)
        over_mw = self._limits.sum_mw(self.budget) - self._envelope_mw()
        if self.budget and over_mw > 0:
            alarms.append(f"limits in force are {watts(over_mw):.0f} W above the budget's envelope")
        exposures = zip(knobs, self._lives.exposures(), strict=True)
        return {
            "knobs": [{**knob, **told(exposure)} for knob, exposure in exposures],
            "clocks": [*gpu_clocks, *cpu_clocks],
            "preferences": cpu_preferences,
            "budget": pack_budget(self.budget) if self.budget else None,
            "lease": {"until_ns": self._lease_until_ns} if leased else None,
            "alarms": alarms,
            "reserved_mw": self.left_alone_mw(),
            "kept": self.kept()[:ALARMS_MAX],
        }

    def _is_held(self, device: Device) -> bool:
        return any(self._journal.get(device.uuid, knob) for knob in (KnobName.POWER_LIMIT, KnobName.GPU_CLOCK))

    def lease(
        self,
        limits_mw: Mapping[str, int],
        ttl_s: float,
        now_ns: int,
        clocks_mhz: Mapping[str, int] | None = None,
        preferences: Mapping[str, str] | None = None,
    ) -> Message:
        """Hold these knobs for a time: the whole vector, or nothing.

        Args:
            limits_mw: Per UUID, the power limits: of every writable device under a budget; else a device that is not
                named goes, or stays, where it was before us.
            ttl_s: Until then, if no other lease comes before.
            now_ns: Monotonic time.
            clocks_mhz: Per UUID, the clock ceilings; a device that is not named keeps its baseline.
            preferences: Per UUID of a CPU package, its energy preference; likewise.

        Raises:
            RefusedError: not the whole vector, out of range, above the envelope, or the journal can't be written.
        """
        envelope_mw = self._envelope_mw() if self.budget else None
        check_lease(limits_mw, ttl_s, TTL_MAX_S, self.devices, envelope_mw, self._uncapped_mw())
        self._follow_driver()  # what a lease enters is what is there before it, and not what was forgotten
        asked_mhz, preferences = dict(clocks_mhz or {}), dict(preferences or {})
        try:
            self._limits.enter(limits_mw.keys(), "lease", f"limits for {ttl_s:g} s")
            wished = self._wish(asked_mhz, preferences)
        finally:  # before the lease: it is where the lease ends; and what was entered for a refused one goes back there
            self._tell_fallback()
        until_ns = now_ns + int(ttl_s * 1e9)
        self._switch_modes()
        self._loop.lease(self._limits.wish(limits_mw), *wished, until_ns)
        self._lease_mw, self._lease_mhz, self._lease_preferences = dict(limits_mw), asked_mhz, preferences
        self._lease_until_ns = until_ns
        return {"until_ns": until_ns}

    def _wish(self, asked_mhz: Mapping[str, int], preferences: Mapping[str, str]) -> tuple[list[int], list[str]]:
        """Clocks and texts for the loop. The CPUs' first: what is entered for them can't be retired without a write."""
        packages = {device.uuid for device in self.devices if device.kind is DeviceKind.CPU}
        texts = self._processors.wish({uuid: mhz for uuid, mhz in asked_mhz.items() if uuid in packages}, preferences)
        return self._clocks.wish({uuid: mhz for uuid, mhz in asked_mhz.items() if uuid not in packages}), texts

    def hand_over(self, now_ns: int) -> Message:
        """Leave all knobs as they are, for a successor; the lease that runs, as `lease` takes it, or nothing."""
        self.handed_over = True
        held = {"limits_mw": self._lease_mw, "clocks_mhz": self._lease_mhz, "preferences": self._lease_preferences}
        return held if self.leased(now_ns) else {}

    def release(self) -> Message:
        """End the lease now."""
        self._lease_until_ns = 0
        self._loop.release()
        return {}

    def yield_clear(self, uuids: Collection[str] | None = None) -> Message:
        """Take back what somebody else has set and is respected: eagent governs these knobs again.

        Args:
            uuids: Whose power limits; None: all knobs of all devices.

        Raises:
            RefusedError: the journal can't be written. What was set stands.
        """
        taken = self._limits.yielded.take_back({device.uuid for device in self.devices} if uuids is None else uuids)
        if uuids is None:
            self._processors.take_back()
        self._tell_fallback()
        self._loop.take_back(taken, uuids is None)
        return {}

    def lock_again(self, uuids: Collection[str]) -> Message:
        """Write the clock ceilings of these devices again, where we hold one: the driver has another one in force."""
        for i, device in enumerate(self.devices[: self._loop.gpus]):
            if device.uuid in uuids:
                self._loop.lock_again(i)
        return {}

    def budget_set(self, budget: Budget) -> Message:
        """Put a budget in force and keep it, whatever dies, until it is cleared.

        Returns:
            `in_force`: whether the limits were read back under the envelope; if not, `status` says why.

        Raises:
            RefusedError: it could not be kept, or not be stored. Nothing has changed then.
        """
        check_budget(budget, self.devices, self.left_alone_mw())
        self._follow_driver()
        try:
            self._limits.enter(self._limits.writable().keys(), "budget", f"{budget.budget_w:g} W for the host")
            durable.store(self._budget_file, pack_budget(budget))
        except OSError as problem:
            self._tell_fallback()  # where what was entered for it goes back to
            raise RefusedError(f"the budget can't be stored: {problem.strerror}") from None
        except RefusedError:
            self._tell_fallback()
            raise
        self.budget = budget
        self._alarms.clear()
        self._switch_modes()
        self._tell_fallback()  # the loop scales a lease that does not fit; who is not in it falls to its safe cap
        return {"in_force": self._settle(self.in_force)}

    def budget_clear(self) -> Message:
        """Drop the budget: what is leased goes on until its time, all else goes back to its prior value.

        Raises:
            RefusedError: it could not be removed from the disk; it stands.
        """
        try:
            durable.remove(self._budget_file)
        except OSError as problem:
            raise RefusedError(f"the budget can't be removed: {problem.strerror}; it stands") from None
        self.budget = None
        self._alarms.clear()
        self._tell_fallback()
        return {}
