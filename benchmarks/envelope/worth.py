"""A binding envelope on 8 x H100 with jobs of several kinds on all of them: shared by need, by work, and by the oracle.

    make bench NAME=envelope.worth

The jobs never change, and tell how far they come. What is known of them was learnt in a run before, without a budget,
by the efficiency policy. Then the same jobs run under budgets of several sizes, in virtual time. The plant counts what
they get done.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.efficiency.beats import JITTER, Beats
from benchmarks.envelope import oracle
from benchmarks.envelope.demand import GPUS, KINDS
from benchmarks.envelope.share import FULL_W, GPU_MODEL, SAFE_W
from benchmarks.figures import Figure, publish
from benchmarks.virtual import Governed, Ungoverned
from eagent.config import Config
from eagent.model import Progress
from eagent.policy.efficiency import Curves, all_curves
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.account import limits_over_budget_s

STEP_S = 0.3  # of a job, at full clock
LEARN_S = 900.0
LEAD_S = 60.0  # before work is counted: boards get warm, limits are shared
SECONDS = 300.0
ENVELOPES_W = (2600.0, 3000.0, 3400.0)  # from where half of the work is left to where little is to be had
MIXES: Mapping[str, Sequence[str]] = {
    "mixed": ("gemm", "gemm", "gemm", "mixed", "mixed", "stream", "stream", "light"),
    "half compute, half memory": ("gemm", "stream") * 4,
}


@dataclass(frozen=True, slots=True)
class Done:
    """What one host came to."""

    work_s: float  # seconds of one GPU at full clock
    least: float  # the slowest job's pace
    writes: int
    over_s: float  # for how long the limits in force summed above the envelope
    limits_w: tuple[float, ...] = ()  # at the end


class _Jobs:
    """One job on each GPU, and what they tell."""

    def __init__(self, plant: Host, names: Sequence[str], seed: int) -> None:
        self._plant = plant
        for gpu, name in enumerate(names):
            KINDS[name].load.start(plant, [gpu], pid=os.getpid())
        uuids = [frozenset([plant.view(gpu)["uuid"]]) for gpu in range(len(names))]
        self._beats = [
            Beats(f"{gpu} {name}", uuid, seed * 100 + gpu, JITTER, STEP_S)
            for gpu, (name, uuid) in enumerate(zip(names, uuids, strict=True))
        ]

    def work_s(self) -> list[float]:
        """Of each, in seconds at full clock."""
        done = {one["gpus"][0]: one["units"][0] for one in self._plant.progress()}
        return [done[gpu] for gpu in range(len(self._beats))]

    def tell(self, now_ns: int) -> tuple[Progress, ...]:
        """How far each has come."""
        for beats, work_s in zip(self._beats, self.work_s(), strict=True):
            beats.advance(now_ns * 1e-9, work_s, STEP_S)
        return tuple(beats.progress() for beats in self._beats if beats.done)


def learn(directory: Path, names: Sequence[str], seed: int) -> Curves:
    """What is known of the jobs after a run without a budget."""
    host = Governed(directory, "learn", seed, Config(mode_efficiency="act"), gpu_model=GPU_MODEL)
    try:
        host.tell(_Jobs(host.plant, names, seed).tell)
        host.advance(LEARN_S)
        return all_curves(host.governor.thrift)
    finally:
        host.close()


def governed(
    directory: Path, names: Sequence[str], seed: int, envelope_w: float, seconds: float, by: str, curves: Curves
) -> Done:
    """A host under eagent that shares by "need" or by "work"."""
    name = f"{by}-{envelope_w:g}-{seed}"
    host = Governed(directory, name, seed, Config(budget_share=by), gpu_model=GPU_MODEL, curves=curves)
    try:
        host.set_budget(envelope_w, SAFE_W)
        return _play(host, names, seed, envelope_w, seconds)
    finally:
        host.close()


def split(
    directory: Path, names: Sequence[str], seed: int, envelope_w: float, seconds: float, speeds: oracle.Speeds | None
) -> Done:
    """A host with the oracle's split, or without `speeds` an equal one."""
    host = Ungoverned(directory, f"{'oracle' if speeds else 'equal'}-{envelope_w:g}-{seed}", seed, GPU_MODEL)
    try:
        limits_w = [envelope_w / GPUS] * GPUS if speeds is None else oracle.split(names, envelope_w, speeds)
        for gpu, limit_w in enumerate(limits_w):
            host.plant.set_power_limit(gpu, limit_w)
        return _play(host, names, seed, envelope_w, seconds)
    finally:
        host.close()


def _play(host: Ungoverned, names: Sequence[str], seed: int, envelope_w: float, seconds: float) -> Done:
    jobs = _Jobs(host.plant, names, seed)
    if isinstance(host, Governed):
        host.tell(jobs.tell)
    with Faults(host.made.plant) as lab:
        host.advance(LEAD_S)
        before, written = jobs.work_s(), lab.calls()["set"][0]
        host.advance(LEAD_S + seconds)
        paces = [(done - was) / seconds for done, was in zip(jobs.work_s(), before, strict=True)]
        writes = lab.calls()["set"][0] - written
    over_s = limits_over_budget_s(host.plant.limit_log(), [FULL_W] * GPUS, [(1.0, LEAD_S + seconds, envelope_w)])
    limits_w = tuple(host.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(GPUS))
    return Done(sum(paces) * seconds, min(paces), writes, over_s, limits_w)


def main() -> None:
    """All watts are simulated."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        publish("worth", list(_figures(Path(directory))))


def _figures(directory: Path) -> Iterator[Figure]:
    speeds = oracle.measure(directory, GPU_MODEL, 1)
    for name, kinds in MIXES.items():
        place = directory / name
        place.mkdir()
        curves = learn(place, kinds, 1)
        for envelope_w in ENVELOPES_W:
            best = split(place, kinds, 2, envelope_w, SECONDS, speeds)
            equal = split(place, kinds, 2, envelope_w, SECONDS, None)
            need, work = (governed(place, kinds, 2, envelope_w, SECONDS, by, curves) for by in ("need", "work"))
            what = f"{name}, {envelope_w:g} W"
            peers = {
                "by need / oracle": need.work_s / best.work_s,
                "equal split / oracle": equal.work_s / best.work_s,
                "slowest job": work.least,
                "slowest job by need": need.least,
                "writes a minute": work.writes * 60 / SECONDS,
                "writes a minute by need": need.writes * 60 / SECONDS,
            }
            ratio = work.work_s / best.work_s
            yield Figure(f"{what}: by work / oracle", ratio, "ratio", ">= 0.985", ratio >= 0.985, peers)
            gain = work.work_s / need.work_s
            yield Figure(f"{what}: by work / by need", gain, "ratio", ">= 1", gain >= 1)
            yield Figure(f"{what}: above the envelope", work.over_s, "s", "0", work.over_s == 0)


if __name__ == "__main__":
    main()
