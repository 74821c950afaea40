"""Fulfil the wishes: switch, read back, and tell what was done. What may be begun, `wishes` decides."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from eagent.engines.power.adapter import Adapter, Clock, PowerState, await_state
from eagent.engines.power.wishes import Kind, Place, Planned, Rules, Step, Wish, Wishes
from eagent.errors import EagentError

RECORD_ENTRIES_MAX = 10_000  # in memory; who wants all of them keeps what `tell` hands out
READ_BACK_EVERY_S = 2.0
TURN_S = 1.0


class Event(StrEnum):
    """What happened to a wish. Each wish ends with exactly one of those from DONE on."""

    ASKED = "asked"
    BEGUN = "begun"  # told before anything is done
    DONE = "done"  # read back
    ALREADY = "already"  # so, before anything was done
    FAILED = "failed"
    REFUSED = "refused"
    REPLACED = "replaced"  # by a newer wish for the host
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the record."""

    at_ns: int  # monotonic
    event: Event
    wish: Wish
    detail: str = ""
    state: PowerState = PowerState.UNKNOWN  # read at this moment, else unknown
    power_w: float | None = None  # what the host drew then, as its adapter measures it; None: not measured


@dataclass(frozen=True, slots=True)
class _Happening:
    event: Event
    detail: str
    state: PowerState = PowerState.UNKNOWN
    power_w: float | None = None


Tell = Callable[[Entry], None]


@dataclass(frozen=True, slots=True)
class Switch:
    """One host: who switches it, and what is known of it."""

    adapter: Adapter
    order: int = 0
    confirm_s: float = 60.0  # from the end of switching until the state must have been read back


class Role:
    """Switches the hosts of a site. It begins nothing of its own accord, and nothing at all unless `rules.act`."""

    def __init__(self, switches: Mapping[str, Switch], rules: Rules, tell: Tell, clock: Clock | None = None) -> None:
        """Nothing is wished yet.

        Args:
            switches: The hosts, by name.
            rules: What holds for all of them.
            tell: Is handed each entry of the record. If it raises when told of a beginning, that is not begun.
            clock: How time is told.
        """
        self._switches = switches
        self._tell = tell
        self._clock = clock or Clock()
        self._record: deque[Entry] = deque(maxlen=RECORD_ENTRIES_MAX)
        self._running: dict[str, asyncio.Task[_Happening]] = {}
        self._untold = 0
        self._broken_off: dict[str, str] = {}  # why
        places = {host: Place(switch.order, switch.adapter.off_s) for host, switch in switches.items()}
        self._wishes = Wishes(rules, places)

    @property
    def record(self) -> tuple[Entry, ...]:
        """What has happened, oldest first."""
        return tuple(self._record)

    @property
    def untold(self) -> int:
        """How many entries of the record, beginnings not among them, could not be told."""
        return self._untold

    @property
    def failures(self) -> int:
        """How many switchings in a row have failed."""
        return self._wishes.failures

    @property
    def switching(self) -> dict[str, Kind]:
        """The hosts that are being switched, and what to."""
        return {host: Kind(task.get_name()) for host, task in self._running.items()}

    def judge(self, wish: Wish) -> Planned:
        """What would become of a wish if it were asked now. It is not asked."""
        return self._wishes.judge(wish, self._clock.now_ns())

    def ask(self, wish: Wish) -> None:
        """Take in a wish.

        Raises:
            RefusedError: it can't be fulfilled. That is in the record, too.
        """
        try:
            replaced = self._wishes.ask(wish)
        except EagentError as refusal:
            self._note(wish, _Happening(Event.REFUSED, str(refusal)))
            raise
        if replaced is not None:
            self._note(replaced, _Happening(Event.REPLACED, f"by {wish.who}'s wish to {wish.kind} it"))
        self._note(wish, _Happening(Event.ASKED, wish.why))

    def withdraw(self, host: str, why: str) -> None:
        """Take back what is wished of a host; a consent is taken back the same way.

        If it is being switched off, that is broken off: a host that was asked to shut down may go on doing so, but its
        power is not taken. Waking is not broken off.
        """
        if (wish := self._wishes.withdraw(host)) is not None:
            self._note(wish, _Happening(Event.WITHDRAWN, why))
        task = self._running.get(host)
        if task is not None and task.get_name() == Kind.SLEEP:
            self._break_off(host, why)

    def plan(self) -> list[Planned]:
        """What would become of each wish now, in any mode, without doing it."""
        return self._wishes.plan(self._clock.now_ns())

    def resume(self) -> None:
        """Put hosts to sleep again after failures have stopped that."""
        self._wishes.resume()

    def turn(self) -> None:
        """Begin what is due. It goes on in tasks of its own, at most one a host."""
        for planned in self._wishes.begin(self._clock.now_ns()):
            if planned.step is Step.REFUSE:
                self._note(planned.wish, _Happening(Event.REFUSED, planned.because))
                continue
            task = asyncio.create_task(self._fulfil(planned.wish), name=planned.wish.kind)
            self._running[planned.wish.host] = task
            task.add_done_callback(functools.partial(self._ended, planned.wish))

    async def settled(self) -> None:
        """Wait until nothing is being switched."""
        while self._running:
            await asyncio.wait(self._running.values())

    async def run(self, stopping: asyncio.Event) -> None:
        """Take a turn each second until told to stop; then break off what is being switched."""
        try:
            while not stopping.is_set():
                self.turn()
                await self._clock.sleep(TURN_S)
        finally:
            for host in self._running:
                self._break_off(host, "the power role ends")
            await self.settled()

    def _break_off(self, host: str, why: str) -> None:
        self._broken_off[host] = why
        self._running[host].cancel()

    async def _fulfil(self, wish: Wish) -> _Happening:
        """Switch a host, unless it is so already, and read it back."""
        switch = self._switches[wish.host]
        adapter, wanted = switch.adapter, PowerState.OFF if wish.kind is Kind.SLEEP else PowerState.ON
        before = await adapter.state(wish.host)
        drawn_w = await self._drawn_w(wish.host)
        if before is wanted:
            return _Happening(Event.ALREADY, f"it was {wanted} already", before, drawn_w)
        self._write(wish, _Happening(Event.BEGUN, wish.why, before, drawn_w))
        await (adapter.off(wish.host) if wanted is PowerState.OFF else adapter.on(wish.host))
        every_s = min(READ_BACK_EVERY_S, switch.confirm_s / 4)
        state = await await_state(lambda: adapter.state(wish.host), wanted, switch.confirm_s, every_s, self._clock)
        drawn_w = await self._drawn_w(wish.host)
        if state is wanted:
            return _Happening(Event.DONE, f"read back as {state}", state, drawn_w)
        detail = f"{wish.host}: its power is {state}, {switch.confirm_s:g} s after it was switched {wanted}"
        return _Happening(Event.FAILED, detail, state, drawn_w)

    def _ended(self, wish: Wish, task: asyncio.Task[_Happening]) -> None:
        """Take down how it ended: a callback, because a task that is cancelled before its first step runs nothing."""
        why = self._broken_off.pop(wish.host, "")
        del self._running[wish.host]
        if task.cancelled():
            ending = _Happening(Event.WITHDRAWN, why)
        elif (problem := task.exception()) is None:
            ending = task.result()
        elif isinstance(problem, EagentError):
            ending = _Happening(Event.FAILED, str(problem))
        else:  # the fault of an adapter or of who is told; its text may hold anything, so it is not told
            ending = _Happening(Event.FAILED, f"{type(problem).__name__}, where no such error was expected")
        succeeded = None if ending.event is Event.WITHDRAWN else ending.event is not Event.FAILED
        self._wishes.end(wish.host, succeeded)
        self._note(wish, ending)

    async def _drawn_w(self, host: str) -> float | None:
        try:
            return await self._switches[host].adapter.power_w(host)
        except EagentError:
            return None

    def _write(self, wish: Wish, ending: _Happening) -> None:
        entry = Entry(self._clock.now_ns(), ending.event, wish, ending.detail, ending.state, ending.power_w)
        self._record.append(entry)
        self._tell(entry)

    def _note(self, wish: Wish, ending: _Happening) -> None:
        """Write what has happened already: that it can't be told must not hide it, nor keep the rest from happening."""
        try:
            self._write(wish, ending)
        except Exception:
            self._untold += 1
