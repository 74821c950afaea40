"""The same jobs seen three ways: by their beats, by their counter, and by what repeats in their power. All simulated.

    make bench NAME=efficiency.sources

One-hour jobs in virtual time on a governed host: loop, warden, ring, agent, policies, lease. How far a job has come is
found out by the agent's own rooms: beats as messages, the counter as an exposition that is asked for as the agent asks,
the rhythm from the ring's records alone. All is set against the oracle of the same steps on the same plant.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

from benchmarks.calibrate.rig import GPUS, Setting, create
from benchmarks.efficiency import loads, oracle, table
from benchmarks.efficiency.loads import Job
from benchmarks.efficiency.oracle import Known
from benchmarks.efficiency.quick import Second
from benchmarks.efficiency.steps import Workers
from benchmarks.figures import Figure, publish
from benchmarks.virtual import Governed
from eagent.agent.endpoints import Followers
from eagent.agent.jobs import Jobs
from eagent.agent.progressing import Progressing
from eagent.config import Config
from eagent.endpoint import Endpoint
from eagent.model import Device, ProgressSource
from eagent.progress.beats import Beat, Beats
from eagent.progress.jobs import Job as Found
from eagent.progress.jobs import Key
from eagent.sim import _plant, model

BOUND, GOAL = 0.05, 0.8
JOBS = (  # as of the table, with steps of 0.58 to 1.9 s; of a step 0.4 to all follows the clock
    ("v100-pcie-16gb", "bert_base_uncased squad 32 adamw"),
    ("v100-pcie-16gb", "deepspeech2 librispeech 24 adamw"),
    ("v100-pcie-16gb", "bert_base_uncased squad 48 adamw"),
    ("v100-pcie-16gb", "deepspeech2 librispeech 48 adamw"),
    ("v100-pcie-16gb", "resnet50 imagenet 256 adadelta"),
    ("v100-pcie-16gb", "deepspeech2 librispeech 96 adamw"),
    ("a40", "resnet50 imagenet 256 adadelta"),
    ("a40", "shufflenetv2 cifar100 8192 adadelta"),
)
SHORTER = 6.0  # than at the top: how much less a setting takes shows sooner than what is drawn while the board warms
USER = 1000
EXPOSITION = """\
# HELP train_loss Of the last step.
# TYPE train_loss gauge
train_loss 2.31
# HELP train_steps_total Steps done.
# TYPE train_steps_total counter
train_steps_total{{rank="0"}} {steps}
"""


class _Found:
    """What runs where, as the agent's Jobs would find it: in virtual time one process does all of it."""

    def __init__(self) -> None:
        self.jobs: tuple[Found, ...] = ()

    def look(self, now_ns: int) -> tuple[Found, ...]:  # noqa: ARG002
        """The same all the time."""
        return self.jobs

    def place(self, pid: int, uid: int, now_ns: int) -> list[Key]:  # noqa: ARG002
        """A process's job."""
        return [job.key for job in self.jobs if job.key[1] == pid]


class _Telling:
    """What the jobs tell, by beats or a counter or not at all, of what their workers do."""

    def __init__(
        self, source: ProgressSource, workers: Workers, into: Progressing, found: _Found, devices: Sequence[Device]
    ) -> None:
        self._source, self._workers, self._into, self._jobs = source, workers, into, found.jobs
        self._now_s = 0.0
        self._said = [0] * len(found.jobs)
        self._due_s = [0.0] * len(found.jobs)
        self._asyncio = asyncio.new_event_loop()
        if source is ProgressSource.COUNTER:
            endpoints = [
                Endpoint("host", gpu, "/metrics", counter="train_steps_total", unit="step", gpus=(f"gpu{gpu}",))
                for gpu in range(len(found.jobs))
            ]
            into.followers = Followers(endpoints, into.jobs, lambda: devices, self._now_ns, self._fetch)

    def advance(self, to_s: float) -> None:
        """Let the host's time pass, and tell what was done in it."""
        if self._source is ProgressSource.COUNTER:
            while (due_s := min(self._due_s)) < to_s:
                self._work(due_s)
                self._ask()
        self._work(to_s)
        if self._source is ProgressSource.BEATS:
            self._beat()

    def close(self) -> None:
        """Tell no more."""
        self._asyncio.close()

    def _work(self, to_s: float) -> None:
        if to_s > self._now_s:
            self._workers.advance(to_s)
            self._now_s = to_s

    def _beat(self) -> None:
        for gpu, (worker, job) in enumerate(zip(self._workers.each, self._jobs, strict=True)):
            if worker.steps > self._said[gpu]:
                self._said[gpu] = worker.steps
                beat = Beat(float(worker.steps), round(worker.at_s * 1e9))
                self._into.beats.take(beat, job.key[1], job.key[0], self._now_ns())

    def _ask(self) -> None:
        assert self._into.followers is not None
        for gpu, followed in enumerate(self._into.followers.each):
            if self._now_s >= self._due_s[gpu]:
                self._asyncio.run_until_complete(followed.ask(self._fetch, self._now_ns))
                self._due_s[gpu] = self._now_s + followed.wait_s

    async def _fetch(self, host: str, port: int, target: str) -> bytes:  # noqa: ARG002
        return EXPOSITION.format(steps=self._workers.each[port].steps).encode()

    def _now_ns(self) -> int:
        return round(self._now_s * 1e9)


def play(source: ProgressSource, jobs: Sequence[Job], seed: int, seconds: float) -> list[Second]:
    """How each job stood at the end."""
    config = Config(mode_efficiency="act", efficiency_slowdown=BOUND)
    found = _Found()
    progressing = Progressing(cast("Jobs", found), Beats(found.place), lambda: 0)
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        host = Governed(Path(directory), "sources", seed, config, gpu_model=jobs[0].gpu_model, tap=progressing)
        found.jobs = tuple(
            Found((USER, gpu + 1, gpu), job.name, frozenset([host.plant.view(gpu)["uuid"]]))
            for gpu, job in enumerate(jobs)
        )
        workers = Workers(host.plant, jobs, seed)
        telling = _Telling(source, workers, progressing, found, host.warden.devices)
        host.pass_time = telling.advance
        host.tell(progressing.look)
        host.advance(seconds)
        ends = [Second(seconds, host.plant.energy_true_j(one.gpu), one.work_s, None) for one in workers.each]
        telling.close()
        host.close()
        return ends


def know(jobs: Sequence[Job], seconds: float) -> list[Known]:
    """The oracles of jobs on boards of one model: the same steps at each setting, for less time than at the top."""
    tried = oracle.settings(jobs[0].gpu_model)
    seen = _held([(job, setting) for job in jobs for setting in tried], seconds / SHORTER)
    knowns = [oracle.known(seen[place : place + len(tried)], 1.0) for place in range(0, len(seen), len(tried))]
    tops = _held([(job, Setting()) for job in jobs], seconds)
    return [
        replace(known, seconds=seconds, work_s=work_s, joules=joules / work_s)
        for known, (joules, work_s) in zip(knowns, tops, strict=True)
    ]


def _held(runs: Sequence[tuple[Job, Setting]], seconds: float) -> list[tuple[float, float]]:
    """Joules and work of jobs, each at one setting."""
    numbers = model.load(runs[0][0].gpu_model)
    seen: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        for first in range(0, len(runs), GPUS):
            path, part = Path(directory) / f"plant{first}", runs[first : first + GPUS]
            create(path, numbers, gpus=len(part))
            with _plant.Host(path) as plant:
                for gpu, (_, setting) in enumerate(part):
                    oracle.put(plant, gpu, setting, numbers)
                workers = Workers(plant, [job for job, _ in part], seed=1)
                workers.advance(seconds)
                seen += [(plant.energy_true_j(one.gpu), one.work_s) for one in workers.each]
            path.unlink()
    return seen


def figures(seeds: Sequence[int], seconds: float, pool: ProcessPoolExecutor) -> list[Figure]:
    """For each source what it saves of what can be saved, and whether the bound is kept."""
    by_name = {(job.gpu_model, job.name): job for job in loads.read()}
    hosts = table.hosts([by_name[each] for each in JOBS])
    knowns = list(pool.map(know, hosts, [seconds] * len(hosts)))
    made: list[Figure] = []
    for source in ProgressSource:
        parts = [(place, seed) for seed in seeds for place in range(len(hosts))]
        some, each_seed = [hosts[place] for place, _ in parts], [seed for _, seed in parts]
        found = pool.map(play, [source] * len(parts), some, each_seed, [seconds] * len(parts))
        results = [
            table.result(job, seed, BOUND, known, end)
            for (place, seed), ends in zip(parts, found, strict=True)
            for job, known, end in zip(hosts[place], knowns[place], ends, strict=True)
        ]
        for one in results:
            print(
                f"  {source:<8} {one.job.name:<36} saved {one.saved:.1%} of {one.oracle:.1%}, {one.slowdown:.2%} longer"
            )
        made += table.figures(f"by {source}, governed host, hour", BOUND, results, GOAL)[:3]
    return made


def main() -> None:
    """Measure, print and publish."""
    parser = argparse.ArgumentParser(prog="benchmarks.efficiency.sources")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=table.HOUR_S)
    args = parser.parse_args()
    with ProcessPoolExecutor(2) as pool:
        publish("efficiency.sources", figures(range(1, args.seeds + 1), args.seconds, pool))


if __name__ == "__main__":
    main()
