"""What the owner of a job asks of a GPU that its processes hold: less power, or more time for less energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Wish:
    """Each None: not asked. What is a bound only lowers; what is a goal only lets the owner's own work take longer."""

    limit_w: float | None = None  # bounds: the most that the power limit is to be
    clock_mhz: float | None = None  # likewise the clock
    slowdown: float | None = None  # goals: how much longer the job may take, as a share
    first_token_p99_s: float | None = None  # what the p99 of the time to the first token may be
    between_tokens_p99_s: float | None = None  # likewise of the time between two tokens

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked."""
        return self == Wish()

    @property
    def bounds(self) -> Wish:
        """Without the goals."""
        return replace(self, slowdown=None, first_token_p99_s=None, between_tokens_p99_s=None)


def agreed(wishes: Sequence[Wish]) -> Wish:
    """What all of them ask for: the lowest bounds that are below nobody's, and the strictest goals."""

    def most(name: str) -> float | None:
        asked = [getattr(wish, name) for wish in wishes]
        return None if None in asked else max(asked, default=None)

    def least(name: str) -> float | None:
        asked = [getattr(wish, name) for wish in wishes]
        return None if None in asked else min(asked, default=None)

    return Wish(
        limit_w=most("limit_w"),
        clock_mhz=most("clock_mhz"),
        slowdown=least("slowdown"),
        first_token_p99_s=least("first_token_p99_s"),
        between_tokens_p99_s=least("between_tokens_p99_s"),
    )
