"""How fast a job went and what it drew while one setting stood, from counters: in blocks, with their noise.

A block lasts from one word of the job to another some seconds later, so that what it counts was done in just that time.
The noise of a block falls with the root of its length; how much there is shows in how blocks at one setting differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

SECOND_NS = 1_000_000_000
BLOCK_S = 3.0
WORDS = 3  # of the job in a block, at least ...
SLOW_S, FEW = 5.0, 2  # ... and fewer once it takes so long ...
LONGEST_S = 20.0  # ... or any
MOST = 1e15  # units: above, the next one changes nothing in a float


@dataclass(frozen=True, slots=True)
class Look:
    """What the counters said: units done and when, and joules drawn and when."""

    units: float
    at_ns: int
    joules: float
    energy_ns: int


@dataclass(frozen=True, slots=True)
class Block:
    """What was done in one stretch of time, and what was drawn in nearly the same."""

    seconds: float
    units: float
    energy_s: float
    joules: float

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / self.seconds

    @property
    def power_w(self) -> float:
        """Mean watts."""
        return self.joules / self.energy_s


def between(begin: Look, end: Look) -> Block | None:
    """The block from one look to another; None: time or energy has not moved on, or a counter fell."""
    block = Block(
        (end.at_ns - begin.at_ns) / SECOND_NS,
        end.units - begin.units,
        (end.energy_ns - begin.energy_ns) / SECOND_NS,
        end.joules - begin.joules,
    )
    whole = block.seconds > 0 and block.energy_s > 0 and block.units >= 0 and block.joules > 0
    return block if whole and math.isfinite(block.units) and math.isfinite(block.joules) else None


@dataclass(frozen=True, slots=True)
class Noise:
    """How much a block of one second is off, as a share: begun with a guess that a few blocks outweigh."""

    squares: float
    count: float = 3.0

    def add(self, share: float, seconds: float) -> Noise:
        """With one more block that was off by `share`; who is far off counts as four times the usual."""
        square = min(share * share * seconds, 16 * self.squares / self.count)
        keep = 1.0 if self.count < 200 else 0.99
        return replace(self, squares=keep * self.squares + square, count=keep * self.count + 1)

    def over(self, seconds: float) -> float:
        """The standard error of a mean over so long, as a share."""
        return math.sqrt(self.squares / self.count / max(seconds, 1e-3))
