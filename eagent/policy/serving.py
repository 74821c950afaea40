"""What is remembered of a server that answers requests: at which clock and load it had which latencies. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from eagent.model import Progress
from eagent.policy.goals import Efficiency
from eagent.policy.tail import Counts, holds, since, summed

SECOND_NS = 1_000_000_000
FIRST_TOKEN, BETWEEN_TOKENS = "first token", "between tokens"
KINDS = (FIRST_TOKEN, BETWEEN_TOKENS)
ENOUGH = 100  # latencies, for a p99
MINUTE_S = 60.0
RECENT_S, RECENT_MOST_S = MINUTE_S, 300.0  # how far back is looked; further where there are few requests
SHORT_S = 15.0  # what tells a rising load
JUMP_SIGMAS = 3.0
LEVEL = 1.25  # from one level of load to the next
FORGET_S = 900.0  # after so long at a load, what was seen at it counts for a third
# Of the latencies above a goal so many come together: sequences of a batch wait for the same prefill.
CLUMP = {FIRST_TOKEN: 1.0, BETWEEN_TOKENS: 4.0}
LEAST = 0.5  # of a latency: what has faded below it is forgotten

Evidence = Mapping[float, Counts]  # by clock in MHz


def goal_s(goals: Efficiency, kind: str) -> float | None:
    """What the p99 of a kind of latency may be; None: there is no such goal."""
    return goals.first_token_s if kind == FIRST_TOKEN else goals.between_tokens_s


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was counted from one look to the next, and at which clock; if it changed meanwhile, the higher one."""

    until_ns: int
    seconds: float
    mhz: float
    counts: Mapping[str, Counts]  # by kind

    @property
    def requests(self) -> float:
        """How many were answered with a first token."""
        counts = self.counts.get(FIRST_TOKEN)
        return counts.total if counts else 0.0


@dataclass(frozen=True, slots=True)
class Level:
    """All that was seen at one load, the older for less."""

    seconds: float = 0.0
    seen: Mapping[str, Evidence] = field(default_factory=dict)  # by kind
    lowest_mhz: float = math.inf  # that has been tried at it

    @property
    def requests(self) -> float:
        """How many of them count."""
        return sum(counts.total for counts in self.seen.get(FIRST_TOKEN, {}).values())

    def with_more(self, stretch: Stretch) -> Level:
        """With what one more stretch has shown."""
        keep = math.exp(-stretch.seconds / FORGET_S)
        seen = {}
        for kind, counts in stretch.counts.items():
            faded = {
                mhz: Counts(old.bounds_s, tuple(keep * count for count in old.counts))
                for mhz, old in self.seen.get(kind, {}).items()
                if old.bounds_s == counts.bounds_s and old.total >= LEAST
            }
            parts = [counts, *([faded[stretch.mhz]] if stretch.mhz in faded else [])]
            seen[kind] = {**faded, stretch.mhz: summed(parts) or counts}
        return Level(keep * self.seconds + stretch.seconds, seen, self.lowest_mhz)


@dataclass(frozen=True, slots=True)
class Server:
    """One server, as far as it is remembered."""

    last: Progress
    last_mhz: float
    recent: tuple[Stretch, ...] = ()
    levels: Mapping[int, Level] = field(default_factory=dict)
    mhz: float = math.inf  # the ceiling that it was given last
    lowered_ns: int = 0
    spared_until_ns: int = 0

    def back(self, seconds: float) -> Iterator[Stretch]:
        """The last stretches that cover so many seconds, the latest first."""
        covered = 0.0
        for stretch in reversed(self.recent):
            if covered >= seconds:
                return
            covered += stretch.seconds
            yield stretch

    @property
    def window(self) -> tuple[Stretch, ...]:
        """The last minute, or as much more as it takes for a p99."""
        requests, covered, found = 0.0, 0.0, []
        for stretch in self.back(RECENT_MOST_S):
            if covered >= RECENT_S and requests >= ENOUGH:
                break
            found.append(stretch)
            requests, covered = requests + stretch.requests, covered + stretch.seconds
        return tuple(found)

    @property
    def load_per_s(self) -> float:
        """Requests a second: of the last minute, or of less if they are more."""
        return max(_rate_per_s(self.back(seconds)) for seconds in (SHORT_S, MINUTE_S))

    @property
    def is_rising(self) -> bool:
        """Whether more requests come than chance makes of the last minute's rate: it does not speak for the next."""
        usual = _rate_per_s(self.back(MINUTE_S)) * SHORT_S
        return _rate_per_s(self.back(SHORT_S)) * SHORT_S > usual + JUMP_SIGMAS * math.sqrt(usual)

    @property
    def known(self) -> Level | None:
        """What is known of the present load, or of the next greater one; None: it was never so great."""
        place = level_of(self.load_per_s)
        able = [number for number, level in self.levels.items() if number >= place and level.requests >= ENOUGH]
        return self.levels[min(able)] if able else None

    @property
    def tried_mhz(self) -> float:
        """The lowest clock that has been tried at the present load or at a greater one."""
        place = level_of(self.load_per_s)
        return min((level.lowest_mhz for number, level in self.levels.items() if number >= place), default=math.inf)


def level_of(load_per_s: float) -> int:
    """The level of a load."""
    return round(math.log(max(load_per_s, 1e-3), LEVEL))


def looked(server: Server | None, progress: Progress, mhz: float) -> Server:
    """It, after one more look, with its GPUs at a clock."""
    if server is None or server.last.uuids != progress.uuids:
        return Server(progress, mhz)
    if progress.at_ns <= server.last.at_ns:
        return server
    before = {each.kind: Counts(each.bounds_s, each.counts) for each in server.last.latencies}
    counts = {}
    for each in progress.latencies:
        if each.kind in KINDS:
            counts[each.kind] = since(before.get(each.kind, Counts((), ())), Counts(each.bounds_s, each.counts))
    if any(each is None for each in counts.values()):
        return replace(server, last=progress, last_mhz=mhz, recent=())  # begun anew
    seconds = (progress.at_ns - server.last.at_ns) / SECOND_NS
    told = {kind: each for kind, each in counts.items() if each is not None}
    stretch = Stretch(progress.at_ns, seconds, max(mhz, server.last_mhz), told)
    horizon_ns = progress.at_ns - round(RECENT_MOST_S * SECOND_NS)
    recent = (*(each for each in server.recent if each.until_ns > horizon_ns), stretch)
    server = replace(server, last=progress, last_mhz=mhz, recent=recent)
    place = level_of(server.load_per_s)
    levels = {**server.levels, place: server.levels.get(place, Level()).with_more(stretch)}
    return replace(server, levels=levels)


def evidence(stretches: Iterable[Stretch], kind: str) -> tuple[Evidence, float]:
    """What they showed of a kind of latency, by clock, and over how many seconds."""
    by_clock: dict[float, list[Counts]] = {}
    seconds = 0.0
    for each in stretches:
        seconds += each.seconds
        if kind in each.counts:
            by_clock.setdefault(each.mhz, []).append(each.counts[kind])
    sums = {mhz: summed(parts) for mhz, parts in by_clock.items()}
    return {mhz: counts for mhz, counts in sums.items() if counts is not None}, seconds


@dataclass(frozen=True, slots=True)
class Case:
    """What was seen of a kind of latency, and what it may be."""

    seen: Evidence
    seconds: float
    kind: str
    most_s: float
    thinning: tuple[float, ...]

    @classmethod
    def of(cls, seen: Evidence, seconds: float, kind: str, most_s: float) -> Case:
        """Of that; how its tail thins out is told by all clocks together."""
        together = summed(seen.values())
        return cls(seen, seconds, kind, most_s, together.thinning if together else ())

    def holds(self, mhz: float) -> bool:
        """Whether a minute at that clock would keep the goal, by what was seen at others."""
        a_minute = MINUTE_S / self.seconds
        over = sum(counts.over(self.most_s, at_mhz / mhz, self.thinning) for at_mhz, counts in self.seen.items())
        total = sum(counts.total for counts in self.seen.values())
        return holds(a_minute * over, a_minute * total, CLUMP[self.kind])


def _rate_per_s(stretches: Iterable[Stretch]) -> float:
    requests, seconds = 0.0, 0.0
    for each in stretches:
        requests, seconds = requests + each.requests, seconds + each.seconds
    return requests / seconds if seconds else 0.0
