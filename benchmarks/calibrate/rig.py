"""Many GPUs on the plant at once, in virtual time: what power each load takes under its setting, and how fast it goes.

All is read from the plant's truth: nothing here knows how the plant comes to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagent.sim import _maker, _plant
from eagent.sim.workload import Square

Model = Mapping[str, Mapping[str, Any]]

GPUS = 16  # of one simulated host
SEED = 1
FOREVER_S = 1e5  # the period of a load that never rests


@dataclass(frozen=True, slots=True)
class Load:
    """A kernel that runs all the time; the numbers as in `eagent.sim.workload`."""

    compute: float
    memory: float
    compute_fraction: float

    def square(self) -> Square:
        """As the plant takes it."""
        return Square(FOREVER_S, 1.0, self.compute, self.memory, self.compute_fraction)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is set on a GPU; None: left as it is."""

    limit_w: float | None = None
    lock_mhz: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The plant's truth about one GPU, over the time that it was watched."""

    power_w: float
    pace: float  # work done per second; 1 at full clock


@dataclass(frozen=True, slots=True)
class Rig:
    """Where loads are tried: on GPUs of `model`, watched for `watch_s` once they have run for `settle_s`."""

    model: Model
    settle_s: float = 900.0  # five times the slowest time constant of the coolers
    watch_s: float = 20.0

    def quick(self) -> Rig:
        """The same GPUs with coolers that settle at once: as warm in the end, and there in seconds. To fit with."""
        heat = self.model["heat"]
        fast = {**heat, "time_s": [min(time_s, 0.5) for time_s in heat["time_s"]]}
        return Rig({**self.model, "heat": fast}, settle_s=5.0, watch_s=5.0)

    def measure(self, runs: Sequence[tuple[Load, Setting]]) -> list[Seen]:
        """What comes of each load under its setting."""
        with tempfile.TemporaryDirectory(prefix="eagent-calibrate-") as directory:
            seen: list[Seen] = []
            for first in range(0, len(runs), GPUS):
                seen += self._host(Path(directory) / f"plant{first}", runs[first : first + GPUS])
        return seen

    def _host(self, path: Path, runs: Sequence[tuple[Load, Setting]]) -> list[Seen]:
        create(path, self.model, gpus=len(runs))
        with _plant.Host(path) as host:
            for gpu, (load, setting) in enumerate(runs):
                if setting.limit_w is not None:
                    host.set_power_limit(gpu, setting.limit_w)
                if setting.lock_mhz is not None:
                    host.lock_clocks(gpu, self.model["clocks"]["min_mhz"], setting.lock_mhz)
                load.square().start(host, [gpu])
            before = self._after(host, self.settle_s)
            after = self._after(host, self.settle_s + self.watch_s)
        path.unlink()
        return [
            Seen((joules - joules0) / self.watch_s, (work - work0) / self.watch_s)
            for (joules0, work0), (joules, work) in zip(before, after, strict=True)
        ]

    def _after(self, host: _plant.Host, time_s: float) -> list[tuple[float, float]]:
        """Joules and work so far of each GPU, which has one load each, in order."""
        host.advance(time_s)
        work = {one["gpus"][0]: one["units"][0] for one in host.progress()}
        return [(host.energy_true_j(gpu), work[gpu]) for gpu in range(host.gpu_count)]


def create(path: Path, model: Model, *, gpus: int = 1, seed: int = SEED, **parts: Any) -> None:
    """Make a plant in virtual time; `parts` as `eagent.sim._maker.create` takes them: cpu, supply."""
    fixed = {"gpus": gpus, "seed": seed, "permission": "anyone", "clock": "virtual"}
    _maker.create(path, {**fixed, "model": model, **parts})
