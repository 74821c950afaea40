"""The joules of job owners' windows: which devices the owner's processes held in each, and what they drew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from eagent.agent.holders import Holders
from eagent.agent.lineage import Process
from eagent.agent.names import find_device
from eagent.errors import InputError, RefusedError
from eagent.model import Device, DeviceKind
from eagent.telemetry.energy import Energy, Meter
from eagent.telemetry.records import Record

SECOND_NS = 1_000_000_000
WAIT_NS = 2_500_000_000  # idle GPUs are read, and processes looked for, once a second
AHEAD_NS = SECOND_NS  # a window that ends later than this from now is of another clock
SLICE_NS = 5_000_000  # of answering, between two turns of the event loop: a window takes some 0.3 ms for each GPU
SHARE = 0.5  # of the agent's time, that may go into answering

Json = dict[str, Any]
Span = tuple[int, int]


class Processes(Protocol):
    """What is needed of `Lineage`."""

    def look(self, pid: int, at_ns: int) -> Process | None: ...
    def may_name(self, pid: int, uid: int) -> bool: ...


class Measuring(Protocol):
    """What is needed of a meter."""

    def add(self, time_ns: int, value: int, channel: int, status: int, age_ns: int) -> None: ...
    def energy(self, begin_ns: int, end_ns: int) -> Energy: ...
    def resolved_until_ns(self) -> int: ...


class Windows:
    """Meters and holders of all devices, fed from the agent's own drain of the ring, and the answers out of them."""

    def __init__(
        self,
        processes: Processes,
        clock: Callable[[], int],
        meter: Callable[[Device], Measuring] = Meter,
        shift_ns: int = 0,
    ) -> None:
        """No device yet.

        Args:
            processes: Tells processes by their pids.
            clock: Monotonic nanoseconds.
            meter: Makes the meter of a device.
            shift_ns: How far our monotonic clock is ahead of the kernel's own, which windows are told in.
        """
        self._processes = processes
        self._clock = clock
        self._make = meter
        self._shift_ns = shift_ns
        self.holders = self._holders = Holders(processes.look)
        self._devices: tuple[Device, ...] = ()
        self._meters: dict[str, Measuring] = {}
        self._since_ns: dict[str, int] = {}  # a device's first record
        self._simulated = False
        self._fed = asyncio.Event()  # replaced by each drain
        self._turn = asyncio.Lock()

    def bind(self, devices: Sequence[Device], *, simulated: bool) -> None:
        """The devices of a hello; those known by their UUID keep their past."""
        self._devices, self._simulated = tuple(devices), simulated
        self._holders.bind(devices)
        for device in devices:
            if device.uuid not in self._meters:
                self._meters[device.uuid] = self._make(device)

    def add(self, records: Iterable[Record]) -> None:
        """Take what was drained from the ring."""
        for record in records:
            time_ns, value, number, channel, status, age_ns = record
            if number < len(self._devices):
                uuid = self._devices[number].uuid
                self._since_ns.setdefault(uuid, time_ns)
                self._meters[uuid].add(time_ns, value, channel, status, age_ns)
                self._holders.add(record)
        fed, self._fed = self._fed, asyncio.Event()
        fed.set()

    async def windows(self, pid: int, uid: int, spans: Sequence[Span], names: Sequence[str]) -> Json:
        """What the devices of a caller drew over windows; waits until all of it can be known, or `WAIT_NS`.

        Args:
            pid: Of the caller, as the kernel tells it to us; 0: it is in no pid namespace that we see.
            uid: Of the caller, by the kernel.
            spans: Begin and end of each, in the kernel's monotonic nanoseconds.
            names: Devices; none: all that processes of the caller held.

        Raises:
            NotFoundError: no such device.
            InputError: a window of another clock.
            RefusedError: a CPU, which nobody holds, was named by one who may not name any.
        """
        spans = [(begin_ns + self._shift_ns, end_ns + self._shift_ns) for begin_ns, end_ns in spans]
        if max(end_ns for _, end_ns in spans) > self._clock() + AHEAD_NS:
            raise InputError("a window ends in the future: it is not of this host's monotonic clock")
        trusted = self._processes.may_name(pid, uid)
        caller = self._processes.look(pid, self._clock()) if pid else None
        if caller is not None and caller.uid != uid:  # another by now, or not who it was when it called
            caller = None
        devices = self._chosen(names, trusted=trusted)
        asked = _Asked(self._holders, devices, caller, trusted, free=trusted and bool(names))
        await self._settle(asked, min(begin_ns for begin_ns, _ in spans), max(end_ns for _, end_ns in spans))
        answers: list[Json] = []
        while len(answers) < len(spans):
            async with self._turn:  # slice by slice, so that a long request does not hold up short ones
                begun_ns = spent_ns = self._clock()
                while len(answers) < len(spans) and spent_ns - begun_ns < SLICE_NS:
                    answers.append(self._window(asked, *spans[len(answers)]))
                    spent_ns = self._clock()
                await asyncio.sleep((spent_ns - begun_ns) / SECOND_NS * (1 / SHARE - 1))
        return {"simulated": self._simulated, "windows": answers}

    def _chosen(self, names: Sequence[str], *, trusted: bool) -> tuple[Device, ...]:
        if not names:
            return tuple(device for device in self._devices if device.kind is DeviceKind.GPU)
        found = tuple(dict.fromkeys(find_device(self._devices, name) for name in names))
        if not trusted and any(device.kind is DeviceKind.CPU for device in found):
            raise RefusedError("a CPU package is everybody's: only root and the agent's own user may ask what it drew")
        return found

    async def _settle(self, asked: _Asked, begin_ns: int, end_ns: int) -> None:
        """Wait for the first look at holders, and the first refresh of what is held, after the last window's end."""
        deadline_ns = end_ns + WAIT_NS
        while not self._is_settled(asked, begin_ns, end_ns) and (left_ns := deadline_ns - self._clock()) > 0:
            try:
                async with asyncio.timeout(left_ns / SECOND_NS):
                    await self._fed.wait()
            except TimeoutError:
                return

    def _is_settled(self, asked: _Asked, begin_ns: int, end_ns: int) -> bool:
        if asked.caller is None and not asked.free:
            return True
        for device in asked.devices:
            of_gpu = device.kind is DeviceKind.GPU
            if of_gpu and self._holders.looked_ns(device.uuid) < end_ns:
                return False
            wanted = asked.free or asked.held(device, begin_ns, end_ns)[0]
            if wanted and self._meters[device.uuid].resolved_until_ns() < end_ns:
                return False
        return True

    def _window(self, asked: _Asked, begin_ns: int, end_ns: int) -> Json:
        devices = []
        for device in asked.devices:
            held, others = asked.held(device, begin_ns, end_ns)
            if held or asked.free:
                devices.append(self._device(device, others, begin_ns, end_ns))
        return {"devices": devices, "why": None if devices else self._why_none(asked, begin_ns)}

    def _device(self, device: Device, others: int, begin_ns: int, end_ns: int) -> Json:
        energy = self._meters[device.uuid].energy(begin_ns, end_ns)
        joules = energy.energy_j
        return {
            "device": device.label,
            "uuid": device.uuid,
            "energy_j": joules,
            "half_width_j": energy.half_width_j,
            "gain_j": 0.0 if joules is None else abs(joules) * energy.gain_share,
            "source": energy.source,
            "flags": list(energy.flags),
            "others": others,
            "why": self._why_unknown(device, energy, begin_ns) if joules is None else None,
        }

    def _why_unknown(self, device: Device, energy: Energy, begin_ns: int) -> str:
        since_ns = self._since_ns.get(device.uuid)
        if since_ns is None:
            return "the warden has told nothing of it yet"
        if since_ns > begin_ns:
            return f"the agent has watched it only since {_after(since_ns, begin_ns)} the window began"
        return f"too little of it was read: {', '.join(energy.flags)}" if energy.flags else "too little of it was read"

    def _why_none(self, asked: _Asked, begin_ns: int) -> str:
        if not asked.devices:
            return "this host has no GPU that the agent knows of"
        if asked.caller is None:
            return "the agent can't see the process that asks: it is in a pid namespace of its own kind, or hidden"
        untold = [device.label for device in asked.devices if not self._holders.told(device.uuid)]
        if untold:
            return f"which processes hold {', '.join(untold)} is not told here, so the agent can't tell what is yours"
        late_ns = max(self._holders.since_ns(device.uuid) for device in asked.devices)
        if late_ns > begin_ns:
            since = _after(late_ns, begin_ns)
            return f"the agent has watched only since {since} the window began, and has seen no GPU held by you since"
        named = " of those named" if len(asked.devices) < self._gpus else ""
        return f"no process of yours was seen on any GPU{named} in this window; they are looked for once a second"

    @property
    def _gpus(self) -> int:
        return sum(device.kind is DeviceKind.GPU for device in self._devices)


class _Asked:
    """Who asks for which devices."""

    def __init__(
        self, holders: Holders, devices: Sequence[Device], caller: Process | None, trusted: bool, *, free: bool
    ) -> None:
        self.devices = devices
        self.caller = caller
        self.free = free  # gets these, whoever holds them
        self._trusted = trusted  # what it started as another user is its own
        self._holders = holders

    def held(self, device: Device, begin_ns: int, end_ns: int) -> tuple[bool, int]:
        """Whether the caller held it, and how many others did."""
        caller = self.caller or _NOBODY
        held = self._holders.held(device.uuid, caller, begin_ns, end_ns, of_all_users=self._trusted)
        return held.held, held.others


_NOBODY = Process((0, 0), -1)


def _after(later_ns: int, begin_ns: int) -> str:
    return f"{(later_ns - begin_ns) / SECOND_NS:.1f} s after"
