"""The mesh's cores in virtual time: how fast news spreads, how fast a fleet runs, how well watts find their host.

    make bench NAME=mesh

Goals: news is with all of 300 hosts within 2 log2(N) + 4 rounds at the 99th percentile with no message lost, and 300
hosts with a round of one second run at least 20 times as fast as real time on one core.
"""

from __future__ import annotations

import math
import time

from benchmarks.figures import Figure, publish
from eagent.sim.fleet import ROUND_NS, Fleet, Network, Plan, phases

HOSTS = 300
SEEDS = 2
NEWS = 25  # for each seed
LOW_MW, HIGH_MW = 1_500_000, 4_000_000
PHASE_S = 300.0
PIECES = 10


def rounds_to_reach_all(hosts: int, seed: int, news: int, loss: float = 0.0) -> list[float]:
    """How many rounds each of so many changes took until every host had it, one after the other."""
    fleet = Fleet(Plan(hosts, network=Network(loss=loss)), seed, lambda _name, _now_s: LOW_MW)
    fleet.run(20)
    rounds = []
    for number in range(news):
        name = fleet.names[number * 7 % hosts]
        version = fleet.version(name, name)
        fleet.touch(name)
        fleet.run_until(lambda: fleet.version(name, name) > version, 30, 0.01)  # noqa: B023  # called at once
        start_ns, version = fleet.now_ns, fleet.version(name, name)
        fleet.run_until(lambda: all(fleet.version(each, name) >= version for each in fleet.names), 120, 0.1)  # noqa: B023
        rounds.append((fleet.now_ns - start_ns) / ROUND_NS)
    return rounds


def speed(hosts: int, seconds: float, *, wire: bool = False) -> tuple[float, float, float]:
    """How fast a trading fleet is simulated: the best of a few pieces, for what else runs here can only slow one.

    Returns:
        Seconds of virtual time in one second of a core, the same in one of the clock, kilobytes a host sends in one.
    """
    fleet = Fleet(Plan(hosts, wire=wire), 1, phases(1, LOW_MW, HIGH_MW, PHASE_S))
    fleet.run(20)
    core = clock = 0.0
    sent = fleet.bytes
    for _ in range(PIECES):
        start_s, wall_s = time.process_time(), time.perf_counter()
        fleet.run(seconds / PIECES)
        core = max(core, seconds / PIECES / (time.process_time() - start_s))
        clock = max(clock, seconds / PIECES / (time.perf_counter() - wall_s))
    return core, clock, (fleet.bytes - sent) / seconds / hosts / 1000


def unmet_share(hosts: int, seed: int, seconds: int) -> tuple[float, float]:
    """The share of the watts needed that hosts had no rights to, with trade and with the static split."""
    plan, need = Plan(hosts), phases(seed, LOW_MW, HIGH_MW, PHASE_S)
    fleet = Fleet(plan, seed, need)
    fleet.run(60)
    short_mw = static_mw = needed_mw = 0
    for _ in range(seconds // 5):
        fleet.run(5)
        rights_mw = fleet.rights_mw()
        for name in fleet.names:
            want_mw = need(name, fleet.now_ns / 1e9)
            needed_mw += want_mw
            short_mw += max(0, want_mw - rights_mw[name])
            static_mw += max(0, want_mw - plan.grant_mw)
    return short_mw / needed_mw, static_mw / needed_mw


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so great a share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def main() -> None:
    """Run all, print, and write the figures."""
    rounds = [each for seed in range(SEEDS) for each in rounds_to_reach_all(HOSTS, seed, NEWS)]
    lossy = [each for seed in range(1) for each in rounds_to_reach_all(HOSTS, seed, NEWS, loss=0.1)]
    goal = 2 * math.log2(HOSTS) + 4
    p99 = percentile(rounds, 0.99)
    factor, clock_factor, _ = speed(HOSTS, 60)
    wire_factor, _, kilobytes = speed(HOSTS, 20, wire=True)
    unmet, static = unmet_share(30, 1, 600)
    publish(
        "mesh",
        [
            Figure("rounds until all have it, p50", percentile(rounds, 0.5), "rounds"),
            Figure("rounds until all have it, p99", p99, "rounds", f"<= {goal:.1f}", p99 <= goal),
            Figure("the same at 10 % loss, p99", percentile(lossy, 0.99), "rounds"),
            Figure("300 hosts, virtual over a core's time", factor, "times", ">= 20", factor >= 20),
            Figure("the same by the clock, beside what else runs", clock_factor, "times"),
            Figure("through the codec, over a core's time", wire_factor, "times"),
            Figure("sent by a host", kilobytes, "kB/s"),
            Figure("watts needed and not there", unmet, "share", "< static", unmet < static, {"static": static}),
        ],
    )


if __name__ == "__main__":
    main()
