"""The knobs of CPU packages as the kernel shows them, read here: that it is not the warden's word is its use."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

CPU = "devices/system/cpu"
POWERCAP = "class/powercap"
ZONE = re.compile(r"package-(\d+)", re.ASCII)
TERMS = ("long_term", "short_term")  # RAPL's constraints that hold a mean; a peak limit is the board's own business


@dataclass(frozen=True, slots=True)
class Package:
    """One package; what can't be read is absent. More than one ceiling or preference: its CPUs differ."""

    number: int
    ceilings_mhz: tuple[float, ...] = ()  # ascending
    preferences: tuple[str, ...] = ()
    limits_w: tuple[float, ...] = ()  # of the longer term first

    @property
    def uuid(self) -> str:
        """Its name in all that eagent says."""
        return f"CPU-{self.number}"

    @property
    def ceiling_mhz(self) -> float | None:
        """The highest: below it none of its CPUs is sure to be held."""
        return max(self.ceilings_mhz, default=None)

    @property
    def preference(self) -> str | None:
        """That of all its CPUs, or "mixed"."""
        return (self.preferences[0] if len(self.preferences) == 1 else "mixed") if self.preferences else None


def look_at_packages(sysfs: Path) -> tuple[Package, ...]:
    """All packages that have a knob, by number; none where the kernel shows neither cpufreq nor RAPL."""
    ceilings: dict[int, set[float]] = defaultdict(set)
    preferences: dict[int, set[str]] = defaultdict(set)
    for policy in (sysfs / CPU / "cpufreq").glob("policy*"):
        number = _package_of(sysfs, policy)
        if number is None:
            continue
        ceiling_khz = _whole(policy / "scaling_max_freq")
        preference = _text(policy / "energy_performance_preference")
        if ceiling_khz is not None:
            ceilings[number].add(ceiling_khz / 1000)
        if preference:
            preferences[number].add(preference)
    limits = _limits_w(sysfs)
    return tuple(
        Package(number, tuple(sorted(ceilings[number])), tuple(sorted(preferences[number])), limits.get(number, ()))
        for number in sorted({*ceilings, *preferences, *limits})
    )


def _package_of(sysfs: Path, policy: Path) -> int | None:
    """The package of a policy's CPUs; None where they are off line, or the kernel does not know."""
    cpus = re.match(r"\d+", _text(policy / "affected_cpus"), re.ASCII)
    return _whole(sysfs / CPU / f"cpu{cpus[0]}" / "topology/physical_package_id") if cpus else None


def _limits_w(sysfs: Path) -> dict[int, tuple[float, ...]]:
    """By package. The kernel may show one both by MSR and by MMIO: the first by name is the one that is set."""
    limits: dict[int, tuple[float, ...]] = {}
    for zone in sorted((sysfs / POWERCAP).glob("*:*"), key=lambda path: path.name.split(":")):
        name = ZONE.fullmatch(_text(zone / "name"))
        if name is None or int(name[1]) in limits:
            continue
        terms = {_text(path): path.name.removesuffix("_name") for path in zone.glob("constraint_*_name")}
        found = [_whole(zone / f"{terms[term]}_power_limit_uw") for term in TERMS if term in terms]
        limits[int(name[1])] = tuple(uw / 1e6 for uw in found if uw is not None)
    return limits


def _whole(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isascii() and text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
