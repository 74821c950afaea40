"""The slowdown bound over a whole job: time may be lost only after the bound has earned it.

At the top setting nothing is lost, and every second earns `bound` of a second. Below it a stretch of time is set
against what the rate at the top would have needed for the work that it did; that rate is taken to be as much higher
than it was measured as its error allows. What can't be set against anything, between two settings or where the job has
changed, is taken to be lost as if all of the work followed the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CAUTION = 2.0  # standard errors: the bound is to hold in more than 95 of 100 jobs


@dataclass(frozen=True, slots=True)
class Held:
    """What was done below the top in one phase."""

    seconds: float = 0.0
    units: float = 0.0

    def lost_s(self, rate: float, error: float) -> float:
        """The time lost, if `rate` is that at the top. Never below 0: no work is done faster at a lower setting."""
        return max(0.0, self.seconds - self.units / (rate * (1 + CAUTION * error)))

    def least_earned_s(self, rate: float, error: float) -> float:
        """What the work would at least have needed at the top."""
        return min(self.seconds, self.units / (rate * (1 + CAUTION * error)))


@dataclass(frozen=True, slots=True)
class Account:
    """Seconds at the top, and those lost where no phase is known."""

    free_s: float = 0.0
    lost_s: float = 0.0

    def free(self, seconds: float) -> Account:
        """With more time at the top."""
        return replace(self, free_s=self.free_s + seconds)

    def lose(self, seconds: float, share: float) -> Account:
        """With time in which at most this share of it was lost; in the rest of it as much was done as at the top."""
        lost_s = seconds * min(max(share, 0.0), 1.0)
        return Account(self.free_s + seconds - lost_s, self.lost_s + lost_s)

    def slack_s(self, bound: float, held: tuple[tuple[Held, float, float], ...]) -> float:
        """What may still be lost, in seconds; below 0: more was lost than earned.

        Args:
            bound: The share of a job's time that may be lost.
            held: For each phase what was done below the top, the rate at the top, and its relative error.
        """
        earned_s = bound * (self.free_s + sum(each.least_earned_s(rate, error) for each, rate, error in held))
        return earned_s - self.lost_s - sum(each.lost_s(rate, error) for each, rate, error in held)
