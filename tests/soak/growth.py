"""Whether something grows: a line fitted to what was measured after a warm-up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Growth:
    """What one quantity did."""

    what: str
    first: float  # at the end of the warm-up, by the line
    growth: float  # from there to the end, by the line
    bound: float
    most: float
    samples: int

    @property
    def is_bounded(self) -> bool:
        """Whether it did not grow by more than the bound."""
        return self.growth <= self.bound

    def __str__(self) -> str:
        """One line for a person."""
        word = "ok" if self.is_bounded else "GROWS"
        return (
            f"{self.what:<28} {self.first:>12,.0f} {self.growth:>+12,.1f} (bound {self.bound:,.0f}), "
            f"at most {self.most:,.0f}, {self.samples} samples: {word}"
        )


def fit(what: str, samples: Sequence[tuple[float, float]], begin: float, bound: float) -> Growth:
    """Fit a line by least squares to what came after the warm-up.

    Args:
        what: For the reader.
        samples: Time and value, in order of time.
        begin: The time at which the warm-up is over: until then caches fill, and imports come late.
        bound: By how much the line may rise from there to the end.

    Raises:
        ValueError: too few samples.
    """
    kept = [each for each in samples if each[0] >= begin]
    if len(kept) < 10:
        raise ValueError(f"{what}: {len(kept)} samples after the warm-up: too few for a verdict")
    mean_t = sum(t for t, _ in kept) / len(kept)
    mean = sum(value for _, value in kept) / len(kept)
    spread = sum((t - mean_t) ** 2 for t, _ in kept)
    slope = sum((t - mean_t) * (value - mean) for t, value in kept) / spread
    first = mean + slope * (kept[0][0] - mean_t)
    return Growth(what, first, slope * (kept[-1][0] - kept[0][0]), bound, max(value for _, value in kept), len(kept))
