"""What must hold, by the driver's own log. Pure: times are the plant's seconds, limits watts.

While a budget is in force the sum of limits is never above its envelope, but for exposure: somebody else, or the driver
itself, has raised one. That is over within REACT_S of the time in which eagent's warden can do anything at all. What
they make of a GPU that is detached is no excuse: the others leave it room for its greatest limit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from eagent.sim._faults import FOREIGN_PID

REACT_S = 3.0  # the promise is 2 s; two cores are shared by other tests
LOOK_S = 1.25  # each limit is read about once a second
TOO_MUCH_W = 0.002  # limits are whole milliwatts
NOBODY = 0  # who writes when a driver forgets


@dataclass(frozen=True, slots=True)
class Write:
    """One entry of the log."""

    at_s: float
    gpu: int
    new_w: float
    pid: int


@dataclass(slots=True)
class Timeline:
    """What the round knows of itself, in order of time."""

    limits_w: list[float]
    strangers: frozenset[int]  # pids of writers that are none of eagent's
    envelopes_w: list[tuple[float, float]] = field(default_factory=list)  # infinite: nothing is promised
    able: list[tuple[float, bool]] = field(default_factory=list)  # whether a warden lives that can set a limit
    out: list[tuple[float, int, bool]] = field(default_factory=list)  # when a GPU was said to be detached, and not so

    def is_out(self, gpu: int, at_s: float) -> bool:
        """Whether a GPU was detached then, by all that was said."""
        said = [is_out for since_s, each, is_out in self.out if each == gpu and since_s <= at_s]
        return bool(said) and said[-1]

    def able_s(self, from_s: float, to_s: float) -> float:
        """For how long of this time a warden could have done something."""
        total_s, since_s = 0.0, None
        for at_s, is_able in [*self.able, (math.inf, False)]:
            if is_able and since_s is None:
                since_s = at_s
            elif not is_able and since_s is not None:
                total_s += max(0.0, min(at_s, to_s) - max(since_s, from_s))
                since_s = None
        return total_s


@dataclass(frozen=True, slots=True)
class Exposure:
    """A time in which the sum was above the envelope because of somebody else."""

    from_s: float
    to_s: float
    energy_j: float  # of limits above the envelope, not drawn


def judge(writes: Sequence[Write], timeline: Timeline, end_s: float) -> tuple[list[str], list[Exposure]]:
    """What is wrong, a line each, and the exposures.

    Args:
        writes: The log since the round began.
        timeline: The rest.
        end_s: Until when.
    """
    events: list[tuple[float, Write | float]] = sorted(
        [*((each.at_s, each) for each in writes), *timeline.envelopes_w], key=lambda event: event[0]
    )
    course = _Course(timeline)
    for at_s, what in events:
        course.pass_to(at_s)
        course.meet(at_s, what)
    course.pass_to(end_s)
    course.close(end_s)
    return course.wrong, course.exposures


class _Course:
    """Limits and envelope from event to event."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._limits_w = list(timeline.limits_w)
        self._envelope_w = math.inf
        self._raised: dict[int, tuple[float, float]] = {}  # per GPU: when others raised it, and by how much
        self._begun_s: float | None = None  # of the overrun that is open
        self._energy_j = self._last_s = 0.0
        self._is_told = False
        self.wrong: list[str] = []
        self.exposures: list[Exposure] = []

    @property
    def _over_w(self) -> float:
        return sum(self._limits_w) - self._envelope_w

    def _unexcused_w(self, at_s: float) -> float:
        """What of the overrun is not what others have raised so lately that the warden may not have undone it."""
        fresh = (
            raise_w for since_s, raise_w in self._raised.values() if self._timeline.able_s(since_s, at_s) <= REACT_S
        )
        return self._over_w - sum(fresh)

    def pass_to(self, at_s: float) -> None:
        """Let time go by."""
        if self._begun_s is None:
            return
        self._energy_j += self._over_w * (at_s - self._last_s)
        self._last_s = at_s
        if self._unexcused_w(at_s) > TOO_MUCH_W and not self._is_told:
            late_s = self._timeline.able_s(self._begun_s, at_s)
            self._tell(f"{at_s:.3f} s: exposure was not ended in {late_s:.1f} s in which a warden could have")

    def meet(self, at_s: float, what: Write | float) -> None:
        """An event."""
        if isinstance(what, Write):
            self._write(what)
        else:
            self._envelope_w = what
        if self._over_w <= TOO_MUCH_W:
            self.close(at_s)
            return
        if self._begun_s is None:
            self._begun_s = self._last_s = at_s
        if self._unexcused_w(at_s) > TOO_MUCH_W and not self._is_told:
            self._tell(self._overrun(at_s, what))

    def _write(self, what: Write) -> None:
        rise_w = what.new_w - self._limits_w[what.gpu]
        self._limits_w[what.gpu] = what.new_w
        since_s, excess_w = self._raised.pop(what.gpu, (what.at_s, 0.0))
        is_strangers = what.pid in self._timeline.strangers and not self._timeline.is_out(what.gpu, what.at_s)
        if is_strangers or rise_w < 0:
            excess_w += rise_w
        if excess_w > 0:
            self._raised[what.gpu] = (what.at_s if is_strangers and rise_w > 0 else since_s, excess_w)

    def close(self, at_s: float) -> None:
        """The overrun, if there is one, is over."""
        if self._begun_s is not None:
            self.exposures.append(Exposure(self._begun_s, at_s, self._energy_j))
        self._begun_s, self._energy_j, self._is_told = None, 0.0, False

    def _tell(self, line: str) -> None:
        self.wrong.append(line)
        self._is_told = True

    def _overrun(self, at_s: float, what: Write | float) -> str:
        limits = " + ".join(f"{limit_w:g}" for limit_w in self._limits_w)
        sums = f"{limits} = {sum(self._limits_w):g} W under an envelope of {self._envelope_w:g} W"
        if isinstance(what, Write):
            return f"{at_s:.3f} s: pid {what.pid} set gpu{what.gpu} to {what.new_w:g} W: {sums}"
        return f"{at_s:.3f} s: a budget was said to be in force: {sums}"


@dataclass(slots=True)
class Legal:
    """What one knob may be at in the end: where its owner had it, or what somebody else has made of it since."""

    owners: set[float]
    foreign: set[float] = field(default_factory=set)

    def write(self, value: float) -> None:
        """Somebody else wrote it: eagent may respect that, or put the earlier value back."""
        self.foreign.add(value)

    def drop(self, value: float) -> None:
        """The driver dropped it: its own default is a new baseline, while what eagent holds is held again."""
        self.owners.add(value)

    @property
    def values(self) -> set[float]:
        """All of them."""
        return self.owners | self.foreign


def misplaced(
    limits_w: Sequence[float],
    legal: Sequence[Legal],
    safe_w: float | None,
    envelope_w: float,
    out: Collection[int] = (),
) -> list[str]:
    """The limits that are not where they belong when nobody leases them, a line each.

    Args:
        limits_w: Where they are.
        legal: Where they may be without a budget.
        safe_w: The safe cap, if a budget stands.
        envelope_w: That budget's.
        out: GPUs that are detached: whoever has them sets them.
    """
    wrong = []
    for gpu, (limit_w, may) in enumerate(zip(limits_w, legal, strict=True)):
        values = may.values if safe_w is None else {safe_w, *may.foreign}
        if gpu not in out and not _is_one_of(limit_w, values):
            wrong.append(f"gpu{gpu}: its limit is {limit_w:g} W, and should be one of {sorted(values)}")
    if safe_w is not None and sum(limits_w) > envelope_w + TOO_MUCH_W:
        wrong.append(f"{sum(limits_w):g} W of limits under a budget's envelope of {envelope_w:g} W")
    return wrong


def _is_one_of(value: float, values: Collection[float]) -> bool:
    return any(abs(value - each) < TOO_MUCH_W for each in values)


def is_written_over(writes: Sequence[Write], timeline: Timeline) -> bool:
    """Whether eagent set a limit to something new between a driver's forgetting it and its own next look.

    It can't know then what was in force before its write, and tells no exposure. Setting again what it held shows that
    it has looked.
    """
    limits_w, forgotten = list(timeline.limits_w), dict[int, tuple[float, float]]()
    for each in writes:
        if each.pid == NOBODY:
            forgotten.setdefault(each.gpu, (each.at_s, limits_w[each.gpu]))
        elif each.pid not in timeline.strangers and each.gpu in forgotten:
            at_s, held_w = forgotten.pop(each.gpu)
            if timeline.able_s(at_s, each.at_s) < LOOK_S and abs(each.new_w - held_w) > TOO_MUCH_W:
                return True
        limits_w[each.gpu] = each.new_w
    return False


def strangers(harness_pid: int) -> frozenset[int]:
    """Whose writes are none of eagent's."""
    return frozenset((NOBODY, FOREIGN_PID, harness_pid))
