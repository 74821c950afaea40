"""A host that the agent meets: its devices, what its warden says, and a ring that holds what a test puts there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.agent.feed import Feed
from eagent.agent.loop import Governor
from eagent.agent.warden import ClockStatus, ForeignWrite, Hello, KnobStatus, PreferenceStatus, WardenStatus
from eagent.config import Config
from eagent.errors import EagentError, RefusedError, UnavailableError
from eagent.model import NEVER, SOFTWARE_POWER_CAP, Budget, Channel, Device, DeviceKind, Knob, Reading, Status
from eagent.wire import Message

SECOND_NS = 1_000_000_000


def make_device(n: int, *, writable: bool = True, why: str = "") -> Device:
    return Device(
        f"GPU-{n:02}aa", n, "A100", f"00000000:{n + 3:02X}:00.0", 100, 400, 400, 0.025, 0.1, Knob(writable, why)
    )


def make_package(n: int, **options: Any) -> Device:
    """A package of 32 CPUs whose knobs can all be written."""
    described = Device(
        *(f"CPU-{n}", n, "Xeon", "", 125, 250, 250, 0.1, 0.1, Knob(True)),
        clock=Knob(True),
        clocks_mhz=tuple(range(800, 3500, 100)),
        kind=DeviceKind.CPU,
        preference=Knob(True),
        preferences=("performance", "balance_performance", "balance_power", "power"),
        cpus=32,
    )
    return replace(described, **options)


class FakeWarden:
    """What the governor asks for is written down in `log`; it keeps budgets and leases as the real one does."""

    def __init__(self, devices: tuple[Device, ...]) -> None:
        self.devices = devices
        self.budget: Budget | None = None
        self.alarms: tuple[str, ...] = ()
        self.connected = False
        self.pid: int | None = 4711
        self.here = True
        self.refusal: str | None = None
        self.in_force = True
        self.simulated = False
        self.ttl_max_s = 60.0
        self.reserved_mw = 0
        self.clocks_mhz: dict[str, int] = {}
        self.took_clocks = True  # whether the driver has taken these
        self.foreign: dict[str, ForeignWrite] = {}  # per UUID, of power limits
        self.preferences: dict[str, str] = {}
        self.log: list[tuple[Any, ...]] = []

    def close(self) -> None:
        self.connected = False

    def notice(self) -> None:
        self.connected = self.connected and self.here

    def told(self) -> tuple[Any, ...]:
        """What its status tells, to be compared."""
        return self.devices, self.budget, self.clocks_mhz, self.preferences, self.alarms, self.foreign

    def _reach(self) -> None:
        if not self.here:
            self.connected = False
            raise UnavailableError("no warden at warden.sock: Connection refused")

    async def connect(self) -> Hello:
        self.log.append(("connect",))
        self._reach()
        self.connected = True
        return Hello(self.devices, "boot-1", self.simulated, self.ttl_max_s, self.budget, self.reserved_mw)

    async def status(self) -> WardenStatus:
        self._reach()
        return WardenStatus(
            tuple(self._limit(device) for device in self.devices),
            tuple(self._clock(device) for device in self.devices),
            tuple(self._preference(device) for device in self.devices if device.kind is DeviceKind.CPU),
            self.budget,
            self.alarms,
            reserved_mw=self.reserved_mw,
        )

    def _limit(self, device: Device) -> KnobStatus:
        limit_mw = round(device.max_limit_w * 1000) or None
        knob = device.power_limit
        values = limit_mw, limit_mw if device.kind is DeviceKind.GPU else None, None, limit_mw, "baseline"
        told = KnobStatus(device.uuid, "power_limit", *values, writable=knob.writable, why=knob.why, error=None)
        foreign = self.foreign.get(device.uuid)
        if foreign is None or foreign.fate != "stands":
            return replace(told, foreign=foreign)
        value_mw = int(foreign.value)
        return replace(told, foreign=foreign, requested_mw=value_mw, baseline_mw=value_mw, state="foreign")

    def _clock(self, device: Device) -> ClockStatus:
        ours, baseline, knob = self.clocks_mhz.get(device.uuid), None, device.clock
        if device.kind is DeviceKind.CPU:
            baseline = device.clocks_mhz[-1]
        state = "leased" if ours else "baseline"
        held = ours if self.took_clocks else None
        return ClockStatus(device.uuid, held or baseline, ours, baseline, state, knob.writable, knob.why, None)

    def _preference(self, device: Device) -> PreferenceStatus:
        ours, baseline, knob = self.preferences.get(device.uuid), "balance_performance", device.preference
        state = "leased" if ours else "baseline"
        return PreferenceStatus(device.uuid, ours or baseline, ours, baseline, state, knob.writable, knob.why, None)

    async def lease(
        self,
        limits_mw: Mapping[str, int],
        clocks_mhz: Mapping[str, int],
        preferences: Mapping[str, str],
        ttl_s: float,
    ) -> int:
        self.log.append(("lease", dict(limits_mw), ttl_s))
        self.clocks_mhz, self.preferences = dict(clocks_mhz), dict(preferences)
        self._reach()
        if self.refusal:
            raise RefusedError(self.refusal)
        return 10 * SECOND_NS

    async def release(self) -> None:
        self.log.append(("release",))
        self.clocks_mhz, self.preferences = {}, {}
        self._reach()

    async def take_back(self, uuids: Collection[str] | None = None) -> None:
        self.log.append(("take_back", None if uuids is None else set(uuids)))
        self._reach()
        self.foreign = {} if uuids is None else {u: f for u, f in self.foreign.items() if u not in uuids}

    async def lock_again(self, uuids: Collection[str]) -> None:
        self.log.append(("lock_again", set(uuids)))
        self._reach()

    async def set_budget(self, budget: Budget) -> bool:
        self.log.append(("budget_set", budget))
        self._reach()
        if self.refusal:
            raise RefusedError(self.refusal)
        self.budget = budget
        return self.in_force

    async def detach(self, uuid: str, by: str, why: str) -> Message:
        self.log.append(("detach", uuid, by, why))
        self._reach()
        if self.refusal:
            raise RefusedError(self.refusal)
        self._have(uuid, Knob(False, f"detached by {by}: {why}"))
        return {"why": f"detached by {by}: {why}", "already": False}

    async def attach(self, uuid: str) -> Message:
        self.log.append(("attach", uuid))
        self._reach()
        self._have(uuid, Knob(True))
        return {"already": False}

    def _have(self, uuid: str, knob: Knob) -> None:
        self.devices = tuple(replace(each, power_limit=knob) if each.uuid == uuid else each for each in self.devices)

    async def clear_budget(self) -> None:
        self.log.append(("budget_clear",))
        self._reach()
        self.budget = None

    @property
    def leases(self) -> list[dict[str, int]]:
        return [entry[1] for entry in self.log if entry[0] == "lease"]


class FakeRing:
    """A ring of records that a test has put there."""

    def __init__(self) -> None:
        self.records: list[tuple[int, int, int, int, int, int]] = []
        self.stats: Any = dict.fromkeys(
            (
                *("started_ns", "heartbeat_ns", "steps", "missed", "lateness_max_ns", "read_ns", "write_ns", "cpu_ns"),
                *("reads", "writes", "read_errors", "write_errors"),
                *("refreshes", "refreshes_missed", "refreshes_shed", "changes", "shed_since_ns", "actuator_beat_ns"),
            ),
            0,
        ) | {"lateness": [0] * 20}
        self.lost = 0
        self.gone = False
        self.closed = False

    def drain(self) -> list[tuple[int, int, int, int, int, int]]:
        drained, self.records = self.records, []
        return drained

    def replaced(self) -> bool:
        return self.gone

    def close(self) -> None:
        self.closed = True

    def beat(self, now_ns: int) -> None:
        self.stats = {**self.stats, "heartbeat_ns": now_ns, "actuator_beat_ns": now_ns}
        self.stats["started_ns"] = self.stats["started_ns"] or 1

    def show(self, place: int, watts: float, until_ns: int, *, limit_w: float = 400) -> None:
        """Twelve seconds of steady power up to a time, held down if it is near the limit."""
        reasons = SOFTWARE_POWER_CAP if watts > 0.92 * limit_w else 0
        for quarter in range(49):
            at_ns = until_ns - (48 - quarter) * SECOND_NS // 4
            self.records += [
                (at_ns, int(watts * 1000), place, Channel.POWER_INSTANT_MW, Status.OK, -1),
                (at_ns, reasons, place, Channel.EVENT_REASONS, Status.OK, -1),
                (at_ns, int(limit_w * 1000), place, Channel.LIMIT_REQUESTED_MW, Status.OK, -1),
            ]


class Host:
    """The fakes around one governor, and turns of it at times of the test's choosing.

    A CPU package is shown power like a GPU; a test says in `busy_cpus` and `frequencies` what the kernel tells.
    """

    def __init__(self, *devices: Device, **options: Any) -> None:
        self.devices = devices or (make_device(0), make_device(1))
        self.warden = FakeWarden(self.devices)
        self.rings = [FakeRing()]
        self.opened = 0
        self._told: Any = None
        self.config = replace(Config(), **options)
        self.busy_cpus: Reading = NEVER
        self.frequencies: dict[str, Reading] = {}
        self.governor = Governor(
            self.warden,
            Feed(self._open),
            self.config,
            busy_cpus=lambda _: self.busy_cpus,
            frequencies=lambda _: self.frequencies,
        )

    @property
    def ring(self) -> FakeRing:
        return self.rings[-1]

    def _open(self) -> FakeRing:
        self.opened += 1
        if not self.warden.here:
            raise EagentError("no sample ring")
        return self.ring

    async def turn(self, at_s: float, *watts: float) -> None:
        """One step at a time, with these powers just shown by the devices in their order."""
        now_ns = int(at_s * SECOND_NS)
        if (told := self.warden.told()) != self._told:  # as the real one counts
            self._told, self.ring.stats = told, {**self.ring.stats, "changes": self.ring.stats["changes"] + 1}
        for place, power_w in enumerate(watts):
            self.ring.show(place, power_w, now_ns)
        if watts:
            self.ring.beat(now_ns)
        await self.governor.step(now_ns)


@pytest.fixture(scope="session")
def new_device() -> Any:
    return make_device


@pytest.fixture(scope="session")
def new_package() -> Any:
    return make_package


@pytest.fixture(scope="session")
def new_host() -> Any:
    """Makes hosts: `new_host(device, ..., lease_ttl_s=3.0)`."""
    return Host


@pytest.fixture
def host() -> Host:
    """A host of two A100s."""
    return Host()


@pytest.fixture
def new_world(new_host: Any, tmp_path: Path) -> Any:
    """Makes hosts in the mesh: `new_world("rack", mode_sleep="act")`."""
    from tests.agent.world import DOMAIN, World  # needs what signs, which may not be here

    return lambda *domains, **options: World(new_host, tmp_path, domains or (DOMAIN,), **options)


@pytest.fixture
def world(new_world: Any) -> Any:
    """A host in the mesh."""
    return new_world()
