"""Run all parts, print, and write the figures."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.envelope import cut, oracle, share
from benchmarks.envelope.demand import FULL_W, GPUS, wander
from benchmarks.figures import Figure, publish

ROUNDS = 4
SEEDS = (1, 2, 3, 4, 5)
SECONDS = 1200.0
MOST_W = 0.6 * GPUS * FULL_W
DWELL_S = (20.0, 120.0)
HOSTILE_DWELL_S = (2.0, 10.0)
RAMP_W_PER_S = 200.0
MINUTE_SHARE = 0.01


def main() -> None:
    """All watts are simulated."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        figures = [*_cuts(Path(directory)), *_shares(Path(directory))]
    publish("envelope", figures)


def _cuts(directory: Path) -> list[Figure]:
    rounds = cut.run(directory, ROUNDS)
    figures = [_cut(name, made) for name, made in (("alive", rounds.alive), ("stopped", rounds.stopped))]
    late_s = max(each.safe_s for each in rounds.stopped if each.safe_s is not None)
    most_s = cut.TTL_S + cut.TICK_S + max(each.setters_s for each in rounds.stopped)
    return [
        *figures,
        Figure("agent stopped: safe caps after the cut", late_s, "s", f"<= {most_s:.3g}", late_s <= most_s),
        Figure("real time: above an envelope in force", rounds.over_s, "s", "0", rounds.over_s == 0),
    ]


def _cut(name: str, made: Sequence[cut.Cut]) -> Figure:
    worst = max(made, key=lambda each: each.beyond_s)
    peers = {
        "median": statistics.median(each.beyond_s for each in made) * 1e3,
        "in all, median": statistics.median(each.took_s for each in made) * 1e3,
        "in all, greatest": max(each.took_s for each in made) * 1e3,
        "cut from at least, W": min(each.from_w for each in made),
    }
    holds = worst.beyond_s <= cut.TICK_S
    figure = f"cut to 3.0 kW, agent {name}: beyond the setters' own time"
    return Figure(figure, worst.beyond_s * 1e3, "ms", f"<= {cut.TICK_S * 1e3:g}", holds, peers)


def _shares(directory: Path) -> list[Figure]:
    speeds = oracle.measure(directory, share.GPU_MODEL, SEEDS[0])
    to_oracle, equal_to_oracle, courses = [], [], []
    for seed in SEEDS:
        pieces = tuple(wander(seed, SECONDS, MOST_W, DWELL_S))
        best = share.split(directory, f"oracle-{seed}", seed, pieces, SECONDS, speeds)
        equal = share.split(directory, f"equal-{seed}", seed, pieces, SECONDS, None)
        ours = share.governed(directory, f"eagent-{seed}", seed, pieces, SECONDS)
        to_oracle.append(ours.work_s / best.work_s)
        equal_to_oracle.append(equal.work_s / best.work_s)
        courses.append(ours)
    worst, over_s = min(to_oracle), max(each.over_s for each in courses)
    more = min(a / b for a, b in zip(to_oracle, equal_to_oracle, strict=True))
    return [
        Figure(
            f"work / oracle, least of {len(SEEDS)} courses of {SECONDS / 60:g} min", worst, "ratio", ">= 0.97",
            worst >= 0.97, {"mean": statistics.fmean(to_oracle), "equal split": statistics.fmean(equal_to_oracle)},
        ),
        Figure("work / equal split, least", more, "ratio", "> 1", more > 1),
        _minutes("time in setters, greatest minute", courses),
        Figure("virtual time: above the envelope", over_s, "s", "0", over_s == 0),
        *_ramped(directory, speeds),
        *_hostile(directory, speeds),
    ]  # fmt: skip


def _minutes(figure: str, courses: Sequence[share.Course]) -> Figure:
    shares = [each for course in courses for each in course.write_shares]
    writes = sum(course.writes for course in courses) / len(shares)
    peers = {"mean": statistics.fmean(shares), "writes a minute": writes}
    return Figure(figure, max(shares), "share", f"<= {MINUTE_SHARE:g}", max(shares) <= MINUTE_SHARE, peers)


def _ramped(directory: Path, speeds: oracle.Speeds) -> list[Figure]:
    pieces = tuple(wander(SEEDS[0], SECONDS, MOST_W, DWELL_S))
    best = share.split(directory, "oracle-ramp", SEEDS[0], pieces, SECONDS, speeds)
    ours, rise_w = share.ramped(directory, "eagent-ramp", SEEDS[0], pieces, SECONDS, RAMP_W_PER_S)
    peers = {"work / oracle": ours.work_s / best.work_s}
    figure = f"ramp of {RAMP_W_PER_S:g} W/s: greatest rise in a second"
    return [Figure(figure, rise_w, "W", f"<= {RAMP_W_PER_S:g}", rise_w <= RAMP_W_PER_S, peers)]


def _hostile(directory: Path, speeds: oracle.Speeds) -> list[Figure]:
    """Loads that change every few seconds: no goal for the work, but the writes keep theirs."""
    pieces = tuple(wander(SEEDS[0], SECONDS, MOST_W, HOSTILE_DWELL_S))
    best = share.split(directory, "oracle-fast", SEEDS[0], pieces, SECONDS, speeds)
    equal = share.split(directory, "equal-fast", SEEDS[0], pieces, SECONDS, None)
    ours = share.governed(directory, "eagent-fast", SEEDS[0], pieces, SECONDS)
    peers = {"equal split": equal.work_s / best.work_s}
    return [
        Figure("fast swings: work / oracle", ours.work_s / best.work_s, "ratio", peers=peers),
        _minutes("fast swings: time in setters, greatest minute", [ours]),
    ]


if __name__ == "__main__":
    main()
