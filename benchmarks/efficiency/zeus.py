"""eagent's efficiency policy beside Zeus' GlobalPowerLimitOptimizer, unmodified: wall time, the same jobs and bound.

    make bench NAME=efficiency.zeus ARGS='--seconds 300 --runs 3'

Three jobs, bound by memory, mixed and bound by compute, run on a GPU each of two simulated hosts that do not differ. On
one each job calls Zeus at its steps, on the other it beats, and `eagent up` governs from outside. Both search while the
job runs, and that counts: a job's joules for each unit of its work, and its time, are the plant's truth from its first
step to its last, against the same work at full clocks. All joules are simulated.

Zeus tries its board's 300 to 150 W in steps of 25 W, each for 10 steps to warm up and 40 to measure: its defaults. With
steps of a tenth of a second that is an eighth of five minutes; longer steps cost it more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.efficiency import loads
from benchmarks.efficiency.loads import Job
from benchmarks.figures import Figure, publish
from eagent.sim import host as simulated
from eagent.sim._plant import Host
from eagent.sim.host import SimulatedHost

GPU_MODEL = "a100-pcie-80gb"  # of whose jobs the benchmark's table has one of each kind
STEP_S = 0.1
BOUND = 0.05
WORSE_PT = 0.5  # points of energy: no job may save so much less than under Zeus
CLIENTS = Path(sys.prefix) / "clients/bin/python"
SCRIPTS = Path(__file__).with_name("scripts")
ROOT = Path(__file__).parents[2]
START_S, END_S = 90.0, 60.0  # two interpreters, on a machine that does other things
NOWHERE = "http://127.0.0.1:9"  # what has it for a proxy reaches nobody, at once
CONFIG = f'[policy]\nmode_efficiency = "act"\nefficiency_slowdown = {BOUND}\n'


@dataclass(frozen=True, slots=True)
class Came:
    """What came of one job. Shares."""

    job: str
    saved: float
    slowdown: float
    steps: int
    chosen: float | None  # Zeus' limit in watts, once it has one


@dataclass(frozen=True, slots=True)
class Full:
    """A job at full clocks: its joules after each second, and the work done."""

    joules: tuple[float, ...]
    work_s: tuple[float, ...]

    def at(self, work_s: float) -> tuple[float, float]:
        """After so much work: seconds and joules."""
        place = next(place for place, done in enumerate(self.work_s) if done >= work_s)
        part = (work_s - self.work_s[place - 1]) / (self.work_s[place] - self.work_s[place - 1])
        return place - 1 + part, self.joules[place - 1] + part * (self.joules[place] - self.joules[place - 1])


def main() -> None:
    """Run both, print and publish."""
    parser = argparse.ArgumentParser(prog="benchmarks.efficiency.zeus")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long each job runs (default 300)")
    parser.add_argument("--runs", type=int, default=3, help="each on other boards, with other steps (default 3)")
    parser.add_argument("--at-once", type=int, default=1, help="so many runs; each needs a fifth of a core (default 1)")
    parser.add_argument("--step", type=float, default=STEP_S, help="seconds of a step at full clock (default 0.1)")
    args = parser.parse_args()
    if not CLIENTS.exists():
        raise SystemExit(f"Zeus is not installed in {CLIENTS.parent.parent}: make clients")
    jobs = [job for job in loads.read() if job.gpu_model == GPU_MODEL]
    ours: list[Came] = []
    theirs: list[Came] = []
    seeds = range(1, args.runs + 1)
    with ThreadPoolExecutor(args.at_once) as pool:
        for seed, (came, came_theirs) in zip(
            seeds, pool.map(lambda seed: run(jobs, seed, args.seconds, args.step), seeds), strict=True
        ):
            tell(seed, "eagent", came)
            tell(seed, "Zeus", came_theirs)
            ours += came
            theirs += came_theirs
    publish("efficiency-zeus", figures(ours, theirs))


def tell(seed: int, label: str, came: Sequence[Came]) -> None:
    """A line a job."""
    for one in came:
        chosen = f", {one.chosen:g} W" if one.chosen else ""
        how = f"{one.saved:7.2%} saved, {one.slowdown:6.2%} slower, {one.steps} steps{chosen}"
        print(f"run {seed}, {label:<6} {one.job:<12} {how}", flush=True)


def figures(ours: Sequence[Came], theirs: Sequence[Came]) -> list[Figure]:
    """Means over all runs."""
    mean, mean_theirs = (100 * statistics.fmean(one.saved for one in each) for each in (ours, theirs))
    gaps_pt = {job: 100 * (_saved(theirs, job) - _saved(ours, job)) for job in dict.fromkeys(one.job for one in ours)}
    worst = max(gaps_pt, key=lambda job: gaps_pt[job])
    slower, slower_theirs = (100 * max(one.slowdown for one in each) for each in (ours, theirs))
    return [
        Figure(f"mean saving of {len(ours)} jobs, bound {BOUND:.0%}", mean, "%", ">= Zeus", mean >= mean_theirs,
               {"Zeus": mean_theirs}),
        Figure(f"most below Zeus ({worst})", gaps_pt[worst], "points", f"<= {WORSE_PT}", gaps_pt[worst] <= WORSE_PT,
               {job: -gap_pt for job, gap_pt in gaps_pt.items()}),
        *where_kept(ours, theirs),
        Figure("greatest slowdown", slower, "%", f"<= {100 * BOUND + 0.5:g}", slower <= 100 * BOUND + 0.5,
               {"Zeus": slower_theirs}),
    ]  # fmt: skip


def where_kept(ours: Sequence[Came], theirs: Sequence[Came]) -> list[Figure]:
    """Of the jobs in which each kept the bound, too: who breaks it saves more. None if there was none."""
    kept = [both for both in zip(ours, theirs, strict=True) if max(one.slowdown for one in both) <= BOUND]
    if not kept:
        return []
    mean, mean_theirs = (100 * statistics.fmean(one.saved for one in each) for each in zip(*kept, strict=True))
    name = f"mean saving where each kept the bound, {len(kept)} jobs"
    return [Figure(name, mean, "%", ">= Zeus", mean >= mean_theirs, {"Zeus": mean_theirs})]


def _saved(came: Sequence[Came], job: str) -> float:
    return statistics.fmean(one.saved for one in came if one.job == job)


def run(jobs: Sequence[Job], seed: int, seconds: float, step_s: float) -> tuple[list[Came], list[Came]]:
    """Both at once: under eagent, and under Zeus."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-", dir="/tmp") as directory, ExitStack() as stack:  # short
        full = at_full_clocks(Path(directory), jobs, seed, seconds)
        hosts = [
            simulated.create(Path(directory), name, gpus=len(jobs), seed=seed, gpu_model=GPU_MODEL)
            for name in ("eagent", "zeus")
        ]
        stack.enter_context(governed(hosts[0]))
        scripts = ([sys.executable, str(SCRIPTS / "beating_job.py")], [str(CLIENTS), str(SCRIPTS / "zeus_job.py")])
        processes = [
            stack.enter_context(program([*command, told(job, gpu, host, seed, seconds, step_s)], host))
            for host, command in zip(hosts, scripts, strict=True)
            for gpu, job in enumerate(jobs)
        ]
        for process in processes:
            said(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        ended = [json.loads(said(process)) for process in processes]
    came = [judged(*each) for each in zip(2 * list(jobs), ended, 2 * full, strict=True)]
    return came[: len(jobs)], came[len(jobs) :]


def told(job: Job, gpu: int, host: SimulatedHost, seed: int, seconds: float, step_s: float) -> str:
    """A job's settings, as the scripts take them."""
    load = (job.load.compute, job.load.memory, job.load.compute_fraction)
    settings = {"name": job.name, "plant": str(host.plant), "gpu": gpu, "load": load, "step_s": step_s}
    return json.dumps({**settings, "seconds": seconds, "seed": 100 * seed + gpu, "bound": BOUND})


def judged(job: Job, ended: dict[str, Any], full: Full) -> Came:
    """A job against the same work at full clocks."""
    seconds, joules = full.at(ended["work_s"])
    saved, slowdown = 1 - ended["joules"] / joules, ended["seconds"] / seconds - 1
    return Came(job.name, saved, slowdown, ended["steps"], ended.get("chosen"))


def at_full_clocks(directory: Path, jobs: Sequence[Job], seed: int, seconds: float) -> list[Full]:
    """The same boards with the same jobs and nobody who sets anything, in virtual time."""
    made = simulated.create(directory, "full", gpus=len(jobs), seed=seed, gpu_model=GPU_MODEL, clock="virtual")
    with Host(made.plant) as plant:
        for gpu, job in enumerate(jobs):
            job.load.square().start(plant, [gpu])
        begun_j = [plant.energy_true_j(gpu) for gpu in range(len(jobs))]
        joules: list[list[float]] = [[0.0] for _ in jobs]
        work_s: list[list[float]] = [[0.0] for _ in jobs]
        for second in range(1, round(seconds) + 60):
            plant.advance(second)
            for one in plant.progress():
                gpu = one["gpus"][0]
                work_s[gpu].append(one["units"][0])
                joules[gpu].append(plant.energy_true_j(gpu) - begun_j[gpu])
    return [Full(tuple(its_j), tuple(its_s)) for its_j, its_s in zip(joules, work_s, strict=True)]


def environ(host: SimulatedHost) -> dict[str, str]:
    """For a program on this host, without a network; what it leaves is on the host."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EAGENT_")}
    home = {"HOME": str(host.path / "run"), "TMPDIR": str(host.path / "run"), "TERM": "dumb"}
    return {**host.environment(own), **home, "PYTHONPATH": str(ROOT), "http_proxy": NOWHERE, "https_proxy": NOWHERE}


@contextlib.contextmanager
def governed(host: SimulatedHost) -> Iterator[None]:
    """`eagent up` on a host, for as long as the block runs."""
    config, log = host.path.with_name("eagent.toml"), host.path.with_name("up.log")
    config.write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "eagent", "up", f"--config={config}"]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, env=environ(host), stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_S
        while "eagent is up" not in log.read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"eagent up: {log.read_text(encoding='utf-8')}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(END_S)


@contextlib.contextmanager
def program(command: Sequence[str], host: SimulatedHost) -> Iterator[subprocess.Popen[str]]:
    """A job's process. It has ended when the block does.

    A shell of its own begins it, as a user's would: what one program begins at one time is one job to eagent.
    """
    shell = ["sh", "-c", '"$@"; exit', "sh"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([*shell, *command], env=environ(host), text=True, start_new_session=True, **pipes)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended, with its shell
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args}: has ended early")
    return line


if __name__ == "__main__":
    main()
