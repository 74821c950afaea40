"""The policies `idle` and `cpu` beside the best use of their knobs in hindsight, in virtual time on one trace.

    make bench NAME=firstlight                       a generated trace of 20 minutes
    make bench NAME=firstlight TRACE=FILE            the public Azure LLM inference CSV, all of it: some minutes

Eight simulated A100s and two CPU packages that feed them. The trace's rate is scaled so that without eagent the GPUs
are busy for 30 % of the time by their own utilisation reading. The operator consents that quiet processes be slowed.
What "best in hindsight" means stands in hindsight.py. All joules are simulated.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks import hindsight
from benchmarks.figures import Figure, publish
from benchmarks.virtual import Governed
from benchmarks.work import Outcome, Work, outcome
from eagent.config import Config
from eagent.sim.thinning import thinned
from eagent.sim.trace import generate, read_azure_csv

LOAD = 0.30
SKEW = 0.7  # Zipf's exponent for the popularity of what each GPU serves, as in the demo
GPUS = 8
GENERATED_S = 1200.0
SEED = 1

MODES = {
    "eagent": Config(mode_idle="act", mode_cpu="act", idle_consent=("all",)),
    "idle alone": Config(mode_idle="act", idle_consent=("all",)),
    "cpu alone": Config(mode_cpu="act", idle_consent=("all",)),
}


def main() -> None:
    """Run all, print, and write the figures."""
    source = os.environ.get("TRACE")
    trace = read_azure_csv(source) if source else generate(GENERATED_S, SEED)
    load = thinned(trace, LOAD, gpus=GPUS, skew=SKEW, seed=SEED)
    print(
        f"{len(load.trace.requests)} requests in {load.trace.duration_s:.0f} s, {load.trace.source}; "
        f"GPUs busy for {load.busy_share:.1%} without eagent; simulated joules"
    )
    publish("firstlight", compare(Work(load.trace, load.gpu_of)))


def compare(work: Work) -> list[Figure]:
    """The figures of one piece of work: without eagent, with it, with one knob at a time, and in hindsight."""
    free = hindsight.play(work, SEED)
    best = hindsight.search(work, SEED, free)
    runs = {name: _governed(name, config, work) for name, config in MODES.items()}
    return _figures(free, best, runs)


def _governed(name: str, config: Config, work: Work) -> Outcome:
    """The work on a host that eagent governs from before the first request."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        host = Governed(Path(directory), "governed", SEED, config, cpus=True)
        try:
            work.start(host.plant)
            host.advance(work.end_s + 0.2)
            if broken := host.broken():
                raise SystemExit(f"{name}: {'; '.join(broken)}")
            return outcome(name, host.plant, host.bmc, work)
        finally:
            host.close()


def _figures(free: Outcome, best: hindsight.Best, runs: dict[str, Outcome]) -> list[Figure]:
    eagent, least = runs["eagent"], best.outcome
    could_j = free.energy_j - least.energy_j

    def saved(run: Outcome) -> float:
        return (free.energy_j - run.energy_j) / could_j

    share = saved(eagent)
    p99 = {"eagent": _p99_s(eagent), "without": _p99_s(free), "hindsight": _p99_s(least)}
    first = {name: run.first_token.p99_s or 0.0 for name, run in (("eagent", eagent), ("without", free))}
    kilojoules = {"eagent": eagent.energy_j, "without": free.energy_j, "hindsight": least.energy_j}
    slower = p99["eagent"] / p99["without"]
    answered = {"eagent": float(eagent.latency.finished), "without": float(free.latency.finished)}
    return [
        Figure(
            "energy saved / best in hindsight",
            share,
            "ratio",
            ">= 0.80",
            share >= 0.80,
            {f"{name} kJ": joules / 1000 for name, joules in kilojoules.items()},
        ),
        Figure("p99 latency / without", slower, "ratio", "<= 1.05", slower <= 1.05, p99),
        Figure(
            "requests answered / without",
            answered["eagent"] / answered["without"],
            "ratio",
            "= 1",
            answered["eagent"] == answered["without"],
            answered,
        ),
        _part(
            "idle GPU ceilings alone: saved / best in hindsight", saved(runs["idle alone"]), runs["idle alone"], free
        ),
        _part("CPU ceiling alone: saved / best in hindsight", saved(runs["cpu alone"]), runs["cpu alone"], free),
        Figure(
            "of it from GPUs at work",
            (free.at_work_j - eagent.at_work_j) / (free.energy_j - eagent.energy_j),
            "share",
            peers={"hindsight": (free.at_work_j - least.at_work_j) / could_j, "its CPU MHz": float(best.cpu_mhz)},
        ),
        Figure(
            "energy saved / host (GPUs, CPU packages, DRAM)",
            (free.energy_j - eagent.energy_j) / free.energy_j,
            "share",
            peers={"hindsight": could_j / free.energy_j},
        ),
        Figure(
            "energy saved / whole host at the wall",
            1 - eagent.wall_j / free.wall_j,
            "share",
            peers={"hindsight": 1 - least.wall_j / free.wall_j},
        ),
        Figure("p99 of the first token / without", first["eagent"] / first["without"], "ratio", peers=first),
    ]


def _part(name: str, share: float, run: Outcome, free: Outcome) -> Figure:
    return Figure(name, share, "ratio", peers={"its p99 / without": _p99_s(run) / _p99_s(free)})


def _p99_s(run: Outcome) -> float:
    assert run.latency.p99_s is not None  # all were answered
    return run.latency.p99_s


if __name__ == "__main__":
    main()
