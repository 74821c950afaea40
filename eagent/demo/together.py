"""The demo with several hosts: they share a rack's budget, and one sleeps while there is little to do.

Two racks of the same simulated hosts serve the same requests through the same front door: one with a static share of
the budget for each host, one with eagent. The middle of the trace, a third of it or more, is thinned, as in a night.
"""

from __future__ import annotations

import contextlib
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eagent.demo.door import Door
from eagent.demo.permission import Log, over_budget_s, permissions
from eagent.demo.rack import GPUS, Governed, RackHost, Watts, hosts, why_no_kernel
from eagent.errors import DriverError, EagentError, InputError
from eagent.sim.account import (
    POWER_STEP_S,
    Percentiles,
    PowerLog,
    WallUse,
    first_token_percentiles,
    latency_percentiles,
    wall_use,
)
from eagent.sim.host import root as default_root
from eagent.sim.trace import Trace, busiest_window, scale_rate

DYNAMIC_SHARE = 0.5  # the budget's place between all hosts at their reserves and all at their nameplates
QUIET_SHARE = 0.06  # of the requests in the night
NIGHT_SHARE = 1 / 3  # of the time
NIGHT_S = 35.0  # and at least so long: some 12 s until all is answered, 18 s until a host is off, and it sleeps a bit
RATE_PER_HOST = 0.45  # of the trace's own: three hosts get 1.35 times as many requests
LOOK_S = 0.1
SAY_EVERY_S = 5.0
PATIENCE_S = 90.0
SHORTEST_S = NIGHT_S + 10.0  # there is work before the night and after it
LINE = 120  # columns

Say = Callable[[str], None]
Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Side:
    """What one rack did and drew from the first request to the last answer. Joules are simulated."""

    wall: Mapping[str, WallUse]  # by host
    latency: Percentiles
    first_token: Percentiles
    lost: int  # requests, by switching hosts off

    @property
    def energy_j(self) -> float:
        """Of the rack, at the wall."""
        return sum(each.energy_j for each in self.wall.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What it came to."""

    trace: Trace
    seconds: float
    hosts: int
    watts: Watts
    budget_w: float
    static: Side
    governed: Side
    over_budget_s: float
    exposed_s: float  # of all hosts together: from boots to limits, in which no work ran
    greatest_w: float  # the greatest permission that one host had
    slept: tuple[str, ...]
    woken: tuple[str, ...]  # of those
    no_sleep: str | None  # why no host could sleep here


def night(trace: Trace, seconds: float, hosts: int, seed: int = 1) -> Trace:
    """The busiest window of a trace, with requests for so many hosts, and its middle thinned.

    Raises:
        InputError: the window is too short to sleep in, or there are no requests in it.
    """
    window = scale_rate(busiest_window(trace, seconds), RATE_PER_HOST * hosts, seed)
    if window.duration_s < SHORTEST_S:
        raise InputError(
            f"{window.source}: there is no time to sleep in {window.duration_s:g} s: must be at least {SHORTEST_S:g} s"
        )
    thin = set(scale_rate(window, QUIET_SHARE, seed).requests)
    night_s = max(NIGHT_S, NIGHT_SHARE * window.duration_s)
    dusk_s, dawn_s = (window.duration_s - night_s) / 2, (window.duration_s + night_s) / 2
    kept = [each for each in window.requests if not dusk_s <= each.arrival_s < dawn_s or each in thin]
    if not kept:
        raise InputError(f"{window.source}: no request is left for {hosts} hosts")
    return Trace(tuple(kept), window.duration_s, f"{window.source}, its middle {night_s:g} s x {QUIET_SHARE:g}")


def run(
    trace: Trace, count: int, seconds: float, environ: Mapping[str, str], say: Say, check: Check = lambda: None
) -> Outcome:
    """Play it in wall-clock time on both racks at once.

    Args:
        trace: Its busiest `seconds` are played.
        count: Hosts in each rack, at least 2.
        seconds: Length of that window.
        environ: Where simulated hosts are put, see `eagent.sim.host.root`.
        say: Shows a line.
        check: Called often; what it raises ends the demo in order.

    Raises:
        EagentError: something did not start, or did not end.
    """
    load = night(trace, seconds, count)
    parent = default_root(environ)
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_if_empty, parent)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rack-", dir=parent)))
        no_sleep = why_no_kernel(directory)
        names = [f"n{number}" for number in range(1, count + 1)]
        # A socket's path is short: so are these names.
        static = stack.enter_context(hosts(directory / "s", names, kernel=False, check=check))
        governed = stack.enter_context(hosts(directory / "e", names, kernel=no_sleep is None, check=check))
        one = governed["n1"]
        watts = Watts(one.packages_w, one.greatest_w, one.others_w, packages_shown=no_sleep is None)
        budget_w = count * (watts.reserve_w + DYNAMIC_SHARE * (watts.nameplate_w - watts.reserve_w))
        say(
            f"Two racks of {count} simulated hosts with {GPUS} A100s each, a budget of {budget_w:.0f} W for each rack, "
            "one trace:"
        )
        say(f"  {load.source}; {len(load.requests)} requests.")
        if no_sleep is not None:
            say(f"  No host will sleep, for nobody can tell how busy its CPUs are: {no_sleep}")
        (directory / "site").mkdir()
        agents = Governed(governed, watts, directory / "site", environ, check)
        stack.enter_context(agents.running())
        share_w = budget_w / count
        for host in static.values():
            for gpu in range(GPUS):
                host.plant.set_power_limit(gpu, (share_w - watts.wall_w(0.0)) / GPUS)
        # The front door sends work also to a host that has yielded, which is lost if it is switched off just then. With
        # one sleeper at most that hardly happens: who yields is off soon, or all others are busy and it is not.
        agents.sign(budget_w, share_w, dict.fromkeys(names[:-1], 1))
        say(f"  {count} agents share {budget_w:.0f} W. Duty tokens keep all but one host awake.")
        return _play(load, watts, budget_w, static, governed, agents.check, no_sleep, say)


def _play(
    load: Trace,
    watts: Watts,
    budget_w: float,
    static: dict[str, RackHost],
    governed: dict[str, RackHost],
    check: Check,
    no_sleep: str | None,
    say: Say,
) -> Outcome:
    racks = static, governed
    for host in (*static.values(), *governed.values()):
        if host.bmc.power == "on":  # else eagent has put it to sleep already, and its engines start when it is back
            with contextlib.suppress(DriverError):  # just now
                host.start_engines()
    began_s = time.monotonic()
    starts_s = [{name: _clock_s(host, began_s) for name, host in rack.items()} for rack in racks]
    doors = [Door(rack, load.requests, starts) for rack, starts in zip(racks, starts_s, strict=True)]
    next_say_s = 0.0
    while True:
        check()
        elapsed_s = time.monotonic() - began_s
        for door in doors:
            door.open(elapsed_s)
        _start_engines(governed, watts)
        if elapsed_s >= next_say_s:
            next_say_s += SAY_EVERY_S
            say(_line(elapsed_s, static, governed, doors))
        if all(door.is_done for door in doors):
            break
        if elapsed_s > load.duration_s + PATIENCE_S:
            left = len(load.requests) - min(door.answered for door in doors)
            raise EagentError(f"{left} requests were not answered within {elapsed_s:.0f} s: too much load")
        time.sleep(LOOK_S)
    seconds = elapsed_s
    time.sleep(2 * POWER_STEP_S)  # until the plants' logs of power reach as far
    for host in (*static.values(), *governed.values()):
        if host.plant.full_logs:
            raise EagentError(f"the logs of {host.name} are full ({', '.join(host.plant.full_logs)}): nothing is known")
    logs = {name: _log(host, watts, began_s - starts_s[1][name]) for name, host in governed.items()}
    allowed = {name: permissions(log) for name, log in logs.items()}
    end_s = began_s + seconds
    states = {name: [state for at_s, state in log.power if began_s <= at_s < end_s] for name, log in logs.items()}
    return Outcome(
        trace=load,
        seconds=seconds,
        hosts=len(governed),
        watts=watts,
        budget_w=budget_w,
        static=_side(static, doors[0], starts_s[0], seconds),
        governed=_side(governed, doors[1], starts_s[1], seconds),
        over_budget_s=over_budget_s(allowed.values(), budget_w, began_s, end_s),
        exposed_s=sum(each.exposed_s(began_s, end_s) for each in allowed.values()),
        greatest_w=max(each.greatest_w(began_s, end_s) for each in allowed.values()),
        slept=tuple(name for name, own in states.items() if "off" in own),
        woken=tuple(name for name, own in states.items() if "off" in own and "on" in own[own.index("off") :]),
        no_sleep=no_sleep,
    )


def _clock_s(host: RackHost, at_s: float) -> float:
    """What the clock of a host's plant showed at a time of this process's monotonic clock: both go alike."""
    before_s, plant_s, after_s = time.monotonic(), host.plant.time_s, time.monotonic()
    return plant_s - (before_s + after_s) / 2 + at_s


def _start_engines(governed: Mapping[str, RackHost], watts: Watts) -> None:
    """Where a host has booted, its engines start after eagent has its limits, as a scheduler's would."""
    for host in governed.values():
        if host.bmc.power == "on" and not host.serves and watts.wall_w(sum(host.limits_w())) <= watts.reserve_w:
            with contextlib.suppress(DriverError):  # it has gone off just now
                host.start_engines()


def _line(
    elapsed_s: float, static: Mapping[str, RackHost], governed: Mapping[str, RackHost], doors: Sequence[Door]
) -> str:
    drawn = [sum(host.bmc.power_w for host in rack.values()) for rack in (static, governed)]
    parts = [
        f"{name}={sum(host.limits_w()):.0f}" if host.bmc.power == "on" else f"{name}={host.bmc.power}"
        for name, host in governed.items()
    ]
    line = (
        f"  {elapsed_s:4.0f} s  answered: static {doors[0].answered}, eagent {doors[1].answered}; "
        f"draw: {drawn[0]:.0f}, {drawn[1]:.0f} W; GPU limits by eagent (W): {', '.join(parts)}"
    )
    return textwrap.fill(line, LINE, subsequent_indent=" " * 10)


def _log(host: RackHost, watts: Watts, offset_s: float) -> Log:
    return Log(
        power=[(offset_s + at_s, state) for at_s, state in host.bmc.power_changes()],
        limits=[(offset_s + at_s, gpu, new_w) for at_s, gpu, _, new_w, _ in host.plant.limit_log()],
        initial_w=host.initial_limits_w,
        reserve_w=watts.reserve_w,
        apart_w=watts.wall_w(0.0),
    )


def _side(rack: Mapping[str, RackHost], door: Door, starts_s: Mapping[str, float], seconds: float) -> Side:
    served = door.served()
    return Side(
        wall={name: _wall(host, starts_s[name], seconds) for name, host in rack.items()},
        latency=latency_percentiles(served),
        first_token=first_token_percentiles(served),
        lost=door.lost,
    )


def _wall(host: RackHost, start_s: float, seconds: float) -> WallUse:
    return wall_use(
        start_s,
        start_s + seconds,
        power_changes=host.bmc.power_changes(),
        supply=host.bmc.supply,
        wall_log=PowerLog(host.bmc.power_log()),
    )


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # other simulated hosts live there
        directory.rmdir()
