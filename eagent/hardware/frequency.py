"""How fast the CPUs of each package run now, as the kernel's cpufreq tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eagent.errors import DriverError
from eagent.hardware import cpufreq, package

# Where each CPU has a policy of its own, reading all of them would cost more than it tells.
POLICIES_MOST = 16  # of a package; a look at one takes 5 us on a plain file, and more where the kernel asks the CPU


class Frequencies:
    """Finds the packages' policies once, as soon as there are any, and reads the same ones again and again."""

    def __init__(self, sysfs: Path) -> None:
        """Nothing is read yet. `sysfs` is what stands for /sys."""
        self._sysfs = sysfs
        self._policies: dict[str, tuple[cpufreq.Policy, ...]] = {}

    def read(self) -> dict[str, float]:
        """The mean frequency in MHz of each package's CPUs, by its UUID; of at most `POLICIES_MOST` of its policies.

        A package is absent where the kernel has no cpufreq or does not tell.
        """
        if not self._policies:
            try:
                self._policies = self._find()
            except DriverError:
                return {}
        return {uuid: mhz for uuid, each in self._policies.items() if (mhz := _mean_mhz(each)) is not None}

    def _find(self) -> dict[str, tuple[cpufreq.Policy, ...]]:
        found: dict[str, list[cpufreq.Policy]] = {}
        policies = cpufreq.discover(self._sysfs)
        package_of = package.topology(self._sysfs) if policies else {}
        for policy in policies:
            found.setdefault(f"CPU-{package_of.get(policy.cpus[0], 0)}", []).append(policy)
        return {uuid: _some(each) for uuid, each in found.items()}


def _some(policies: Sequence[cpufreq.Policy]) -> tuple[cpufreq.Policy, ...]:
    """So many of them as are read, spread evenly."""
    count = min(len(policies), POLICIES_MOST)
    return tuple(policies[index * len(policies) // count] for index in range(count))


def _mean_mhz(policies: Sequence[cpufreq.Policy]) -> float | None:
    """Weighted by CPUs. Those that went off line run at no frequency; None if none is left that tells."""
    told = [(len(policy.cpus), khz) for policy in policies if (khz := _khz(policy)) is not None]
    return sum(cpus * khz for cpus, khz in told) / sum(cpus for cpus, _ in told) / 1000 if told else None


def _khz(policy: cpufreq.Policy) -> int | None:
    try:
        return cpufreq.current_khz(policy)
    except DriverError:
        return None
