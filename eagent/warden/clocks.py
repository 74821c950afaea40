"""GPU clock ceilings as the warden holds them: locked under a lease, given back after it.

A lock can't be read back from the driver. Where a device goes back to is therefore what the operator declared (the
site's own lock, `gpu_clock_baseline_mhz`), else no lock at all; and that it is there is known from the driver's having
taken the write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from eagent.errors import RefusedError
from eagent.hardware._loop import CLOCK_FREE, Loop
from eagent.model import Device, Knob, KnobName
from eagent.warden.absent import Outside
from eagent.warden.journal import Journal
from eagent.wire import Message

GPU_CLOCK = KnobName.GPU_CLOCK


class Clocks:
    """The clock ceilings of all devices of the host."""

    def __init__(self, loop: Loop, journal: Journal, boot_id: str, baseline_mhz: int | None, outside: Outside) -> None:
        """Nothing is taken over yet.

        Args:
            loop: The hot loop that writes them.
            journal: What an earlier warden left.
            boot_id: This boot; a boot drops every lock.
            baseline_mhz: The site's own ceiling for every GPU, None: the clocks are not locked before us.
            outside: Which GPUs are taken out: nothing of theirs is set.
        """
        self._loop = loop
        self._journal = journal
        self._boot_id = boot_id
        self._baseline_mhz = baseline_mhz
        self._outside = outside
        self._devices: list[Device] = []

    def take(self, device: Device) -> Device:
        """Take one device over, in the loop's order; returns it with what is known of its clock knob."""
        if device.uuid in self._outside.gone:
            self._devices.append(device)
            return device
        self._devices.append(self.judged(device))
        return self._devices[-1]

    def judged(self, device: Device) -> Device:
        """The device with what is known of its clock knob beside such a power limit; what a boot has reset is retired.

        Whose entry can't be is not written, because the one that stands says nothing of now.
        """
        entry = self._journal.get(device.uuid, GPU_CLOCK)
        knob = self._knob(device)
        try:
            if entry and self._journal.is_void(entry, self._boot_id):
                self._journal.retire(device.uuid, GPU_CLOCK)
        except OSError as problem:
            knob = Knob(False, f"the journal can't be written: {problem.strerror}")
        return replace(device, clock=knob)

    def rebind(self, i: int, device: Device) -> None:
        """Know GPU `i` as this from now on."""
        self._devices[i] = device

    def _knob(self, device: Device) -> Knob:
        damage = self._journal.damaged.get((device.uuid, GPU_CLOCK))
        if damage:
            return Knob(False, damage)
        if not device.clocks_mhz:
            return Knob(False, "the device has no clocks that can be locked")
        is_limit_damaged = (device.uuid, KnobName.POWER_LIMIT) in self._journal.damaged  # tells nothing of privilege
        if device.max_limit_w and not device.power_limit.writable and not is_limit_damaged:  # one privilege for both
            return Knob(False, device.power_limit.why)
        return Knob(True)

    def _baseline(self, device: Device) -> int:
        """Where a device goes back to, in MHz; 0: no lock."""
        if self._baseline_mhz is None:
            return 0
        return max((clock for clock in device.clocks_mhz if clock <= self._baseline_mhz), default=device.clocks_mhz[0])

    def fallback(self) -> list[int]:
        """Per device, in the loop's terms, where it goes without a lease."""
        return [self._fallback(device) for device in self._devices]

    def _fallback(self, device: Device) -> int:
        """0: it is where it belongs, or not here. What can't be leased any more is to go back all the same."""
        if device.uuid in self._outside.gone:
            return 0
        entry = self._journal.get(device.uuid, GPU_CLOCK)
        return (entry.prior or CLOCK_FREE) if entry and not self._journal.is_void(entry, self._boot_id) else 0

    def wish(self, clocks_mhz: Mapping[str, int]) -> list[int]:
        """Check what a lease asks for and journal where those knobs go back to.

        Returns:
            Per device, in the loop's terms, what to hold under the lease.

        Raises:
            RefusedError: no such device, not writable, not a clock of its, or the journal can't be written.
        """
        by_uuid = {device.uuid: device for device in self._devices}
        for uuid, clock_mhz in clocks_mhz.items():
            device = by_uuid.get(uuid)
            if device is None or not device.clock.writable:
                raise RefusedError(f"{uuid}: its clocks can't be locked: {device.clock.why if device else 'not here'}")
            if clock_mhz not in device.clocks_mhz:
                low, high = device.clocks_mhz[0], device.clocks_mhz[-1]
                raise RefusedError(f"{device.label}: {clock_mhz} MHz is not one of its clocks, {low} to {high} MHz")
        for uuid in clocks_mhz:
            try:
                self._journal.enter(uuid, GPU_CLOCK, self._baseline(by_uuid[uuid]), self._boot_id, owner="lease")
            except OSError as problem:
                raise RefusedError(f"the journal can't be written ({problem.strerror}), so nothing is set") from None
        return [clocks_mhz.get(device.uuid) or self._fallback(device) for device in self._devices]

    def renew(self, i: int) -> None:
        """Make the entry of GPU `i`, if one stands, anew after its driver has forgotten what was set.

        Raises:
            OSError: the journal can't be written; the entry stands in memory.
        """
        entry = self._journal.get(self._devices[i].uuid, GPU_CLOCK)
        if entry:
            self._journal.renew_or_remember(entry)

    def at_rest(self) -> bool:
        """Whether every clock is where it falls back to, as far as the driver's answers tell."""
        return all(
            self._fallback(device) in (0, held_mhz)
            for device, (held_mhz, _) in zip(self._devices, self._loop.ceilings(), strict=True)
        )

    def tick(self, leased: Collection[str]) -> bool:
        """Retire the entries of clocks that are back, but of those `leased`. Returns whether there was one."""
        retired = False
        for device, (held_mhz, _) in zip(self._devices, self._loop.ceilings(), strict=True):
            if device.uuid not in leased and held_mhz is not None and held_mhz == self._fallback(device):
                retired |= self._journal.try_retire(device.uuid, GPU_CLOCK)
        return retired

    def status(self, leased_mhz: Mapping[str, int]) -> tuple[list[Message], list[str]]:
        """Per device what is known of its clock knob, and the alarms."""
        rows, alarms = [], []
        for device, (held_mhz, problem) in zip(self._devices, self._loop.ceilings(), strict=True):
            entry = self._journal.get(device.uuid, GPU_CLOCK)
            ours_mhz = leased_mhz.get(device.uuid)
            state = "unwritable" if not device.clock.writable else "leased" if ours_mhz else "baseline"
            if state in ("baseline", "unwritable") and entry and self._fallback(device) not in (0, held_mhz):
                state = "restoring"
            if problem:
                alarms.append(f"{device.label}: clock ceiling: {problem}")
            rows.append(
                {
                    "uuid": device.uuid,
                    "knob": str(GPU_CLOCK),
                    "held_mhz": None if held_mhz == CLOCK_FREE else held_mhz,
                    "ours_mhz": ours_mhz,
                    "baseline_mhz": self._baseline(device) or None if device.clocks_mhz else None,
                    "state": state,
                    "writable": device.clock.writable,
                    "why": device.clock.why,
                    "error": problem,
                }
            )
        return rows, alarms
