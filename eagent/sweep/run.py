"""One run of the command under one setting, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from eagent.sweep.setting import Setting


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured. `why` says why it can't be used, and is empty if it can."""

    setting: Setting
    seconds: float | None = None
    energy_j: float | None = None
    half_width_j: float = 0.0  # 95 %
    gain_j: float = 0.0  # the boards' own constant error, which no comparison on one host hangs on
    units: float = 1.0
    why: str = ""
    notes: tuple[str, ...] = ()  # what is doubtful though it counts
    simulated: bool = False

    @property
    def time_s(self) -> float | None:
        """For one unit."""
        return self.seconds / self.units if self.seconds is not None and not self.why else None

    @property
    def joules(self) -> float | None:
        """For one unit."""
        return self.energy_j / self.units if self.energy_j is not None and not self.why else None
