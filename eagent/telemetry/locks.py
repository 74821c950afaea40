"""Infers GPU clock locks, which no driver lets read back: one in force that is not ours, or ours that is not in force.

A lower one is inferred from a busy GPU whose clock never comes near where it should be, while the driver tells of
nothing that holds it down: no power cap, no heat, no brake, no sync boost. Where it should be is what eagent holds, but
never more than the board has been seen to reach: many boards don't reach the highest clock that they list. Before any
was seen it is SURELY_SHARE of that.

That ours is not in force is inferred from clocks above it, whatever the GPU does.

An idle GPU tells nothing, nor does one that is held down by power or heat. What was inferred stands while the evidence
does. It takes WINDOW_NS of it, and a second until the driver's utilisation is all of the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eagent.model import Channel, Device, DeviceKind, Status
from eagent.telemetry.records import Record

SECOND_NS = 1_000_000_000
WINDOW_NS = 4 * SECOND_NS
LOOKS_MIN = 8  # in a window: a busy GPU is looked at four times a second
GAP_NS = 2 * SECOND_NS  # a look that comes later says nothing of the time between
SETTLE_NS = 2 * SECOND_NS  # after a change of ours
ABOVE_NS, ABOVE_LOOKS = SECOND_NS, 3
BUSY_PCT = 90
NEAR_SHARE = 0.95  # nearer than that to where it should be is there
OVER_SHARE = 0.02  # of the highest clock: less above ours is a step of the hardware
SURELY_SHARE = 0.7  # of the highest clock: what every board reaches that nothing holds down

# NVML's clocks event reasons that tell why a clock is low: power cap, hardware slowdown, sync boost, heat, brake; idle.
HELD_DOWN = 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80
IDLE = 0x1


@dataclass(frozen=True, slots=True)
class Inference:
    """What is inferred of one GPU, and from what."""

    is_above: bool  # the clock is above our lock; else somebody else's holds it down
    clock_mhz: int  # the greatest that was seen in the time
    expected_mhz: int  # where it should be able to go, or what it should not be above
    since_ns: int
    until_ns: int
    looks: int

    def words(self) -> str:
        """For a person."""
        seconds = (self.until_ns - self.since_ns) / SECOND_NS
        evidence = f"in {self.looks} looks over {seconds:.0f} s"
        if self.is_above:
            return (
                f"inferred: eagent's lock of {self.expected_mhz} MHz is not in force: the SM clock was above it, up to "
                f"{self.clock_mhz} MHz, {evidence}"
            )
        return (
            f"inferred: somebody else's lock is in force: the SM clock was never above {self.clock_mhz} MHz "
            f"{evidence}, the GPU busy and neither power nor heat told as the reason, though it may go to "
            f"{self.expected_mhz} MHz"
        )


class LockWatch:
    """One GPU's looks."""

    def __init__(self, top_mhz: int) -> None:
        """Nothing seen yet; `top_mhz` is the highest clock that the board lists."""
        self._top_mhz = top_mhz
        self._reached_mhz = round(SURELY_SHARE * top_mhz)
        self._ours_mhz: int | None = None
        self._settled_ns = 0
        self._reasons = self._use_pct = -1
        self._reasons_ns = self._use_ns = 0
        self._last_ns = 0
        self._low = self._above = _NOTHING

    def expect(self, ours_mhz: int | None, now_ns: int) -> None:
        """What we hold it below; None: nothing."""
        if ours_mhz != self._ours_mhz:
            self._ours_mhz = ours_mhz
            self.restart(now_ns)

    def restart(self, now_ns: int) -> None:
        """What was seen up to now speaks no more: a lock was written."""
        self._settled_ns = now_ns + SETTLE_NS
        self._low = self._above = _NOTHING

    def reasons(self, time_ns: int, bits: int) -> None:
        """A look at the event reasons."""
        self._reasons, self._reasons_ns = bits, time_ns
        if bits & (HELD_DOWN | IDLE):
            self._low = _NOTHING

    def use(self, time_ns: int, percent: int) -> None:
        """A look at the utilisation."""
        self._use_pct, self._use_ns = percent, time_ns
        if percent < BUSY_PCT:
            self._low = _NOTHING

    def clock(self, time_ns: int, mhz: int) -> None:
        """A look at the SM clock."""
        if time_ns - self._last_ns > GAP_NS:
            self._low = _NOTHING
        self._last_ns = time_ns
        self._reached_mhz = max(self._reached_mhz, mhz)
        if time_ns < self._settled_ns:
            return
        ours_mhz = self._ours_mhz
        is_above = ours_mhz is not None and mhz > ours_mhz + OVER_SHARE * self._top_mhz
        self._above = self._above.with_look(time_ns, mhz) if is_above else _NOTHING
        is_low = mhz < NEAR_SHARE * self._expected_mhz and self._is_free(time_ns)
        self._low = self._low.with_look(time_ns, mhz) if is_low else _NOTHING

    def found(self) -> Inference | None:
        """What is inferred now; None: nothing."""
        above, low = self._above, self._low
        if above.looks >= ABOVE_LOOKS and above.last_ns - above.first_ns >= ABOVE_NS and self._ours_mhz is not None:
            return Inference(True, above.most_mhz, self._ours_mhz, above.first_ns, above.last_ns, above.looks)
        if low.looks >= LOOKS_MIN and low.last_ns - low.first_ns >= WINDOW_NS:
            return Inference(False, low.most_mhz, self._expected_mhz, low.first_ns, low.last_ns, low.looks)
        return None

    @property
    def _expected_mhz(self) -> int:
        return min(self._reached_mhz, self._ours_mhz or self._reached_mhz)

    def _is_free(self, time_ns: int) -> bool:
        """Whether it works at full, and nothing is told that holds it down."""
        known_ns = min(self._reasons_ns, self._use_ns)
        is_known = self._reasons >= 0 and self._use_pct >= BUSY_PCT and time_ns - known_ns <= GAP_NS
        return is_known and not self._reasons & (HELD_DOWN | IDLE)


@dataclass(frozen=True, slots=True)
class _Span:
    """Looks one after another that say the same."""

    first_ns: int = 0
    last_ns: int = 0
    most_mhz: int = 0
    looks: int = 0

    def with_look(self, time_ns: int, mhz: int) -> _Span:
        return _Span(self.first_ns if self.looks else time_ns, time_ns, max(self.most_mhz, mhz), self.looks + 1)


_NOTHING = _Span()


_LOOKS = frozenset(map(int, (Channel.SM_CLOCK_MHZ, Channel.EVENT_REASONS, Channel.GPU_UTILISATION_PCT)))
_WELL = frozenset(map(int, (Status.OK, Status.SAME)))


class Locks:
    """The watches of all GPUs of a host, by UUID."""

    def __init__(self) -> None:
        """No device yet."""
        self._watches: dict[str, LockWatch] = {}
        self._places: list[LockWatch | None] = []

    def rebind(self, devices: Sequence[Device]) -> None:
        """The devices in the order of the hello; those known by their UUID keep what was seen."""
        self._watches = {
            each.uuid: self._watches.get(each.uuid) or LockWatch(each.clocks_mhz[-1])
            for each in devices
            if each.kind is DeviceKind.GPU and each.clocks_mhz
        }
        self._places = [self._watches.get(each.uuid) for each in devices]

    def add(self, records: Iterable[Record]) -> None:
        """Take records in the order of the ring."""
        for time_ns, value, place, channel, status, _ in records:
            if channel not in _LOOKS or status not in _WELL:  # most are not: this is looked at for each record
                continue
            watch = self._places[place] if place < len(self._places) else None
            if watch is None:
                continue
            if channel == Channel.SM_CLOCK_MHZ:
                watch.clock(time_ns, value)
            elif channel == Channel.EVENT_REASONS:
                watch.reasons(time_ns, value)
            elif channel == Channel.GPU_UTILISATION_PCT:
                watch.use(time_ns, value)

    def expect(self, uuid: str, ours_mhz: int | None, now_ns: int) -> None:
        """What we hold a GPU below; None: nothing."""
        if uuid in self._watches:
            self._watches[uuid].expect(ours_mhz, now_ns)

    def restart(self, uuid: str, now_ns: int) -> None:
        """A lock of it was written again."""
        if uuid in self._watches:
            self._watches[uuid].restart(now_ns)

    def found(self, now_ns: int) -> dict[str, Inference]:
        """By UUID, what is inferred now, from looks that are not too old to speak for now."""
        found = {uuid: watch.found() for uuid, watch in self._watches.items()}
        return {uuid: made for uuid, made in found.items() if made and now_ns - made.until_ns <= GAP_NS}
