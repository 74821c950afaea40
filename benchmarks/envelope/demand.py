"""What GPUs want over time: loads that come, change and go, the same for every host that is given the same seed.

A demand is steady within its piece: what a GPU would draw at full clock does not change before its next piece. So the
best split of an envelope is a matter of each moment, and oracle.py can have it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from eagent.sim._plant import Host
from eagent.sim.workload import Square

GPUS = 8
FULL_W = 700.0  # the most that a GPU is let draw
IDLE_W = 72.0  # without a process


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work: a load, and about what it draws at full clock on an H100, by the formulas of its model file."""

    name: str
    load: Square

    @property
    def demand_w(self) -> float:
        """Watts without a limit of ours; the leak is that of the temperature it then has (67 K/kW)."""
        cold_w = 110 + 120 * self.load.memory + 780 * self.load.compute - 1.5 * (28.8 - 24)
        return min(FULL_W, cold_w / (1 - 1.5 * 0.067))


def _steady(name: str, compute: float, memory: float, compute_fraction: float) -> Kind:
    return Kind(name, Square(period_s=1.0, duty=1.0, compute=compute, memory=memory, compute_fraction=compute_fraction))


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _steady("gemm", 0.62, 0.3, 0.96),  # training at a good size: hangs on the clock
        _steady("mixed", 0.42, 0.5, 0.65),
        _steady("stream", 0.22, 1.0, 0.2),  # decoding: hangs on the memory
        _steady("light", 0.15, 0.2, 0.8),  # batches too small to fill it
    )
}
WEIGHTS: Mapping[str | None, float] = {"gemm": 3, "mixed": 3, "stream": 2, "light": 2, None: 3}  # None: nothing runs


@dataclass(frozen=True, slots=True)
class Piece:
    """From `at_s` on the GPUs run these kinds of work; None: nothing."""

    at_s: float
    names: tuple[str | None, ...]


def demand_w(names: Sequence[str | None]) -> float:
    """What all would draw without a limit of ours."""
    return sum(IDLE_W if name is None else KINDS[name].demand_w for name in names)


def wander(seed: int, seconds: float, most_w: float, dwell_s: tuple[float, float]) -> Iterator[Piece]:
    """Demands that stay under `most_w` in sum, and mostly not far below it.

    Args:
        seed: Tells one course from another.
        seconds: How long.
        most_w: The sum that no moment passes.
        dwell_s: For how long a GPU keeps its kind of work: evenly between these.
    """
    chance = random.Random(seed)
    names: list[str | None] = [None] * GPUS
    until_s = [0.0] * GPUS
    now_s = 0.0
    while now_s < seconds:
        for gpu in range(GPUS):
            if until_s[gpu] <= now_s:
                names[gpu] = _drawn(chance, names, gpu, most_w)
                until_s[gpu] = now_s + round(chance.uniform(*dwell_s), 1)
        yield Piece(now_s, tuple(names))
        now_s = min(until_s)


def _drawn(chance: random.Random, names: Sequence[str | None], gpu: int, most_w: float) -> str | None:
    fitting = [
        name for name in WEIGHTS if demand_w([*names[:gpu], name, *names[gpu + 1 :]]) <= most_w
    ]  # nothing always fits
    return chance.choices(fitting, [WEIGHTS[name] for name in fitting])[0]


class Player:
    """Puts pieces on a host and counts the work that comes of them, in seconds of one GPU's work at full clock."""

    def __init__(self, plant: Host) -> None:
        self._plant = plant
        self._done_s = 0.0
        self._last: Piece | None = None

    def put(self, piece: Piece) -> None:
        """From now on the GPUs do this."""
        self._done_s = self.work_s
        self._plant.stop_load()
        for gpu, name in enumerate(piece.names):
            if name is not None:
                KINDS[name].load.start(self._plant, [gpu])
        self._last = piece

    @property
    def work_s(self) -> float:
        """The work done so far."""
        return self._done_s + sum(sum(load["units"]) for load in self._plant.progress() if load["running"])
