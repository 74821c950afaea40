"""What did this piece of my job draw? `with eagent.measure("epoch") as window: ...`, then `window.energy_j`.

A window costs its process two looks at the clock and an entry in a list. Joules are asked for when somebody wants them,
many windows in one request, and answered by the host's agent for the devices that this process, or one that it
started, held meanwhile. Nothing here raises an error into a window's code: without an agent a window has no joules, and
says why.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast, overload

from eagent.asking import TIMEOUT_S, WINDOWS_MAX, ask
from eagent.errors import EagentError, InputError
from eagent.joules import DeviceJoules, Joules
from eagent.summary import LOST, Summary, Tally

KEPT_MAX = 65_536  # windows that ended and were not asked for yet; of older ones only number and time are kept
ALONG_MAX = 64  # windows in a request for one of them: more would keep who waits for it
ROOM = 256  # as many are let go at a time

F = TypeVar("F", bound=Callable[..., Any])

_now = time.monotonic_ns  # CLOCK_MONOTONIC, as the agent's
_inside: contextvars.ContextVar[Window | None] = contextvars.ContextVar("eagent window", default=None)
_ended: deque[Window] = deque()  # not asked for yet; to append and to pop need no lock
_tally = Tally()  # of those that have left it
_asking = threading.Lock()  # held while somebody asks; whoever ends a window never waits for it
_life = 0  # how many forks away this process is from the first


class Window:
    """A named interval. Entered once, by `with`, or by `begin` and `end`; or put on a function, once for each call."""

    __slots__ = ("_counted", "_devices", "_final", "_joules", "_life", "begin_ns", "end_ns", "name", "parent")

    def __init__(self, name: str = "", devices: Sequence[str] = ()) -> None:
        """A window that has not begun; see `measure`."""
        self.name = name
        self.parent: Window | None = None  # that it lies in
        self.begin_ns = 0
        self.end_ns = 0
        self._devices = devices
        self._joules: Joules | None = None
        self._final = False  # no later question would be answered otherwise
        self._counted = False  # in the summary of its name
        self._life = 0

    def begin(self) -> Window:
        """Begin now.

        Raises:
            RuntimeError: it has begun before.
        """
        if self.begin_ns:
            raise RuntimeError("a window begins once: call eagent.measure() for each")
        parent = _inside.get()
        while parent is not None and parent.end_ns:  # ended elsewhere: in another task, or in a generator
            parent = parent.parent
        self.parent = parent
        _inside.set(self)
        self.begin_ns = _now()
        return self

    def end(self) -> None:
        """End now. The first end stands.

        Raises:
            RuntimeError: it has not begun.
        """
        end_ns = _now()
        if self.end_ns:
            return
        if not self.begin_ns:
            raise RuntimeError("a window begins before it ends")
        self.end_ns = end_ns
        self._life = _life
        _inside.set(self.parent)
        _ended.append(self)
        if len(_ended) > KEPT_MAX:
            _make_room()

    __enter__ = begin

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End, whatever happened inside."""
        self.end()

    def __call__(self, function: F) -> F:
        """Put windows of this name around the calls of a function or coroutine function.

        Raises:
            TypeError: it is a generator function, whose code runs when somebody else wants it to.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} is a generator: use `with eagent.measure(...)` inside of it")
        name, devices = self.name or function.__qualname__, self._devices

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with Window(name, devices):
                return await function(*args, **kwargs)

        def called(*args: Any, **kwargs: Any) -> Any:
            with Window(name, devices):
                return function(*args, **kwargs)

        wrapper = awaited if inspect.iscoroutinefunction(function) else called
        return cast(F, functools.update_wrapper(wrapper, function))

    @property
    def seconds(self) -> float | None:
        """How long it was; None while it has not ended."""
        return (self.end_ns - self.begin_ns) / 1e9 if self.end_ns else None

    def energy(self) -> Joules:
        """What was drawn. Asks the agent, unless it has answered already, and waits: at most some seconds."""
        if not self.end_ns:
            return Joules(why="the window has not ended")
        if not self._final:
            if self._life != _life:
                return Joules(why="the window ended before this process was forked off: ask in the process it ended in")
            _resolve(self)
        return self._joules or Joules(why="nobody was asked")

    @property
    def energy_j(self) -> float | None:
        """Joules, of all devices together; None where they are not known, and then `why` says why."""
        return self._told_once.energy_j

    @property
    def half_width_j(self) -> float | None:
        """In 95 of 100 windows the truth is within `energy_j` +- this, but for the boards' own error, `gain_j`."""
        return self._told_once.half_width_j

    @property
    def gain_j(self) -> float | None:
        """What the boards' own sensors may be off, always the same way."""
        return self._told_once.gain_j

    @property
    def mean_w(self) -> float | None:
        """The mean power."""
        energy_j = self.energy_j
        return energy_j / self.seconds if energy_j is not None and self.seconds else None

    @property
    def devices(self) -> tuple[DeviceJoules, ...]:
        """The same for each device."""
        return self._told_once.devices

    @property
    def flags(self) -> tuple[str, ...]:
        """What is doubtful about it: "stuck", "aliasing", "disagreement", "gap", "reset"."""
        return self._told_once.flags

    @property
    def simulated(self) -> bool:
        """Whether the joules are a simulator's."""
        return self._told_once.simulated

    @property
    def why(self) -> str:
        """Why there are no joules; empty when there are."""
        return self._told_once.why

    @property
    def _told_once(self) -> Joules:
        """What was told at the first time, even if that was that nobody answers: no second wait for each property."""
        return self._joules or self.energy()

    def __str__(self) -> str:
        """For a person. Asks, as `energy` does."""
        took = "not ended" if self.seconds is None else f"{self.seconds:.3f} s"
        name, joules = self.name or "window", self._told_once
        if joules.energy_j is None or joules.half_width_j is None:
            return f"{name}: {took}, no joules: {joules.why}"
        doubts = f" ({', '.join(joules.flags)})" if joules.flags else ""
        kind = " simulated" if joules.simulated else ""
        where = ", ".join(device.device for device in joules.devices)
        return f"{name}: {took}, {joules.energy_j:.2f} J +- {joules.half_width_j:.2f} J{kind} on {where}{doubts}"

    def __repr__(self) -> str:
        """For a programmer. Asks nobody."""
        return f"<eagent.Window {self.name!r} of {self.seconds} s>"


@overload
def measure(name: str = "", devices: Sequence[str] = ()) -> Window: ...
@overload
def measure(name: F) -> F: ...
def measure(name: str | F = "", devices: Sequence[str] = ()) -> Window | F:
    """A window, for `with` or as a decorator: `@eagent.measure("step")`, or `@eagent.measure` alone.

    Args:
        name: What it is called; names may be used again and again.
        devices: Only these ("gpu0", a UUID, a PCI address). By default all that processes of the caller held meanwhile.
    """
    if callable(name):
        return Window()(name)
    return Window(name, tuple(devices))


def measured() -> tuple[Summary, ...]:
    """All windows that this process has ended so far, one summary for each name. Asks for those not asked for yet."""
    why = ""
    with _asking:
        while not why and (batch := _take([], WINDOWS_MAX)):
            why = _ask_for(batch)
        left = [window for window in _ended.copy() if not window._counted]
        return _tally.summaries([(window.name, window.seconds or 0.0) for window in left], why)


def _resolve(window: Window) -> None:
    """Ask for a window, and for the latest others along with it."""
    if not _asking.acquire(timeout=2 * TIMEOUT_S):
        window._joules = Joules(why="another thread of this process waits for the agent")
        return
    try:
        if not window._final:  # somebody may have asked for it meanwhile
            _ask_for(_take([window], ALONG_MAX))
    finally:
        _asking.release()


def _take(batch: list[Window], most: int) -> list[Window]:
    """Fill a request of at most so many with the latest windows; all in it ask for the same devices."""
    others: list[Window] = []
    while len(batch) + len(others) < most:
        try:
            window = _ended.pop()
        except IndexError:
            break
        if window._counted or window in batch[:1]:
            continue
        wanted = not batch or window._devices == batch[0]._devices
        (batch if wanted else others).append(window)
    _ended.extend(reversed(others))
    return batch


def _ask_for(batch: list[Window]) -> str:
    """Ask, and tell the windows; returns why the agent can't be asked now, if it can't."""
    why = ""
    try:
        answers = ask([(window.begin_ns, window.end_ns) for window in batch], batch[0]._devices)
    except InputError as problem:  # of all of them: they name the same devices
        answers = [Joules(why=str(problem))] * len(batch)
    except Exception as problem:  # a job that wants to know its joules must not end because it can't
        why = str(problem) if isinstance(problem, EagentError) else f"asking failed: {problem!r}"
        answers = [Joules(why=why)] * len(batch)
    for window, answer in zip(batch, answers, strict=True):
        window._joules, window._final = answer, not why
    fresh = [window for window in batch if not window._counted]
    if why:
        _ended.extend(reversed(fresh))
    else:
        _count(fresh, [window._joules or LOST for window in fresh])
    return why


def _count(windows: Sequence[Window], joules: Sequence[Joules]) -> None:
    for window in windows:
        window._counted = True
    _tally.add([(window.name, window.seconds or 0.0, told) for window, told in zip(windows, joules, strict=True)])


def _make_room() -> None:
    """Let the oldest windows go. Never waits: while somebody asks, he takes them away himself."""
    if _asking.acquire(blocking=False):
        try:
            old = [_ended.popleft() for _ in range(min(ROOM, len(_ended)))]
            fresh = [window for window in old if not window._counted]
            _count(fresh, [LOST] * len(fresh))
        finally:
            _asking.release()


def _begin_anew() -> None:
    """In the child of a fork: its parent's windows are its parent's, and so is whoever held the lock."""
    global _asking, _life
    _asking = threading.Lock()
    _life += 1
    _ended.clear()
    _tally.clear()


os.register_at_fork(after_in_child=_begin_anew)
