"""One-hour jobs at each bound, set against the oracle; and what a second run, or another phase, makes of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from benchmarks.calibrate.rig import GPUS
from benchmarks.efficiency import oracle, quick
from benchmarks.efficiency.loads import Job
from benchmarks.efficiency.oracle import Known
from benchmarks.efficiency.quick import Run, Second, Trouble
from benchmarks.figures import Figure

HOUR_S = 3600.0
NEAR_PT = 1.5  # points of energy: no job may be further from the oracle
OVER_PT = 0.5  # points of time: no run may be further above its bound
Key = tuple[str, str]  # a board's model and a job's name


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one job against its oracle. Shares."""

    job: Job
    seed: int
    slowdown: float
    saved: float
    oracle: float  # the best at the slowdown that it came to
    oracle_at_bound: float


def hosts(jobs: Sequence[Job], most: int = GPUS) -> list[list[Job]]:
    """Jobs as they fit onto hosts of one board each."""
    boards: dict[str, list[Job]] = {}
    for job in jobs:
        boards.setdefault(job.gpu_model, []).append(job)
    return [board[first : first + most] for board in boards.values() for first in range(0, len(board), most)]


def know(jobs: Sequence[Job], seconds: float, pool: ProcessPoolExecutor) -> dict[Key, Known]:
    """The oracle of each job."""
    parts = hosts(jobs, 4)
    found = pool.map(oracle.know, parts, [seconds] * len(parts))
    return {
        (job.gpu_model, job.name): known
        for part, knowns in zip(parts, found, strict=True)
        for job, known in zip(part, knowns, strict=True)
    }


def _play(jobs: Sequence[Job], bound: float, seed: int, seconds: float, trouble: Trouble) -> list[Second]:
    return [run.last for run in quick.play(jobs, bound, seed, seconds, trouble)]


def play(
    jobs: Sequence[Job],
    known: Mapping[Key, Known],
    bound: float,
    seeds: Sequence[int],
    pool: ProcessPoolExecutor,
    trouble: Trouble = quick.USUAL,
    seconds: float = HOUR_S,
) -> list[Result]:
    """All jobs with all seeds at one bound."""
    parts = [(part, seed) for seed in seeds for part in hosts(jobs)]
    found = pool.map(
        _play,
        [part for part, _ in parts],
        [bound] * len(parts),
        [seed for _, seed in parts],
        [seconds] * len(parts),
        [trouble] * len(parts),
    )
    return [
        result(job, seed, bound, known[job.gpu_model, job.name], end)
        for (part, seed), ends in zip(parts, found, strict=True)
        for job, end in zip(part, ends, strict=True)
    ]


def result(job: Job, seed: int, bound: float, known: Known, end: Second) -> Result:
    """A run against its oracle; `end` is how it stood at its end."""
    slowdown = known.work_s / end.work_s * end.at_s / known.seconds - 1
    saved = 1 - end.joules / end.work_s / known.joules
    return Result(job, seed, slowdown, saved, known.best(max(0.0, slowdown)), known.best(bound))


def figures(label: str, bound: float, results: Sequence[Result], goal: float) -> list[Figure]:
    """What the runs at one bound came to."""
    saved, best = sum(result.saved for result in results), sum(result.oracle for result in results)
    at_bound = sum(result.oracle_at_bound for result in results)
    share = saved / best
    kept = statistics.fmean(result.slowdown <= bound for result in results)
    over_pt = 100 * max(result.slowdown - bound for result in results)
    jobs: dict[Key, list[float]] = {}
    for result in results:
        gap_pt = 100 * (result.oracle - result.saved)
        jobs.setdefault((result.job.gpu_model, result.job.name), []).append(gap_pt)
    gaps = {key: statistics.fmean(values) for key, values in jobs.items()}
    worst = max(gaps, key=lambda key: gaps[key])
    mean_slowdown = statistics.fmean(result.slowdown for result in results)
    more = {
        "at the bound": saved / at_bound,
        "mean saved %": 100 * saved / len(results),
        "slowdown %": 100 * mean_slowdown,
    }
    name = f"{label}, bound {bound:.0%}"
    return [
        Figure(f"{name}: saved / oracle, {len(results)} runs", share, "ratio", f">= {goal:g}", share >= goal, more),
        Figure(f"{name}: bound kept in", kept, "ratio", ">= 0.95", kept >= 0.95),
        Figure(f"{name}: worst above the bound", over_pt, "points", f"<= {OVER_PT}", over_pt <= OVER_PT),
        Figure(
            f"{name}: worst job below its oracle ({worst[1]})", gaps[worst], "points", f"<= {NEAR_PT}",
            gaps[worst] <= NEAR_PT,
        ),
    ]  # fmt: skip


def streams(results: Sequence[Result]) -> list[Figure]:
    """Memory-bound work on an A100."""
    found = [result for result in results if result.job.name == "babelstream"]
    saved, slowdown = min(r.saved for r in found), max(r.slowdown for r in found)
    holds = saved >= 0.30 and slowdown <= 0.01
    name = f"A100 stream, bound 1%: least saved of {len(found)} runs"
    return [Figure(name, 100 * saved, "%", ">= 30", holds, {"greatest slowdown %, <= 1": 100 * slowdown})]


def _again(jobs: Sequence[Job], bound: float, seed: int) -> list[float]:
    first = quick.play(jobs, bound, seed, HOUR_S)
    memory = first[0].memory
    curves = quick.efficiency.all_curves(memory)
    second = quick.play(jobs, bound, seed + 1000, 400.0, curves=curves)
    return [_each_j(two, 120, 400) / _each_j(one, 3000, 3600) for one, two in zip(first, second, strict=True)]


def _each_j(run: Run, from_s: float, to_s: float) -> float:
    begin, end = (run.course[int(at_s) - 1] for at_s in (from_s, to_s))
    return (end.joules - begin.joules) / (end.work_s - begin.work_s)


def again(jobs: Sequence[Job], bound: float, seeds: Sequence[int], pool: ProcessPoolExecutor) -> list[Figure]:
    """A second run of each job: its energy from the third minute on, over that of the end of the first."""
    parts = [(part, seed) for seed in seeds for part in hosts(jobs)]
    found = pool.map(_again, [part for part, _ in parts], [bound] * len(parts), [seed for _, seed in parts])
    ratios = [ratio for part in found for ratio in part]
    middle = statistics.median(ratios)
    name = f"second run, bound {bound:.0%}: energy of minutes 3 to 7 / first run's end, median of {len(ratios)}"
    peers = {"p90": statistics.quantiles(ratios, n=10)[-1], "worst": max(ratios)}
    return [Figure(name, middle, "ratio", "<= 1.02", middle <= 1.02, peers)]


CHANGES_S = (900.0, 1200.0, 2100.0)  # train, eval, train, eval, and so on


def _phases(jobs: Sequence[Job], bound: float, seed: int) -> list[float]:
    """For each change of each job, how long until it goes within its bound again."""
    other = [
        replace(
            job, step_s=job.step_s / 3, load=replace(job.load, compute=0.6 * job.load.compute, compute_fraction=0.9)
        )
        for job in jobs
    ]
    then = [(at_s, other if number % 2 == 0 else list(jobs)) for number, at_s in enumerate(CHANGES_S)]
    runs = quick.play(jobs, bound, seed, 2400.0, then=then)
    return [_back_s(run, at_s, bound) for run in runs for at_s in CHANGES_S]


def _back_s(run: Run, change_s: float, bound: float) -> float:
    """From a change on, until the pace is within the bound; the pace at the top is the best of the next minutes."""
    place = int(change_s)
    paces = [b.work_s - a.work_s for a, b in zip(run.course[place:], run.course[place + 1 : place + 120], strict=False)]
    top = max(paces)
    slow = [second for second, pace in enumerate(paces[:60], 1) if pace < top / (1 + bound) - 1e-3]
    run_of = 0
    for expected, second in enumerate(slow, 1):
        if second != expected:
            break
        run_of = second
    return float(run_of)


def phases(jobs: Sequence[Job], bound: float, seeds: Sequence[int], pool: ProcessPoolExecutor) -> list[Figure]:
    """Training that becomes evaluation and training again."""
    parts = [(part, seed) for seed in seeds for part in hosts(jobs, 3)]
    found = pool.map(_phases, [part for part, _ in parts], [bound] * len(parts), [seed for _, seed in parts])
    times = [back_s for part in found for back_s in part]
    worst = max(times)
    peers = {"p95": statistics.quantiles(times, n=20)[-1], "median": statistics.median(times)}
    name = f"phase changes, bound {bound:.0%}: within it again, worst of {len(times)}"
    return [Figure(name, worst, "s", "<= 15", worst <= 15, peers)]
