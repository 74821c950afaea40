"""Folds ring records into what is known of each device now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from eagent.model import SOFTWARE_POWER_CAP, Channel, Device, DeviceKind, DeviceState, Status
from eagent.telemetry.records import POWER_MOST_MW, Record
from eagent.telemetry.windows import SECOND_NS, Sensor, Series

QUIET_NS = 3 * SECOND_NS  # a pause that is shorter is a part of the work
RECENT_NS = 10 * SECOND_NS  # long enough to tell a load that comes in bursts from one that does not stop

# A reading older than this no longer speaks for now: looks have been missed. Of a busy GPU the loop reads power and
# energy every few tens of milliseconds, clocks, event reasons and utilisation four times a second, the rest once a
# second; of an idle one everything once a second; of a package everything ten times.
POWER_AGE_LIMIT_NS = 2 * SECOND_NS
CLOCKS_AGE_LIMIT_NS = 2 * SECOND_NS
SLOW_AGE_LIMIT_NS = 3 * SECOND_NS

# What NVML averages utilisation over is between 1/6 s and 1 s, depending on the product; the greater is said.
UTILISATION_WINDOW_S = 1.0


class Fold:
    """The series of all devices of one host. Fed with records, asked for states."""

    def __init__(self, devices: Sequence[Device]) -> None:
        """A fold of the devices of a warden's hello; a record's device number is the place in it."""
        self._devices = [_DeviceFold(device) for device in devices]
        self._asked: tuple[int, tuple[DeviceState, ...]] | None = None  # the last answer, until something comes

    def rebind(self, devices: Sequence[Device]) -> None:
        """The devices of a new hello: those known by their UUID keep their past, wherever they stand now."""
        self._asked = None
        known = {fold.device.uuid: fold for fold in self._devices}
        self._devices = [_DeviceFold(device) for device in devices]
        for place, device in enumerate(devices):
            if device.uuid in known:
                known[device.uuid].device = device
                self._devices[place] = known[device.uuid]

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices, in the order of the hello."""
        return tuple(fold.device for fold in self._devices)

    def add(self, records: Iterable[Record]) -> None:
        """Take records in the order of the ring. Unknown channels and devices are those of a newer warden: skipped."""
        self._asked = None
        for time_ns, value, place, channel, status, _ in records:
            if place < len(self._devices):
                self._devices[place].add(time_ns, value, channel, status)

    def states(self, now_ns: int) -> tuple[DeviceState, ...]:
        """What is known of each device at the monotonic time `now_ns`, in the order of the hello."""
        if self._asked is None or self._asked[0] != now_ns:
            self._asked = now_ns, tuple(fold.state(now_ns) for fold in self._devices)
        return self._asked[1]


class _DeviceFold:
    def __init__(self, device: Device) -> None:
        self.device = device
        source = "nvml" if device.kind is DeviceKind.GPU else "rapl"
        self._power = Series(
            Sensor(_power_sensor(device), 1e-3, device.power_window_s, age_limit_ns=POWER_AGE_LIMIT_NS),
            keep_ns=RECENT_NS,
        )
        self._energy = Series(Sensor(f"{source} energy counter", 1e-3, age_limit_ns=POWER_AGE_LIMIT_NS))
        self._clock = Series(Sensor("nvml", age_limit_ns=CLOCKS_AGE_LIMIT_NS))
        self._capped = Series(Sensor("nvml event reasons", age_limit_ns=CLOCKS_AGE_LIMIT_NS), keep_ns=RECENT_NS)
        self._busy = _slow(1e-2, UTILISATION_WINDOW_S, keep_ns=RECENT_NS)
        self._processes = _slow()
        self._memory_busy = _slow(1e-2, UTILISATION_WINDOW_S)
        self._temperature = _slow()
        self._memory = _slow()
        self._sent, self._received = _slow(), _slow()
        self._limit = _slow(1e-3, source=source)
        self._enforced = _slow(1e-3)
        self._takers: dict[int, tuple[Series, Callable[[int, int], tuple[int, int]]]] = {
            Channel.POWER_INSTANT_MW: (self._power, _power),
            Channel.ENERGY_MJ: (self._energy, _as_read),
            Channel.SM_CLOCK_MHZ: (self._clock, _as_read),
            Channel.GPU_UTILISATION_PCT: (self._busy, _as_read),
            Channel.MEMORY_UTILISATION_PCT: (self._memory_busy, _as_read),
            Channel.COMPUTE_PROCESSES: (self._processes, _as_read),
            Channel.TEMPERATURE_C: (self._temperature, _as_read),
            Channel.MEMORY_USED_B: (self._memory, _as_read),
            Channel.PCIE_TX_B: (self._sent, _as_read),
            Channel.PCIE_RX_B: (self._received, _as_read),
            Channel.LIMIT_REQUESTED_MW: (self._limit, _as_read),
            Channel.LIMIT_ENFORCED_MW: (self._enforced, _as_read),
            Channel.EVENT_REASONS: (self._capped, _capped),
        }

    def add(self, time_ns: int, value: int, channel: int, status: int) -> None:
        taker = self._takers.get(channel)
        if taker is not None:
            series, meaning = taker
            series.add(time_ns, *meaning(value, status))

    def state(self, now_ns: int) -> DeviceState:
        energy = self._energy.latest(now_ns)
        if not self._energy.supported and self._power.supported:
            energy = self._power.total(now_ns)  # a worse number, and its sensor says so
        return DeviceState(
            device=self.device,
            power_w=self._power.latest(now_ns),
            power_mean_w=self._power.mean(now_ns),
            power_recent_w=self._power.mean(now_ns, RECENT_NS),
            energy_j=energy,
            sm_clock_mhz=self._clock.latest(now_ns),
            gpu_utilisation=self._busy.latest(now_ns),
            busy_share=self._busy.mean(now_ns, QUIET_NS),
            busy_peak=self._busy.peak(now_ns, RECENT_NS),
            compute_processes=self._processes.latest(now_ns),
            memory_utilisation=self._memory_busy.latest(now_ns),
            temperature_c=self._temperature.latest(now_ns),
            memory_used_b=self._memory.latest(now_ns),
            pcie_tx_b=self._sent.latest(now_ns),
            pcie_rx_b=self._received.latest(now_ns),
            limit_w=self._limit.latest(now_ns),
            enforced_limit_w=self._enforced.latest(now_ns),
            capped_share=self._capped.mean(now_ns, RECENT_NS),
        )


def _power_sensor(device: Device) -> str:
    """NVML's plain power reading is a one-second mean on many products; the warden says so in the window."""
    if device.kind is DeviceKind.CPU:
        return "rapl"
    return "nvml instant" if device.power_window_s < 1 else "nvml average"


def _slow(scale: float = 1.0, window_s: float = 0.0, keep_ns: int = 0, source: str = "nvml") -> Series:
    return Series(Sensor(source, scale, window_s, age_limit_ns=SLOW_AGE_LIMIT_NS), keep_ns)


def _as_read(value: int, status: int) -> tuple[int, int]:
    return value, status


def _power(value: int, status: int) -> tuple[int, int]:
    """What is powered never draws nothing: drivers that are polled hard have been seen to say 0."""
    is_none = status in (Status.OK, Status.SAME) and not 0 < value <= POWER_MOST_MW
    return value, Status.FAILED if is_none else status


def _capped(value: int, status: int) -> tuple[int, int]:
    return int(bool(value & SOFTWARE_POWER_CAP)), status
