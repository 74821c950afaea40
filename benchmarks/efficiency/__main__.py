"""Run all parts, print, and write the figures. All joules and all work are simulated.

    make bench NAME=efficiency ARGS='--seeds 20 --every 8'

Virtual time. The table plays the policy on the plant alone; `governed` plays a part of it through the whole host: loop,
warden, ring, agent. Every so many-th of the fitted jobs of each board is played.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor

from benchmarks.efficiency import governed, loads, quick, sources, table
from benchmarks.figures import Figure, publish

GOALS = {0.02: 0.70, 0.05: 0.85, 0.10: 0.85}
OF_THESE = 0.7  # with bad sensors and setters


def main() -> None:
    """Measure, print and publish."""
    parser = argparse.ArgumentParser(prog="benchmarks.efficiency")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the first of the seeds (default 1)")
    parser.add_argument("--every", type=int, default=8, help="every so many-th job of a board (default 8)")
    parser.add_argument("--quick", action="store_true", help="one seed")
    args = parser.parse_args()
    seeds = range(args.first, args.first + (1 if args.quick else args.seeds))
    few = seeds[: (len(seeds) + 3) // 4]
    jobs = loads.chosen(args.every)
    stream = [job for job in jobs if job.name == "babelstream"]
    figures: list[Figure] = []
    with ProcessPoolExecutor(2) as pool:
        known = table.know(jobs, table.HOUR_S, pool)
        for bound, goal in GOALS.items():
            figures += _told(table.figures("hour", bound, table.play(jobs, known, bound, seeds, pool), goal))
        figures += _told(table.streams(table.play(stream, known, 0.01, seeds, pool)))
        for bound, goal in GOALS.items():
            results = table.play(jobs, known, bound, few, pool, quick.BAD)
            figures += _told(table.figures("10 x latency, 3 x noise", bound, results, OF_THESE * goal)[:3])
        figures += _told(table.again(jobs, 0.05, few, pool))
        figures += _told(table.phases(jobs, 0.05, few, pool))
        some = [job for host in table.hosts(jobs) for job in host[:: (len(host) + 2) // 3]]
        figures += governed.figures(some, known, 0.05, few[:1], pool)
        figures += sources.figures(few[:1], table.HOUR_S, pool)
    publish("efficiency", figures)


def _told(figures: list[Figure]) -> list[Figure]:
    """Printed as soon as they are there: the whole takes an hour."""
    for each in figures:
        print(each.figure, each.value, each.peers or "", flush=True)
    return figures


if __name__ == "__main__":
    main()
