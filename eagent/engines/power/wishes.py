"""Who wants which host asleep or awake, and which wishes may be fulfilled now: pure, `now_ns` is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from eagent.errors import RefusedError

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class Kind(StrEnum):
    """What is wished of a host."""

    SLEEP = "sleep"
    WAKE = "wake"


@dataclass(frozen=True, slots=True)
class Consent:
    """That a host has handed over what it held, and who confirms it. Without one no host is switched off.

    It counts for one switching, and for none before: what a host holds after it was switched, it has to hand over anew.
    """

    host: str
    life: str  # of the host when it handed over, an id that each boot renews; for the record
    by: str  # who confirmed it
    jobs_gone: bool  # the engine has drained it
    rights_handed_over: bool  # its watts lie with others, or there is no budget
    duty_handed_over: bool  # it holds no token that keeps its holder awake
    given_ns: int  # monotonic
    until_ns: int

    def lacks(self) -> str | None:
        """What the host still holds."""
        if not self.jobs_gone:
            return "it still has jobs"
        if not self.rights_handed_over:
            return "it still holds rights to watts"
        return None if self.duty_handed_over else "it still holds a duty token"


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody wants a host asleep or awake."""

    host: str
    kind: Kind
    who: str
    why: str
    asked_ns: int
    consent: Consent | None = None  # SLEEP alone


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all switching. Defaults are those of config/power.toml."""

    act: bool = False  # False: nothing is ever begun
    protected: frozenset[str] = frozenset()  # never put to sleep
    switches_per_minute: int = 4  # of hosts, on and off together: the power's own limit, and that of a mistake
    least_on_s: float = 600.0  # from waking a host to putting it to sleep
    least_off_s: float = 30.0  # from putting it to sleep to waking it
    failures_max: int = 3  # in a row; then no host is put to sleep until a person says so


@dataclass(frozen=True, slots=True)
class Place:
    """What the rules need to know of a host."""

    order: int = 0  # hosts are woken in ascending order, and put to sleep in descending order
    off_s: float = 0.0  # the longest that switching it off may take


class Step(StrEnum):
    """What becomes of a wish now."""

    BEGIN = "begin"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Planned:
    """A wish, what would become of it now, and why."""

    wish: Wish
    step: Step
    because: str


class Wishes:
    """The wishes that wait, at most one a host, and what was switched when."""

    def __init__(self, rules: Rules, places: Mapping[str, Place]) -> None:
        """No wish yet; `places` are the hosts that can be switched."""
        self.rules = rules
        self._places = places
        self._waiting: dict[str, Wish] = {}
        self._running: dict[str, Wish] = {}
        self._begun: dict[str, tuple[int, Kind]] = {}  # each host's last switching
        self._recent: deque[int] = deque()  # when switchings of the last minute were begun
        self._failures = 0

    def ask(self, wish: Wish) -> Wish | None:
        """Take a wish in.

        Returns:
            The wish of the same host that it takes the place of. The newer one counts, but waking outdoes sleeping.

        Raises:
            RefusedError: it can't be fulfilled, whatever happens.
        """
        if wish.host not in self._places:
            raise RefusedError(f"{wish.host}: not a host that can be switched from here")
        if not wish.who or not wish.why:
            raise RefusedError(f"{wish.host}: a wish must say who asks and why")
        waiting = self._waiting.get(wish.host)
        if wish.kind is Kind.SLEEP:
            if why := self._never(wish, wish.asked_ns):
                raise RefusedError(f"{wish.host}: {why}")
            if waiting is not None and waiting.kind is Kind.WAKE:
                raise RefusedError(f"{wish.host}: {waiting.who} wants it awake: {waiting.why}")
        self._waiting[wish.host] = wish
        return waiting

    def judge(self, wish: Wish, now_ns: int) -> Planned:
        """What would become of a wish if it were asked now, for a host that can be switched. It is not asked."""
        step, because = self._judge(wish, self.rules.switches_per_minute - self._switched_in_minute(now_ns), now_ns)
        return Planned(wish, step, because)

    def withdraw(self, host: str) -> Wish | None:
        """Forget the wish that waits for this host, and return it."""
        return self._waiting.pop(host, None)

    def plan(self, now_ns: int) -> list[Planned]:
        """What becomes of each wish now, in the order in which they count: what acting would do, whatever the mode."""
        room = self.rules.switches_per_minute - self._switched_in_minute(now_ns)
        planned = []
        for wish in sorted(self._waiting.values(), key=self._rank):
            step, because = self._judge(wish, room, now_ns)
            room -= step is Step.BEGIN
            planned.append(Planned(wish, step, because))
        return planned

    def begin(self, now_ns: int) -> list[Planned]:
        """Take out the wishes that begin now, and those that are refused now. Observing, that is none of either."""
        if not self.rules.act:
            return []
        taken = [planned for planned in self.plan(now_ns) if planned.step is not Step.WAIT]
        for planned in taken:
            wish = self._waiting.pop(planned.wish.host)
            if planned.step is Step.BEGIN:
                self._running[wish.host] = wish
                self._begun[wish.host] = (now_ns, wish.kind)
                self._recent.append(now_ns)
        return taken

    def end(self, host: str, succeeded: bool | None) -> None:
        """A switching that was begun has ended; None: it was broken off, which says nothing about the means."""
        del self._running[host]
        if succeeded is not None:
            self._failures = 0 if succeeded else self._failures + 1

    @property
    def failures(self) -> int:
        """How many switchings in a row have failed."""
        return self._failures

    def resume(self) -> None:
        """A person has looked at the failures."""
        self._failures = 0

    def _rank(self, wish: Wish) -> tuple[bool, int, int, str]:
        sleeps = wish.kind is Kind.SLEEP
        order = self._places[wish.host].order
        return sleeps, -order if sleeps else order, wish.asked_ns, wish.host

    def _switched_in_minute(self, now_ns: int) -> int:
        while self._recent and now_ns - self._recent[0] >= MINUTE_NS:
            self._recent.popleft()
        return len(self._recent)

    def _judge(self, wish: Wish, room: int, now_ns: int) -> tuple[Step, str]:
        sleeps = wish.kind is Kind.SLEEP
        if sleeps and (why := self._never(wish, now_ns)):
            return Step.REFUSE, why
        if (running := self._running.get(wish.host)) is not None:
            return Step.WAIT, f"{running.who}'s wish to {_verb(running.kind)} it is being fulfilled"
        if sleeps and self._failures >= self.rules.failures_max:
            return Step.WAIT, f"{self._failures} switchings in a row have failed: a person must look, and resume"
        if (left_s := self._rests_s(wish, now_ns)) > 0:
            return Step.WAIT, f"it was switched a short while ago: {left_s:.0f} s to wait"
        if room <= 0:
            return Step.WAIT, f"{self.rules.switches_per_minute} hosts a minute are switched at most"
        return Step.BEGIN, wish.why

    def _rests_s(self, wish: Wish, now_ns: int) -> float:
        last = self._begun.get(wish.host)
        if last is None or last[1] is wish.kind:
            return 0.0
        least_s = self.rules.least_on_s if wish.kind is Kind.SLEEP else self.rules.least_off_s
        return least_s - (now_ns - last[0]) / SECOND_NS

    def _never(self, wish: Wish, now_ns: int) -> str | None:
        """Why a host must not be put to sleep by this wish, now or later."""
        if wish.host in self.rules.protected:
            return "it is protected"
        consent = wish.consent
        if consent is None:
            return "nobody confirms that it has handed over"
        if consent.host != wish.host:
            return f"the consent is that of {consent.host}"
        if lacks := consent.lacks():
            return lacks
        if consent.given_ns > now_ns:
            return "the consent is from the future"
        if wish.host in self._begun and consent.given_ns <= self._begun[wish.host][0]:
            return "it was switched since it handed over"
        left_s, off_s = (consent.until_ns - now_ns) / SECOND_NS, self._places[wish.host].off_s
        if left_s < off_s:
            return f"switching it off may take {off_s:.0f} s, and the consent ends {max(0.0, left_s):.0f} s from now"
        return None


def _verb(kind: Kind) -> str:
    return "put to sleep" if kind is Kind.SLEEP else "wake"
