"""The types that everything speaks. Frozen; units are in the names; times are monotonic nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Channel(IntEnum):
    """What a ring record tells; the numbers are those of native/ring.h and are append-only."""

    POWER_INSTANT_MW = 1
    POWER_AVERAGE_MW = 2
    ENERGY_MJ = 3
    SM_CLOCK_MHZ = 4
    GPU_UTILISATION_PCT = 5
    MEMORY_UTILISATION_PCT = 6
    TEMPERATURE_C = 7
    LIMIT_REQUESTED_MW = 8
    LIMIT_ENFORCED_MW = 9
    EVENT_REASONS = 10
    COMPUTE_PROCESSES = 11
    COMPUTE_PID = 12
    MEMORY_USED_B = 13
    PCIE_TX_B = 14
    PCIE_RX_B = 15
    POWER_SAMPLE_MW = 16


class Status(IntEnum):
    """How a read went; the numbers are those of native/ring.h. A value means something only with OK and SAME."""

    OK = 0
    NOT_SUPPORTED = 1
    NO_PERMISSION = 2
    GPU_LOST = 3
    TIMED_OUT = 4
    FAILED = 5
    SAME = 6  # well, and the sensor had published nothing since the look before
    DETACHED = 7  # nobody asks: an operator has taken the GPU out
    MISSING = 100  # never read: not in the ring, made by the reader
    STALE = 101  # read once, too long ago to speak for now: made by the reader


# Each half of the warden's loop shows itself ten times a second or so. This is no hiccup, and leaves a turn of the
# agent's own within two seconds to say so.
HANGS_AFTER_NS = 1_500_000_000

SOFTWARE_POWER_CAP = 0x4  # NVML clocks event reason: the clock is held down by the power limit


class DeviceKind(StrEnum):
    """What a device is; its label begins with it."""

    GPU = "gpu"
    CPU = "cpu"  # a package


class KnobName(StrEnum):
    """The controls of devices. Preferences are texts and follow the ceiling; proposals speak about the others."""

    POWER_LIMIT = "power_limit"  # watts
    GPU_CLOCK = "gpu_clock"  # MHz: the ceiling of the SM clock
    CPU_CLOCK = "cpu_clock"  # MHz: the ceiling of the cores' frequency
    CPU_PREFERENCE = "cpu_preference"  # energy performance preference, by the kernel's names
    PERSISTENCE_MODE = "persistence_mode"  # 0 or 1: whether a GPU's driver keeps the others when nobody uses it

    @property
    def unit(self) -> str:
        """The unit of its values; empty for texts."""
        return {KnobName.POWER_LIMIT: "W", KnobName.CPU_PREFERENCE: "", KnobName.PERSISTENCE_MODE: ""}.get(self, "MHz")


@dataclass(frozen=True, slots=True)
class Knob:
    """Whether a control can be written here, and if not, why."""

    writable: bool
    why: str = ""


NO_PREFERENCE = Knob(False, "it has none")


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU as the driver describes it, or one CPU package as the kernel does.

    Its identity is the UUID, for a package `CPU-<number>`; `index` is only the driver's order of the day. The greatest
    limit of a package is what its owner had set before eagent, 0 where it can't be read. Its clocks are in steps.
    """

    uuid: str
    index: int
    name: str
    pci_bus_id: str
    min_limit_w: float
    max_limit_w: float
    default_limit_w: float
    power_window_s: float  # the stretch of time that one power reading averages
    power_period_s: float  # how often the sensor publishes one
    power_limit: Knob
    clock: Knob = Knob(False, "not looked at")
    clocks_mhz: tuple[int, ...] = ()  # that it can be held below, ascending
    kind: DeviceKind = DeviceKind.GPU
    preference: Knob = NO_PREFERENCE  # the CPU's energy performance preference
    preferences: tuple[str, ...] = ()  # that it takes
    cpus: int = 0  # of a package

    @property
    def label(self) -> str:
        """The short name people type: gpu0, cpu1."""
        return f"{self.kind}{self.index}"

    @property
    def clock_knob(self) -> KnobName:
        """What its clock ceiling is called."""
        return KnobName.CPU_CLOCK if self.kind is DeviceKind.CPU else KnobName.GPU_CLOCK

    def span(self, knob: KnobName) -> tuple[float, float] | None:
        """The least and the greatest value that a knob of the device takes; None if it can't be written."""
        if knob is KnobName.POWER_LIMIT:
            return (self.min_limit_w, self.max_limit_w) if self.power_limit.writable else None
        if knob is self.clock_knob and self.clock.writable and self.clocks_mhz:
            return self.clocks_mhz[0], self.clocks_mhz[-1]
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    """A number that says what it is. `value` is None unless `status` is OK."""

    value: float | None
    status: Status
    sensor: str = ""
    window_s: float = 0.0
    age_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is a value to use."""
        return self.status is Status.OK and self.value is not None


NEVER = Reading(None, Status.MISSING)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What is known of one device now: the last readings, and windows over the recent past.

    `power_mean_w` is over the last second, `power_recent_w` over the last ten, and `capped_share` is the share of those
    ten seconds in which the driver said that the power limit held the clock down. `prior_limit_w` is what the limit was
    before eagent. Of a package only power, energy, limits, ceilings and the frequency are known.
    """

    device: Device
    power_w: Reading = NEVER
    power_mean_w: Reading = NEVER
    power_recent_w: Reading = NEVER
    energy_j: Reading = NEVER
    sm_clock_mhz: Reading = NEVER
    gpu_utilisation: Reading = NEVER  # 0 to 1
    memory_utilisation: Reading = NEVER  # 0 to 1
    temperature_c: Reading = NEVER
    limit_w: Reading = NEVER  # requested, as read back
    enforced_limit_w: Reading = NEVER
    capped_share: Reading = NEVER  # 0 to 1
    prior_limit_w: float | None = None
    foreign_limit_w: float | None = None  # what somebody else has set the limit to, while it is left alone for that
    compute_processes: Reading = NEVER  # how many hold a context
    busy_share: Reading = NEVER  # mean utilisation of the last seconds, 0 to 1
    busy_peak: Reading = NEVER  # the greatest utilisation read in the last ten seconds, 0 to 1
    clock_held: bool = False  # whether its clock is under a ceiling of ours
    ceiling_mhz: float | None = None  # of a package: the ceiling in force, as read back
    prior_ceiling_mhz: float | None = None  # of a package: what the ceiling was before eagent
    frequency_mhz: Reading = NEVER  # of a package: the mean of its CPUs
    memory_used_b: Reading = NEVER
    pcie_tx_b: Reading = NEVER  # counters: bytes that the GPU has sent and received
    pcie_rx_b: Reading = NEVER


@dataclass(frozen=True, slots=True)
class Budget:
    """A durable limit on the watts of this host, as the warden holds it.

    Invariant kept by the warden: sum of device limits in force + `fixed_w` <= `budget_w`.
    """

    budget_w: float
    fixed_w: float  # all that is not capped: declared, or measured by a BMC, as a maximum
    safe_caps_w: Mapping[str, float]  # per UUID: the limit a device falls to when nobody governs it

    @property
    def envelope_w(self) -> float:
        """What is left for the devices' limits."""
        return self.budget_w - self.fixed_w

    def safe_cap_w(self, device: Device) -> float:
        """The limit that a device falls to when nobody governs it.

        Where the budget does not say, a GPU's least limit; a CPU package keeps what it had, and so is never slowed.
        """
        unsaid_w = device.max_limit_w if device.kind is DeviceKind.CPU else device.min_limit_w
        return self.safe_caps_w.get(device.uuid, unsaid_w)

    def uncapped_w(self, device: Device) -> float:
        """What a device takes of the envelope because its limit can't be set: the most that it draws.

        A CPU package is a part of the fixed draw, unless the budget was made while its limit could be set.
        """
        if device.power_limit.writable or (device.kind is DeviceKind.CPU and device.uuid not in self.safe_caps_w):
            return 0.0
        return max(device.max_limit_w, self.safe_caps_w.get(device.uuid, 0.0))

    def absent_w(self, devices: Iterable[Device]) -> float:
        """What packages take of the envelope that the budget names and the kernel does not show now: they draw on."""
        here = {device.uuid for device in devices}
        return sum(cap_w for uuid, cap_w in self.safe_caps_w.items() if uuid.startswith("CPU-") and uuid not in here)


class ProgressSource(StrEnum):
    """How it is known how far a job has come, from the best to the worst."""

    BEATS = "beats"  # the job says so
    COUNTER = "counter"  # a counter of the job's own metrics
    PERIOD = "period"  # inferred: what repeats in the power that it draws


@dataclass(frozen=True, slots=True)
class Latencies:
    """A job's own cumulative histogram of one kind of latency."""

    kind: str  # "first token" or "between tokens"
    bounds_s: tuple[float, ...]  # upper, ascending; the last is infinite
    counts: tuple[int, ...]  # of each bucket alone, since the job began


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come, by the best source there is. Rates are made of two of them, over any time between."""

    job: str  # names it, and the same job in another run by the same name
    uuids: frozenset[str]  # of the GPUs that it runs on
    source: ProgressSource
    units: float  # done since it was first seen; never falls
    at_ns: int  # monotonic: when that was so
    unit: str = "step"
    latencies: tuple[Latencies, ...] = ()

    @property
    def run(self) -> str:
        """Tells this run from others of the same job on other GPUs: a site starts the same command many times."""
        return " ".join([self.job, *sorted(self.uuids)])


@dataclass(frozen=True, slots=True)
class HostState:
    """What the policies see."""

    devices: tuple[DeviceState, ...]
    budget: Budget | None = None
    gangs: tuple[frozenset[str], ...] = ()  # sets of UUIDs that do one synchronous job
    busy_cpus: Reading = NEVER  # how many CPUs' worth of time all processes of the host used over the last second
    reserved_w: float = 0.0  # what the warden keeps back for GPUs that did not answer at its start
    progress: tuple[Progress, ...] = ()  # of the jobs that tell or show it, one each

    @property
    def gpus(self) -> tuple[DeviceState, ...]:
        """The GPUs among the devices."""
        return tuple(each for each in self.devices if each.device.kind is DeviceKind.GPU)

    @property
    def cpus(self) -> tuple[DeviceState, ...]:
        """The CPU packages among the devices."""
        return tuple(each for each in self.devices if each.device.kind is DeviceKind.CPU)


class Priority(IntEnum):
    """Who wins: a smaller number is stronger. One total order."""

    SAFETY = 0
    BUDGET = 1
    PIN = 2
    HINT = 3
    IDLE = 4
    EFFICIENCY = 5


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a policy asks of one knob: to stay within [low, high], for a reason, until a time."""

    policy: str
    priority: Priority
    uuid: str
    knob: KnobName
    high: float
    reason: str
    low: float = 0.0
    until_ns: int | None = None
    stake_w: float | None = None  # what it is expected to save, where the policy can tell


@dataclass(frozen=True, slots=True)
class Decision:
    """What the arbiter chose for one knob, and how each proposal fared."""

    uuid: str
    knob: KnobName
    value: float
    winner: Proposal
    losers: tuple[Proposal, ...] = field(default=())
