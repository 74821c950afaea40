"""The policy `latency` beside the best clock per load known in hindsight, a static lock and full clocks.

    make bench NAME=serving                       a generated trace of an hour
    make bench NAME=serving TRACE=FILE            the public Azure LLM inference CSV, all of it
    make bench NAME=serving ARGS=--wall           five minutes of real time, through HTTP, agent and warden

Eight simulated A100s, two servers of four each, goals on both p99s in every minute (scene.py). All joules are
simulated.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, publish
from benchmarks.serving import oracle, wall
from benchmarks.serving.scene import GOALS_S, LEAD_S, SEED, Outcome, Scraper, Work, watch, work_of
from benchmarks.virtual import Governed
from eagent.config import Config
from eagent.sim.trace import generate, read_azure_csv

GENERATED_S = 3600.0
CONFIG = Config(
    mode_latency="act", first_token_p99_s=GOALS_S["first token"], between_tokens_p99_s=GOALS_S["between tokens"]
)


def main() -> None:
    """Run all, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="make bench NAME=serving")
    parser.add_argument("--seed", type=int, default=SEED, help="of a generated trace")
    parser.add_argument("--wall", action="store_true", help="five minutes of real time, as an integration check")
    args = parser.parse_args()
    if args.wall:
        publish("serving-wall", wall.figures(args.seed))
        return
    source = os.environ.get("TRACE")
    trace = read_azure_csv(source) if source else generate(GENERATED_S, args.seed)
    print(f"{len(trace.requests)} requests in {trace.duration_s:.0f} s, {trace.source}; simulated joules")
    work = work_of(trace)
    publish("serving", figures(governed(work), oracle.search(work)))


def governed(work: Work) -> Outcome:
    """The work on a host that eagent governs, whose servers tell their latencies once a second."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        host = Governed(Path(directory), "governed", SEED, CONFIG)
        scraper = Scraper()
        host.tell(lambda now_ns: scraper(host.plant, now_ns))
        try:
            work.start(host.plant)
            came = watch(host, work.minutes, LEAD_S, work.end_s)
            for alarm in host.governor.alarms:  # on a busy machine, that reading takes too long
                print(f"eagent: {alarm}", file=sys.stderr)
            return came
        finally:
            host.close()


def figures(eagent: Outcome, known: oracle.Hindsight) -> list[Figure]:
    """The figures: goals, saving, and what the other ways come to."""
    free, best, (static_mhz, static) = known.free, known.outcome, known.static

    def kept(run: Outcome) -> float:
        return len(run.kept & free.kept) / len(free.kept)

    def saved(run: Outcome) -> float:
        return 1 - run.energy_j / free.energy_j

    share = saved(eagent) / saved(best)
    return [
        Figure("minutes in which full clocks keep the goals", len(free.kept) / len(free.minutes), "share"),
        Figure(
            "goals kept where full clocks keep them",
            kept(eagent),
            "share",
            ">= 0.99",
            kept(eagent) >= 0.99,
            {"of minutes": float(len(free.kept)), "hindsight": kept(best), "static lock": kept(static)},
        ),
        Figure(
            "energy saved / best clock per load in hindsight",
            share,
            "ratio",
            ">= 0.85",
            share >= 0.85,
            {"static lock": saved(static) / saved(best), "its MHz": float(static_mhz)},
        ),
        Figure(
            "energy saved / GPUs at full clocks",
            saved(eagent),
            "share",
            peers={"hindsight": saved(best), "static lock": saved(static), "full clocks kJ": free.energy_j / 1000},
        ),
        Figure("clock writes per server and minute", eagent.changes / 8 / (len(eagent.minutes) / 2), "1"),
    ]


if __name__ == "__main__":
    main()
