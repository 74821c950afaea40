"""The demo with several hosts: they share a rack's budget, and one sleeps while there is little to do.

Two racks of the same simulated hosts serve the same requests through the same front door: one with a static share of
the budget for each host, one with eagent. The middle of the trace is thinned, as in a night.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eagent.demo.door import Door
from eagent.demo.permission import Log, over_budget_s, permissions
from eagent.demo.rack import FIXED_W, GPUS, Governed, RackHost, Watts, hosts, why_no_kernel
from eagent.errors import EagentError
from eagent.sim.account import (
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
QUIET_SHARE = 0.06  # of the requests in the middle third
RATE = 1.35
LOOK_S = 0.1
SAY_EVERY_S = 5.0
PATIENCE_S = 90.0
AWAKE = 2  # hosts with a duty token: they never sleep

Say = Callable[[str], None]


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
    exposed_s: float
    most_w: float  # the greatest permission that one host had
    slept: tuple[str, ...]
    woken: tuple[str, ...]
    no_sleep: str | None  # why no host could sleep here


def night(trace: Trace, seconds: float, seed: int = 1) -> Trace:
    """The busiest window of a trace, with its middle third thinned."""
    window = scale_rate(busiest_window(trace, seconds), RATE, seed)
    thin = set(scale_rate(window, QUIET_SHARE, seed).requests)
    third_s = window.duration_s / 3
    kept = [each for each in window.requests if not third_s <= each.arrival_s < 2 * third_s or each in thin]
    return Trace(tuple(kept), window.duration_s, f"{window.source}, its middle third x {QUIET_SHARE:g}")


def run(trace: Trace, count: int, seconds: float, environ: Mapping[str, str], say: Say) -> Outcome:
    """Play it in wall-clock time on both racks at once.

    Args:
        trace: Its busiest `seconds` are played.
        count: Hosts in each rack, at least 2.
        seconds: Length of that window.
        environ: Where simulated hosts are put, see `eagent.sim.host.root`.
        say: Shows a line.

    Raises:
        EagentError: something did not start, or did not end.
    """
    load = night(trace, seconds)
    parent = default_root(environ)
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_if_empty, parent)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rack-", dir=parent)))
        no_sleep = why_no_kernel(directory)
        names = [f"n{number}" for number in range(1, count + 1)]
        # A socket's path is short: so are these names.
        static = stack.enter_context(hosts(directory / "s", names, kernel=False))
        governed = stack.enter_context(hosts(directory / "e", names, kernel=no_sleep is None))
        watts = Watts(governed["n1"].packages_w if no_sleep is None else 0.0)
        budget_w = count * (watts.reserve_w + DYNAMIC_SHARE * (watts.nameplate_w - watts.reserve_w))
        say(
            f"Two racks of {count} simulated hosts with {GPUS} A100s each, one trace: {load.source}, "
            f"{len(load.requests)} requests, a budget of {budget_w:.0f} W each."
        )
        if no_sleep is not None:
            say(f"  No host will sleep, for nobody can tell how busy its CPUs are: {no_sleep}")
        (directory / "site").mkdir()
        agents = Governed(governed, watts, directory / "site", environ)
        stack.enter_context(agents.running())
        share_w = budget_w / count
        for host in static.values():
            for gpu in range(GPUS):
                host.plant.set_power_limit(gpu, (share_w - watts.wall_w(0.0)) / GPUS)
        agents.sign(budget_w, share_w, dict.fromkeys(names[:AWAKE], 1))
        say(f"  {count} agents share {budget_w:.0f} W; {' and '.join(names[:AWAKE])} hold a duty token and stay awake.")
        return _play(load, watts, budget_w, static, governed, no_sleep, say)


def _play(
    load: Trace,
    watts: Watts,
    budget_w: float,
    static: dict[str, RackHost],
    governed: dict[str, RackHost],
    no_sleep: str | None,
    say: Say,
) -> Outcome:
    for host in (*static.values(), *governed.values()):
        host.start_engines()
    doors = Door(static, load.requests), Door(governed, load.requests)
    began_s = time.monotonic()
    starts_s = {host.made.path: host.plant.time_s for host in (*static.values(), *governed.values())}
    next_say_s = 0.0
    while True:
        elapsed_s = time.monotonic() - began_s
        for door in doors:
            door.open(elapsed_s)
        _start_engines(governed, watts)
        done = [door.done for door in doors]
        if elapsed_s >= next_say_s:
            next_say_s += SAY_EVERY_S
            say(f"  {elapsed_s:4.0f} s  {_line(static, governed, done)}")
        if all(door.is_empty for door in doors) and min(done) == len(load.requests):
            break
        if elapsed_s > load.duration_s + PATIENCE_S:
            raise EagentError(f"{len(load.requests) - min(done)} requests were not answered within {elapsed_s:.0f} s")
        time.sleep(LOOK_S)
    seconds = time.monotonic() - began_s - LOOK_S
    logs = {name: _log(host, watts, began_s - starts_s[host.made.path]) for name, host in governed.items()}
    allowed = {name: permissions(log) for name, log in logs.items()}
    moments = {name: found for name, (found, _) in allowed.items()}
    changes = {name: [state for at_s, state in log.power if at_s >= began_s] for name, log in logs.items()}
    return Outcome(
        trace=load,
        seconds=seconds,
        hosts=len(governed),
        watts=watts,
        budget_w=budget_w,
        static=_side(static, starts_s, seconds),
        governed=_side(governed, starts_s, seconds),
        over_budget_s=over_budget_s(moments, budget_w, began_s, began_s + seconds),
        exposed_s=sum(exposed_s for _, exposed_s in allowed.values()),
        most_w=max(watts for found in moments.values() for at_s, watts in found if at_s >= began_s),
        slept=tuple(name for name, states in changes.items() if "off" in states),
        woken=tuple(name for name, states in changes.items() if "off" in states and states[-1] == "on"),
        no_sleep=no_sleep,
    )


def _start_engines(governed: Mapping[str, RackHost], watts: Watts) -> None:
    """Where a host has booted, its engines start after eagent has its limits, as a scheduler's would."""
    for host in governed.values():
        if host.bmc.power == "on" and not host.serves and watts.wall_w(sum(host.limits_w())) <= watts.reserve_w:
            host.start_engines()


def _line(static: Mapping[str, RackHost], governed: Mapping[str, RackHost], done: list[int]) -> str:
    drawn = [sum(host.bmc.power_w for host in rack.values()) for rack in (static, governed)]
    parts = [
        f"{name} {sum(host.limits_w()):.0f} W" if host.bmc.power == "on" else f"{name} {host.bmc.power}"
        for name, host in governed.items()
    ]
    return (
        f"answered: static {done[0]}, eagent {done[1]}  draw: {drawn[0]:.0f} W, {drawn[1]:.0f} W  "
        f"GPU limits by eagent: {', '.join(parts)}"
    )


def _log(host: RackHost, watts: Watts, offset_s: float) -> Log:
    return Log(
        power=[(offset_s + at_s, state) for at_s, state in host.bmc.power_changes()],
        limits=[(offset_s + at_s, gpu, new_w) for at_s, gpu, _, new_w, _ in host.plant.limit_log()],
        initial_w=[400.0] * GPUS,
        reserve_w=watts.reserve_w,
        apart_w=FIXED_W + watts.packages_w,
    )


def _side(rack: Mapping[str, RackHost], starts_s: Mapping[Path, float], seconds: float) -> Side:
    served = [request for host in rack.values() for request in host.plant.served()]
    return Side(
        wall={name: _wall(host, starts_s[host.made.path], seconds) for name, host in rack.items()},
        latency=latency_percentiles(served),
        first_token=first_token_percentiles(served),
        lost=sum(len(host.plant.lost()) for host in rack.values()),
    )


def _wall(host: RackHost, start_s: float, seconds: float) -> WallUse:
    return wall_use(
        start_s,
        start_s + seconds,
        power_changes=host.bmc.power_changes(),
        supply=host.bmc.supply,
        power_log=PowerLog(host.plant.power_log()),
        cpu_power_log=PowerLog(host.plant.cpu_power_log()),
    )


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # other simulated hosts live there
        directory.rmdir()
