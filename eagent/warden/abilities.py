"""Which knobs can be set now: told as it is, and not as it was at the start.

No knob is written that is not in the journal. So while its disk takes nothing, what has no entry is only observed; and
it comes back by itself when the disk takes it again, as does a limit that the driver had refused for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from eagent.model import Device, DeviceKind, Knob, KnobName
from eagent.warden.absent import Outside
from eagent.warden.clocks import Clocks
from eagent.warden.journal import Journal
from eagent.warden.limits import Limits
from eagent.warden.processors import Processors

TRY_EVERY_NS = 2_000_000_000  # whether the journal can be written again


class Rebind(Protocol):
    """Has everybody know device `i` as another one from now on."""

    def __call__(self, i: int, device: Device) -> None: ...


class Abilities:
    """The knobs of all devices, as they could be set if the journal were written, and as they can be."""

    def __init__(
        self,
        journal: Journal,
        boot_id: str,
        limits: Limits,
        clocks: Clocks,
        processors: Processors,
        outside: Outside,
        has_budget: Callable[[], bool],
        rebind: Rebind,
    ) -> None:
        """Nothing is known yet.

        Args:
            journal: Without it nothing is written.
            boot_id: This boot.
            limits: Tries power limits again.
            clocks: Judges the clocks of GPUs.
            processors: Judges frequency ceilings and preferences.
            outside: Which GPUs are taken out.
            has_budget: Whether one stands: then limits are lowered for it also without a disk.
            rebind: Is told of a device whose knobs have changed.
        """
        self._journal = journal
        self._boot_id = boot_id
        self._limits = limits
        self._clocks = clocks
        self._processors = processors
        self._outside = outside
        self._has_budget = has_budget
        self._rebind = rebind
        self._found: list[Device] = []
        self._told: list[Device] = []
        self._try_ns = 0
        self._ends = False

    def begin(self, devices: Sequence[Device]) -> None:
        """These were taken over, and are known as they were found."""
        self._found = list(devices)
        self._told = list(devices)
        self.tell()

    def found(self, i: int, device: Device) -> Device:
        """Device `i` is another one from now on; returns it as it is to be told."""
        self._found[i] = device
        self._told[i] = self._now(device)
        return self._told[i]

    @property
    def wait_ns(self) -> int | None:
        """The longest time in which this must be followed; None: nothing waits for anything."""
        if self._journal.problem is not None:
            return TRY_EVERY_NS
        return self._limits.wait_ns(self._found)

    def end(self, now_ns: int) -> None:
        """Try everything once more, for what may be set again goes where it belongs; and nothing after that.

        A try leaves an entry, and who ends may not see to it.
        """
        if not self._ends:
            self._limits.hurry()
            self.follow(now_ns)
            self._ends = True

    def follow(self, now_ns: int) -> None:
        """Try again what is due, and tell what has changed. Not while a GPU is being taken out or in."""
        if self._outside.is_moving or self._ends:
            return
        if self._journal.problem is not None and now_ns >= self._try_ns:
            self._try_ns = now_ns + TRY_EVERY_NS
            if self._journal.try_out():
                self._limits.hurry()
                self._found = [self._judged(device) for device in self._found]
        for i, device in self._limits.again(self._found, now_ns).items():
            self._found[i] = self._judged(device)
        self.tell()

    def tell(self) -> None:
        """Tell what has changed."""
        for i, device in enumerate(self._found):
            if self._now(device) != self._told[i]:
                self._told[i] = self._now(device)
                self._rebind(i, self._told[i])

    def _judged(self, device: Device) -> Device:
        """The device with its other knobs as they are beside such a limit, on such a disk."""
        if device.kind is DeviceKind.CPU:
            return self._processors.judged(device)
        return self._clocks.judged(device)

    def _now(self, device: Device) -> Device:
        problem = self._journal.problem
        if problem is None:
            return device
        why = f"the journal can't be written: {problem}"

        def knob(name: KnobName, found: Knob) -> Knob:
            entry = self._journal.get(device.uuid, name)
            is_entered = entry is not None and not self._journal.is_void(entry, self._boot_id)
            return found if is_entered or not found.writable else Knob(False, why)

        limit = device.power_limit if self._has_budget() else knob(KnobName.POWER_LIMIT, device.power_limit)
        return replace(
            device,
            power_limit=limit,
            clock=knob(device.clock_knob, device.clock),
            preference=knob(KnobName.CPU_PREFERENCE, device.preference),
        )
