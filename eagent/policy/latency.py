"""A server that answers requests gets the lowest clock ceiling at which its latencies keep their goals.

The goals are on the 99th percentiles of the time to the first token and between two tokens, in every minute. What
there is to go by are the server's own cumulative histograms, about once a second, and its load: requests a second.

- For each second it is kept at which clock which latencies were seen. A lower clock would make each of them longer, at
  most as the clock is lower; so of each clock it can be told how many latencies of a minute would be above the goal.
  A clock is good if at most two minutes in a thousand at it have more than the one in a hundred that may be: by the
  last minute, and where that has few latencies, by all that was seen at such a load or at a greater one, too.
- Down it goes a step at a time from the lowest clock tried at such a load or at a greater one, each looked at before
  the next, and at once to where it has been before.
- Up it goes at once: when the tail nears its goal, to full clocks until that minute is past, and when the load rises,
  to what that load has been known to need; a load that is not known needs full clocks.
- Full clocks, too, and a word why, while the histograms are missing or stale, or hold too few latencies for a p99.

All GPUs of a server have one ceiling.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from eagent.model import DeviceState, HostState, KnobName, Latencies, Priority, Progress, ProgressSource, Proposal
from eagent.policy.aims import wanted_of
from eagent.policy.goals import Efficiency, Goals
from eagent.policy.serving import (
    ENOUGH,
    FIRST_TOKEN,
    KINDS,
    MINUTE_S,
    Case,
    Level,
    Server,
    evidence,
    goal_s,
    looked,
)
from eagent.policy.tail import FEW, acting_goal_s, allowed, summed

NAME = "latency"
SECOND_NS = 1_000_000_000
STALE_NS = 5 * SECOND_NS
FORGET_NS = 3600 * SECOND_NS  # a server that has fallen silent
DWELL_NS = 10 * SECOND_NS  # a lower clock is looked at for so long before the next
SPARED_NS = 8 * SECOND_NS  # full clocks for so long after the tail was near its goal
STEP = 0.9  # of the lowest clock tried at a load: how far down the next may be
DEAD_BAND = 0.02  # of the top: less is not worth a write downwards
NEAR = 0.9  # of what a minute may have above a goal: then the tail is near it


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of each server, by its run."""

    servers: Mapping[str, Server] = field(default_factory=dict)


def decide(
    state: HostState, goals: Goals, now_ns: int, memory: Memory | None = None
) -> tuple[list[Proposal], Memory | None]:
    """A ceiling for the GPUs of each server, or their top and why; and what is to be remembered."""
    known = memory.servers if memory else {}
    wishes: dict[str, tuple[float, str]] = {}
    servers: dict[str, Server] = {}
    for progress in _servers(state, known, now_ns):
        members = [each for each in state.gpus if each.device.uuid in progress.uuids and each.device.clock.writable]
        meant = wanted_of(goals, progress.job, progress.uuids, now_ns)
        wanted = {kind: most_s for kind in KINDS if (most_s := goal_s(meant, kind)) is not None}
        if not members or not wanted:
            continue
        clocks = _clocks(members, goals.efficiency)
        before = known.get(progress.run)
        server = looked(before, progress, _clock_mhz(members, before))
        server, reason = _choose(server, wanted, clocks, now_ns)
        servers[progress.run] = server
        for each in members:  # where two servers share a GPU, the one that needs more has it
            wish = (server.mhz, f"{progress.job}: {reason}")
            wishes[each.device.uuid] = max(wishes.get(each.device.uuid, wish), wish)
    proposals = [
        Proposal(NAME, Priority.EFFICIENCY, uuid, KnobName.GPU_CLOCK, mhz, reason)
        for uuid, (mhz, reason) in wishes.items()
    ]
    return proposals, Memory(servers) if servers else None


def _servers(state: HostState, known: Mapping[str, Server], now_ns: int) -> Iterator[Progress]:
    """The jobs that tell what servers tell; also who has fallen silent, as it was last."""
    for progress in state.progress:
        if progress.latencies or progress.source is ProgressSource.COUNTER:
            yield progress
    there = {progress.run for progress in state.progress}
    for run, server in known.items():
        if run not in there and now_ns - server.last.at_ns < FORGET_NS:
            yield server.last


def _clocks(members: Sequence[DeviceState], goals: Efficiency) -> Sequence[float]:
    """The clocks to choose from, ascending: those that all GPUs of the server have, from the operator's floor up."""
    common = frozenset.intersection(*(frozenset(each.device.clocks_mhz) for each in members))
    top = max(each.device.clocks_mhz[-1] for each in members)
    return sorted({float(mhz) for mhz in common if mhz >= goals.least_clock_mhz} | {float(top)})


def _clock_mhz(members: Sequence[DeviceState], server: Server | None) -> float:
    """At which clock it runs: the highest of its GPUs, and never below the ceiling; their top if nobody tells.

    A GPU that rests for a moment, or that a power limit holds, may show less. To take what was seen for what a lower
    clock does would flatter all clocks.
    """
    top = float(max(each.device.clocks_mhz[-1] for each in members))
    told = [each.sm_clock_mhz.value for each in members if each.sm_clock_mhz.ok]
    seen = max((mhz for mhz in told if mhz), default=top)
    return seen if server is None else max(seen, min(server.mhz, top))


def _choose(server: Server, wanted: Mapping[str, float], clocks: Sequence[float], now_ns: int) -> tuple[Server, str]:
    """It with its next ceiling, and why it is that."""
    top = clocks[-1]

    def full(reason: str) -> tuple[Server, str]:
        return replace(server, mhz=top), f"full clocks: {reason}"

    doubt = _doubt(server, wanted, now_ns)
    if doubt is not None:
        return full(doubt)
    near = _near(server, wanted)
    if near is not None:
        server = replace(server, spared_until_ns=now_ns + SPARED_NS)
        return full(near)
    if now_ns < server.spared_until_ns:
        return full("the tail was near its goal just before")
    level = server.known
    if level is None:
        return full(f"{server.load_per_s:.2g} requests a second are more than it was seen with for long enough")
    best = _lowest(server, level, wanted, clocks)
    held = min(server.mhz, top)
    reason = f"the lowest clock at which {_words(wanted)} keep their goals at {server.load_per_s:.2g} requests a second"
    if best >= held - DEAD_BAND * top and best < held:
        best = held
    if best >= held:
        return replace(server, mhz=best), reason
    tried_mhz = min(server.tried_mhz, held)
    floor = clocks[bisect_left(clocks, STEP * tried_mhz)]
    mhz = max(best, min(floor, held))
    if mhz >= held or (mhz < tried_mhz and now_ns - server.lowered_ns < DWELL_NS):
        return replace(server, mhz=held), reason
    server = replace(server, mhz=mhz, lowered_ns=now_ns)
    place = next(number for number, each in server.levels.items() if each is level)
    tried = replace(level, lowest_mhz=min(level.lowest_mhz, mhz))
    return replace(server, levels={**server.levels, place: tried}), f"{reason}, on the way down to {best:g} MHz"


def _doubt(server: Server, wanted: Mapping[str, float], now_ns: int) -> str | None:
    """Why nothing can be told of its tail; None: it can."""
    if now_ns - server.last.at_ns > STALE_NS:
        return f"its histograms are {(now_ns - server.last.at_ns) / SECOND_NS:.0f} s old"
    told: dict[str, Latencies] = {each.kind: each for each in server.last.latencies}
    for kind, most_s in wanted.items():
        if kind not in told:
            return f"it has no histogram of {_words([kind])}"
        if acting_goal_s(told[kind].bounds_s, most_s) == 0:
            return f"its histogram of {_words([kind])} begins at {told[kind].bounds_s[0]:g} s, above the goal"
    window = server.window
    for kind in wanted:
        total = sum(each.counts[kind].total for each in window if kind in each.counts)
        if total < ENOUGH:
            seconds = sum(each.seconds for each in window)
            return f"{total:.0f} {_words([kind])} in {seconds:.0f} s are too few for a p99"
    return None


def _near(server: Server, wanted: Mapping[str, float]) -> str | None:
    """Which tail is near its goal in the last minute, in words; None: neither."""
    minute = tuple(server.back(MINUTE_S))
    for kind, most_s in wanted.items():
        counts = summed(each.counts[kind] for each in minute if kind in each.counts)
        if counts is not None and counts.over(most_s) >= max(1.0, NEAR * allowed(counts.total)):
            return f"{counts.over(most_s):.0f} of {counts.total:.0f} {_words([kind])} took more than {most_s:g} s"
    return None


def _lowest(server: Server, level: Level, wanted: Mapping[str, float], clocks: Sequence[float]) -> float:
    """The lowest clock that would keep all goals: by the last minute, and by what was seen at such a load before.

    The latter is older, and most of it was seen at other clocks. It counts where the last minute tells too little: of
    few latencies a tail without any is no proof, and of a load that rises it is another's.
    """
    cases = []
    for kind, most_s in wanted.items():
        seen, seconds = evidence(server.window, kind)
        cases.append(Case.of(seen, seconds, kind, most_s))
        few = sum(counts.total for counts in seen.values()) < FEW
        if kind in level.seen and (few or server.is_rising):
            cases.append(Case.of(level.seen[kind], level.seconds, kind, most_s))
    place = bisect_left(
        range(len(clocks) - 1), True, key=lambda index: all(case.holds(clocks[index]) for case in cases)
    )
    return clocks[place]


def _words(kinds: Sequence[str] | Mapping[str, float]) -> str:
    return " and ".join("times to the first token" if kind == FIRST_TOKEN else "times between tokens" for kind in kinds)
