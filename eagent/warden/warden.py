"""The warden's mind: which limits hold when, and what goes back to where. It decides no number of its own.

Three things can stand, from strong to weak:

    budget     durable, until it is cleared: limits never sum above its envelope, and fall to its safe caps
    lease      the agent's whole vector, until its time: what the devices are held at
    baseline   what each knob held before eagent: where it goes back to when nothing else stands

The hot loop applies them; this class only tells it. Every prior value is on the disk before the loop may write a knob.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from eagent.errors import ProtocolError, RefusedError
from eagent.hardware import nvml
from eagent.hardware._loop import Loop
from eagent.model import Budget, Device, Knob, KnobName
from eagent.warden import durable
from eagent.warden.budget import check_budget, check_range, uncapped_mw
from eagent.warden.clocks import Clocks
from eagent.warden.journal import Journal
from eagent.wire import Message, mw, pack_budget, pack_device, unpack_budget, watts

POWER_LIMIT = KnobName.POWER_LIMIT
TTL_MAX_S = 60.0
FOREIGN_ALARM_NS = 60_000_000_000
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
    ) -> None:
        """Take the host over: nothing is written yet but a no-op to each knob, to learn which can be.

        Args:
            loop: The hot loop, not yet running.
            journal: What an earlier warden left.
            budget_file: Where the budget is kept.
            boot_id: This boot: a journalled value of another boot is void, because the boot has reset the knob.
            settle: Waits, while the loop runs, until the condition it is given is true or SETTLE_S have passed; returns
                the condition's last value.
            clock_baseline_mhz: The site's own clock ceiling, which can't be read and so must be declared.

        Raises:
            DriverError: the driver does not answer.
        """
        self._loop = loop
        self._journal = journal
        self._budget_file = budget_file
        self._boot_id = boot_id
        self._settle = settle
        self._clocks = Clocks(loop, journal, boot_id, clock_baseline_mhz)
        self._lease_mw: dict[str, int] = {}
        self._lease_mhz: dict[str, int] = {}
        self._lease_until_ns = 0
        self._alarms: list[str] = []
        self.devices = tuple(self._take(i) for i in range(loop.count))
        for i, device in enumerate(self.devices):
            loop.cap(i, device.power_limit.writable)
        self.budget = self._load_budget()
        self._tell_fallback()

    # -- taking over -------------------------------------------------------------------------------------------------

    def _take(self, i: int) -> Device:
        device, facts = nvml.describe(self._loop, i)
        device = self._take_limit(i, device, facts["limit_mw"])
        try:
            return self._clocks.take(device)
        except OSError as problem:
            return _unwritable(device, f"the journal can't be written: {problem.strerror}")

    def _take_limit(self, i: int, device: Device, limit_mw: int | None) -> Device:
        damage = self._journal.damaged.get((device.uuid, POWER_LIMIT))
        if damage:
            return _unwritable(device, damage)
        if not device.power_limit.writable or limit_mw is None:
            return device
        standing = self._journal.get(device.uuid, POWER_LIMIT)
        try:
            if standing and standing.boot_id != self._boot_id:
                self._journal.retire(device.uuid, POWER_LIMIT)
                standing = None
            self._journal.enter(device.uuid, POWER_LIMIT, limit_mw, self._boot_id)
            refusal = self._loop.probe(i, limit_mw)
            if refusal is None:
                return device
            if standing is None:
                self._journal.retire(device.uuid, POWER_LIMIT)
        except OSError as problem:
            return _unwritable(device, f"the journal can't be written: {problem.strerror}")
        return _unwritable(
            device, f"the driver refuses: {refusal}; setting it takes root (CAP_SYS_ADMIN) on the host itself"
        )

    def _load_budget(self) -> Budget | None:
        try:
            content = durable.load(self._budget_file)
            if content is None:
                return None
            budget = unpack_budget(content)
            try:
                check_budget(budget, self.devices)
            except RefusedError as problem:  # it was set when it could be kept: what can be is, and it is said
                self._alarms.append(f"the budget that stands can't be kept as it is: {problem}")
            return budget
        except (ProtocolError, OSError) as problem:
            # What was promised is unknown: the least that the devices can be held at keeps whatever it was.
            self._alarms.append(f"the budget can't be read, all limits are held at their minimum: {problem}")
            least_w = {device.uuid: device.min_limit_w for device in self.devices}
            return Budget(sum(least_w.values()) + uncapped_mw(self.devices) / 1000, 0.0, least_w)

    @property
    def damaged(self) -> Mapping[tuple[str, KnobName], str]:
        """The knobs whose journal entries can't be used, and why: they are not written."""
        return self._journal.damaged

    # -- what stands -------------------------------------------------------------------------------------------------

    def _writable(self) -> list[Device]:
        return [device for device in self.devices if device.power_limit.writable]

    def _safe_mw(self, device: Device) -> int:
        assert self.budget is not None
        cap_w = self.budget.safe_caps_w.get(device.uuid, device.min_limit_w)
        return mw(min(max(cap_w, device.min_limit_w), device.max_limit_w))  # another board may stand in its place now

    def _fallback_mw(self, device: Device) -> int:
        """Where a device goes without a lease; 0: it is where it belongs."""
        if not device.power_limit.writable:
            return 0
        if self.budget:
            return self._safe_mw(device)
        entry = self._journal.get(device.uuid, POWER_LIMIT)
        return entry.prior if entry else 0

    def _envelope_mw(self) -> int:
        """What the limits of all devices may sum to; those that can't be set count at their greatest."""
        return mw(self.budget.envelope_w) if self.budget else 0

    def _tell_fallback(self) -> None:
        limits_mw = [self._fallback_mw(device) for device in self.devices]
        # The loop leaves devices that can't be set out of its sums. An envelope of 0 would mean none to it.
        envelope_mw = max(self._envelope_mw() - uncapped_mw(self.devices), 1) if self.budget else 0
        self._loop.fall_back(limits_mw, self._clocks.fallback(), envelope_mw)

    def _limits_sum_mw(self) -> int:
        """The sum of limits in force as last read back; what can't be set, or can't be read, counts in full."""
        found = zip(self.devices, self._loop.limits(), strict=True)
        capped_mw = sum(limit[0] or mw(device.max_limit_w) for device, limit in found if device.power_limit.writable)
        return capped_mw + uncapped_mw(self.devices)

    def leased(self, now_ns: int) -> bool:
        """Whether a lease runs."""
        return now_ns < self._lease_until_ns

    def tick(self, now_ns: int) -> None:
        """Retire the journal entries of knobs that are back. Call it a few times a second.

        Raises:
            OSError: an entry could not be removed; it stands, and the next tick tries again.
        """
        if self.leased(now_ns) or not self._loop.governed(True):
            return
        if self._clocks.tick():
            self._tell_fallback()
        if self.budget:
            return
        for device, (requested_mw, *_) in zip(self.devices, self._loop.limits(), strict=True):
            entry = self._journal.get(device.uuid, POWER_LIMIT)
            if entry and entry.prior == requested_mw and device.power_limit.writable:
                self._journal.retire(device.uuid, POWER_LIMIT)
                self._tell_fallback()

    def at_rest(self) -> bool:
        """Whether every writable knob is where it falls back to."""
        if not self._loop.governed(True):
            return False
        found = self._loop.limits()
        return self._clocks.at_rest() and all(
            self._fallback_mw(device) in (0, limit[0]) for device, limit in zip(self.devices, found, strict=True)
        )

    # -- operations --------------------------------------------------------------------------------------------------

    def hello(self) -> Message:
        """Who is here and what can be done."""
        return {
            "devices": [pack_device(device) for device in self.devices],
            "boot_id": self._boot_id,
            "simulated": self._loop.simulated_host is not None,
            "ttl_max_s": TTL_MAX_S,
            "budget": pack_budget(self.budget) if self.budget else None,
        }

    def status(self, now_ns: int) -> Message:
        """Every knob as it is, and what stands."""
        leased = self.leased(now_ns)
        found = self._loop.limits()
        knobs, alarms = [], [*self._alarms, *self._journal.damaged.values()]
        for device, (requested_mw, enforced_mw, foreign_ns, problem) in zip(self.devices, found, strict=True):
            entry = self._journal.get(device.uuid, POWER_LIMIT)
            ours_mw = self._lease_mw.get(device.uuid, 0) if leased else self._fallback_mw(device)
            if not device.power_limit.writable:
                state = "unwritable"
            elif leased and ours_mw:
                state = "leased"
            elif self.budget:
                state = "safe"
            else:
                state = "restoring" if entry and entry.prior != requested_mw else "baseline"
            if problem:
                alarms.append(f"{device.label}: power limit: {problem}")
            if foreign_ns and now_ns - foreign_ns < FOREIGN_ALARM_NS:
                ago_s = (now_ns - foreign_ns) / 1e9
                alarms.append(f"{device.label}: power limit: changed by somebody else {ago_s:.0f} s ago, and overruled")
            knobs.append(
                {
                    "uuid": device.uuid,
                    "knob": "power_limit",
                    "requested_mw": requested_mw,
                    "enforced_mw": enforced_mw,
                    "ours_mw": ours_mw or None,
                    "baseline_mw": entry.prior if entry else requested_mw,
                    "state": state,
                    "writable": device.power_limit.writable,
                    "why": device.power_limit.why,
                    "error": problem,
                }
            )
        clocks, clock_alarms = self._clocks.status(self._lease_mhz if leased else {})
        alarms += clock_alarms
        over_mw = self._limits_sum_mw() - self._envelope_mw()
        if self.budget and over_mw > 0:
            alarms.append(f"limits in force are {watts(over_mw):.0f} W above the budget's envelope")
        return {
            "knobs": knobs,
            "clocks": clocks,
            "budget": pack_budget(self.budget) if self.budget else None,
            "lease": {"until_ns": self._lease_until_ns} if leased else None,
            "alarms": alarms,
        }

    def lease(
        self, limits_mw: Mapping[str, int], ttl_s: float, now_ns: int, clocks_mhz: Mapping[str, int] | None = None
    ) -> Message:
        """Hold these limits and clock ceilings for a time: the whole vector, or nothing.

        Args:
            limits_mw: Per UUID, the power limits: of every writable device under a budget; else a device that is not
                named goes, or stays, where it was before us.
            ttl_s: Until then, if no other lease comes before.
            now_ns: Monotonic time.
            clocks_mhz: Per UUID, the clock ceilings; a device that is not named keeps its baseline.

        Raises:
            RefusedError: not the whole vector, out of range, above the envelope, or the journal can't be written.
        """
        writable = {device.uuid: device for device in self._writable()}
        if not 0 < ttl_s <= TTL_MAX_S:
            raise RefusedError(f"a lease of {ttl_s:g} s: must be above 0 and at most {TTL_MAX_S:g} s")
        if self.budget and limits_mw.keys() != writable.keys():
            raise RefusedError(
                f"under a budget a lease names each of the {len(writable)} writable devices and no other"
            )
        if not limits_mw.keys() <= writable.keys():
            raise RefusedError("a lease names a device that is not here or whose power limit can't be set")
        for uuid, limit_mw in limits_mw.items():
            check_range(writable[uuid], limit_mw)
        if self.budget:
            total_mw = sum(limits_mw.values()) + uncapped_mw(self.devices)
            if total_mw > self._envelope_mw():
                raise RefusedError(
                    f"limits of {watts(total_mw):g} W in sum are above the envelope of {self.budget.envelope_w:g} W"
                )
        self._enter({uuid: writable[uuid] for uuid in limits_mw})  # retired unused if a clock is refused
        wished_mhz = self._clocks.wish(clocks_mhz or {})
        self._tell_fallback()  # before the lease: it is where the lease ends
        until_ns = now_ns + int(ttl_s * 1e9)
        wished_mw = [limits_mw.get(device.uuid) or self._fallback_mw(device) for device in self.devices]
        self._loop.lease(wished_mw, wished_mhz, until_ns)
        self._lease_mw, self._lease_mhz, self._lease_until_ns = dict(limits_mw), dict(clocks_mhz or {}), until_ns
        return {"until_ns": until_ns}

    def release(self) -> Message:
        """End the lease now."""
        self._lease_until_ns = 0
        self._loop.release()
        return {}

    def budget_set(self, budget: Budget, now_ns: int) -> Message:
        """Put a budget in force and keep it, whatever dies, until it is cleared.

        Returns:
            `in_force`: whether the limits were read back under the envelope; if not, `status` says why.

        Raises:
            RefusedError: it could not be kept, or not be stored. Nothing has changed then.
        """
        check_budget(budget, self.devices)
        self._enter({device.uuid: device for device in self._writable()})
        try:
            durable.store(self._budget_file, pack_budget(budget))
        except OSError as problem:
            raise RefusedError(f"the budget can't be stored: {problem.strerror}") from None
        self.budget = budget
        self._alarms.clear()
        self._tell_fallback()
        if self.leased(now_ns) and sum(self._lease_mw.values()) + uncapped_mw(self.devices) > self._envelope_mw():
            self.release()
        return {
            "in_force": self._settle(
                lambda: self._loop.governed(False) and self._limits_sum_mw() <= self._envelope_mw()
            )
        }

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

    def _enter(self, devices: Mapping[str, Device]) -> None:
        """Journal where each of these knobs stands now, unless an entry stands."""
        for i, device in enumerate(self.devices):
            if device.uuid not in devices or self._journal.get(device.uuid, POWER_LIMIT):
                continue
            requested_mw = self._loop.limit_now(i)  # what was read last may be a second old, and its owner's no more
            if requested_mw is None:
                raise RefusedError(f"{device.label}: its power limit can't be read, so it could not be put back")
            try:
                self._journal.enter(device.uuid, POWER_LIMIT, requested_mw, self._boot_id)
            except OSError as problem:
                raise RefusedError(f"the journal can't be written ({problem.strerror}), so nothing is set") from None


def _unwritable(device: Device, why: str) -> Device:
    return replace(device, power_limit=Knob(False, why))
