"""Which processes held which device when: what the warden sees about once a second, kept for a day.

A process is seen at looks. Between the first and the last look that show it, it held the device; how long before and
after, up to the next looks, nobody knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from eagent.agent.lineage import Identity, Process
from eagent.model import Channel, Device, Status
from eagent.telemetry.records import Record

KEEP_NS = 86_400_000_000_000
HOLDINGS_MAX = 4096  # of one device
REACH_NS = 2_500_000_000  # looks are a second apart: farther than this one look does not speak
FRESH_NS = 5_000_000_000  # several missed looks in a row are no hiccup
NOBODY = -1  # whose user is not known

Look = Callable[[int, int], Process | None]


@dataclass(slots=True)
class Holding:
    """One process on one device. Monotonic times of looks; 0: there was none."""

    process: Process
    before_ns: int  # the last look that did not show it yet
    first_ns: int
    last_ns: int
    after_ns: int = 0  # the first look that did not show it any more

    def seen(self, at_ns: int) -> bool:
        """Whether a look at this time showed it, or would have."""
        return self.first_ns <= at_ns <= self.last_ns

    def overlaps(self, begin_ns: int, end_ns: int) -> bool:
        """Whether it certainly held the device at some time of a window."""
        return self.first_ns <= end_ns and self.last_ns >= begin_ns


@dataclass(slots=True)
class _Place:
    """The looks at one device."""

    since_ns: int = 0  # how far back it is known
    looked_ns: int = 0  # the newest look that is whole
    refused: bool = False  # the driver did not tell
    past: deque[Holding] = field(default_factory=deque)
    now: dict[Identity, Holding] = field(default_factory=dict)
    look_ns: int = 0  # under way
    due: int = 0  # pids that it still lacks
    fresh: dict[Identity, Process] = field(default_factory=dict)

    def begin(self, time_ns: int, count: int) -> None:
        if time_ns <= self.look_ns:
            return  # a ring that was opened again
        if self.due:  # some could not be told: those that could were there
            self._finish()
        self.look_ns, self.due, self.fresh = time_ns, count, {}
        self.refused = False
        self.since_ns = self.since_ns or time_ns
        if not count:
            self._finish()

    def refuse(self, time_ns: int) -> None:
        self.refused = True
        self.looked_ns = max(self.looked_ns, time_ns)

    def show(self, process: Process) -> None:
        if not self.due:
            return
        self.fresh[process.identity] = process
        self.due -= 1
        if not self.due:
            self._finish()

    def _finish(self) -> None:
        at_ns = self.look_ns
        for identity, process in self.fresh.items():
            if identity in self.now:
                self.now[identity].process, self.now[identity].last_ns = process, at_ns
            else:
                self.now[identity] = Holding(process, self.looked_ns, at_ns, at_ns)
        for identity in [each for each in self.now if each not in self.fresh]:
            self.now[identity].after_ns = at_ns
            self.past.append(self.now.pop(identity))
        self.due, self.looked_ns = 0, at_ns
        while self.past and (len(self.past) > HOLDINGS_MAX or self.past[0].last_ns < at_ns - KEEP_NS):
            self.since_ns = max(self.since_ns, self.past.popleft().last_ns)

    def all(self) -> list[Holding]:
        return [*self.past, *self.now.values()]


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of one device and one caller over one window."""

    held: bool
    others: int = 0  # processes that are not the caller's


class Holders:
    """The history of all devices. Fed with the ring's records in order."""

    def __init__(self, look: Look) -> None:
        """No history; `look` tells which process had a pid at a monotonic time."""
        self._look = look
        self._devices: tuple[str, ...] = ()
        self._places: dict[str, _Place] = {}

    def bind(self, devices: Sequence[Device]) -> None:
        """The devices of a hello, whose places the records name; what is known by UUID keeps its past."""
        self._devices = tuple(device.uuid for device in devices)
        for uuid in self._devices:
            self._places.setdefault(uuid, _Place())

    def add(self, record: Record) -> None:
        """Take one record of the ring; those of other channels are nothing to us."""
        time_ns, value, number, channel, status, _ = record
        if channel not in (Channel.COMPUTE_PROCESSES, Channel.COMPUTE_PID) or number >= len(self._devices):
            return
        place = self._places[self._devices[number]]
        if channel == Channel.COMPUTE_PROCESSES:
            if status in (Status.OK, Status.SAME):
                place.begin(time_ns, value)
            else:
                place.refuse(time_ns)
        elif status in (Status.OK, Status.SAME):
            place.show(self._look(value, time_ns) or Process((value, 0), NOBODY))

    def looked_ns(self, uuid: str) -> int:
        """Up to when it is known who held a device."""
        place = self._places.get(uuid)
        return place.looked_ns if place else 0

    def since_ns(self, uuid: str) -> int:
        """From when on it is known who held a device; 0: never."""
        place = self._places.get(uuid)
        return place.since_ns if place else 0

    def told(self, uuid: str) -> bool:
        """Whether the driver tells who holds a device, and the warden which processes they are."""
        place = self._places.get(uuid)
        return place is not None and not place.refused and place.due == 0

    def users(self, uuid: str, now_ns: int) -> frozenset[int] | None:
        """The users whose processes hold a device now; None where that is not known of all of them, or not fresh."""
        processes = self.processes(uuid, now_ns)
        if processes is None:
            return None
        users = frozenset(process.uid for process in processes)
        return None if NOBODY in users else users

    def processes(self, uuid: str, now_ns: int) -> tuple[Process, ...] | None:
        """The processes that hold a device now; None where that is not known, or not fresh."""
        place = self._places.get(uuid)
        if place is None or place.refused or place.due or now_ns - place.looked_ns > FRESH_NS:
            return None
        return tuple(holding.process for holding in place.now.values())

    def held(self, uuid: str, caller: Process, begin_ns: int, end_ns: int, *, of_all_users: bool = False) -> Held:
        """Whether a process of the caller's held the device in the window, and how many others did.

        To be the caller's it must descend from the caller and, but with `of_all_users`, be of the caller's user.
        """
        place = self._places.get(uuid)
        if place is None:
            return Held(held=False)
        holds, others = False, 0
        whole = [each for each in place.all() if _near(each, begin_ns, end_ns)]
        for each in whole:
            if not each.process.descends_from(caller.identity):
                others += each.overlaps(begin_ns, end_ns)
            elif of_all_users or each.process.uid == caller.uid:
                first_ns, last_ns = _reach(each, whole, None if of_all_users else caller.uid)
                holds = holds or (first_ns <= end_ns and last_ns >= begin_ns)
        return Held(holds, others)


def _near(each: Holding, begin_ns: int, end_ns: int) -> bool:
    return each.first_ns - REACH_NS <= end_ns and each.last_ns + REACH_NS >= begin_ns


def _reach(each: Holding, others: Sequence[Holding], uid: int | None) -> tuple[int, int]:
    """From when to when a process counts as holding: up to the looks around, if no stranger is seen there.

    Power tells what runs, and a stranger's is none of the caller's business; to no user (None) anybody is a stranger.
    """

    def strange(at_ns: int) -> bool:
        return uid is not None and any(other.process.uid != uid and other.seen(at_ns) for other in others)

    first_ns, last_ns = each.first_ns, each.last_ns
    if each.before_ns and not strange(each.before_ns):
        first_ns = max(each.before_ns, first_ns - REACH_NS)
    if not each.after_ns:
        last_ns += REACH_NS
    elif not strange(each.after_ns):
        last_ns = min(each.after_ns, last_ns + REACH_NS)
    return first_ns, last_ns
