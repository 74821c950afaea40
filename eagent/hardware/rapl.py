"""Energy counters and power limits of CPU packages and memory: class/powercap/*, whatever the zones' prefix."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import DriverError
from eagent.hardware import sysfs as attribute
from eagent.hardware.sysfs import AttributeMissingError

PLACE = "class/powercap"
CONSTRAINTS_MAX = 16  # the kernel has 10 at most

_ZONE = re.compile(
    r"(?P<kind>[^:]+)(?P<numbers>(:[0-9a-f]{1,8})+)", re.ASCII
)  # the kernel numbers zones in hexadecimal


@dataclass(frozen=True, slots=True)
class Constraint:
    """One power limit of a zone. `max_power_uw` is None where the kernel does not tell; it is not a bound either."""

    index: int
    name: str
    max_power_uw: int | None


@dataclass(frozen=True, slots=True)
class Zone:
    """One RAPL domain. `writable`: it has a limit whose file may be written; only a write tells if firmware agrees."""

    path: Path
    name: str  # package-0, dram, core, psys, ...
    parent: Path | None
    max_energy_uj: int
    constraints: tuple[Constraint, ...]
    writable: bool


def discover(sysfs: Path) -> tuple[Zone, ...]:
    """All zones that count energy, in the order of their names; none where the kernel has no RAPL.

    Args:
        sysfs: What stands for /sys.

    Raises:
        DriverError: a zone is there and can't be read.
    """
    found = [(match, path) for path in (sysfs / PLACE).glob("*") if (match := _ZONE.fullmatch(path.name))]
    found.sort(key=lambda each: (each[0]["kind"], [int(number, 16) for number in each[0]["numbers"][1:].split(":")]))
    zones = (_describe(path) for _, path in found if (path / "energy_uj").exists())
    return tuple(zone for zone in zones if zone is not None)


def energy_uj(zone: Zone) -> int:
    """The zone's counter, in microjoules; it wraps beyond `max_energy_uj`.

    Raises:
        DriverError: it can't be read: since Linux 5.10 only root may.
    """
    return attribute.read_whole(zone.path / "energy_uj")


def energy_delta_uj(zone: Zone, before: int, after: int) -> int:
    """Microjoules between two readings less than one wrap apart (20 minutes at 200 W), to one count of the counter."""
    return after - before if after >= before else after - before + zone.max_energy_uj


def limit_uw(zone: Zone, index: int) -> int:
    """One limit, in microwatts.

    Raises:
        DriverError: it can't be read.
    """
    return attribute.read_whole(limit_path(zone, index))


def set_limit_uw(zone: Zone, index: int, uw: int) -> int:
    """Set one limit. Returns it as read back: hardware keeps eighths of a watt or so, and takes what it can't keep.

    Raises:
        DriverError: it can't be written, or firmware has locked it.
    """
    path = limit_path(zone, index)
    try:
        attribute.write(path, str(uw))
    except AttributeMissingError as problem:
        raise DriverError(f"{problem}; the firmware has locked this limit, or the processor has none") from None
    return attribute.read_whole(path)


def limit_path(zone: Zone, index: int) -> Path:
    """The attribute of one limit."""
    return zone.path / f"constraint_{index}_power_limit_uw"


def is_enabled(zone: Zone) -> bool:
    """Whether the zone's limits have force; True where the kernel does not tell."""
    try:
        return attribute.read(zone.path / "enabled") != "0"
    except DriverError:
        return True


def outermost(zones: Sequence[Zone]) -> tuple[Zone, ...]:
    """The zones whose sum counts nothing twice: the packages; where there are none, what has no parent.

    psys covers the packages. A package is named once, though the kernel may show it both by MSR and by MMIO. What is
    below a package is within it, but the memory of a server, which is a rail of its own: it is left to the caller.
    """
    tops = [zone for zone in zones if zone.parent is None]
    chosen = [zone for zone in tops if zone.name.startswith("package-")] or tops
    first: dict[str, Zone] = {}
    for zone in chosen:
        first.setdefault(zone.name, zone)
    return tuple(first.values())


def _describe(path: Path) -> Zone | None:
    try:
        name = attribute.read(path / "name")
        max_energy_uj = attribute.read_whole(path / "max_energy_range_uj")
    except AttributeMissingError:  # a zone of another kind, or it has just gone
        return None
    constraints = tuple(_constraints(path))
    parent = path.with_name(path.name.rpartition(":")[0])
    writable = any(os.access(path / f"constraint_{each.index}_power_limit_uw", os.W_OK) for each in constraints)
    return Zone(path, name, parent if (parent / "energy_uj").exists() else None, max_energy_uj, constraints, writable)


def _constraints(path: Path) -> list[Constraint]:
    """Those whose limit can be read: some kernels show one with nothing behind it."""
    found = []
    for index in range(CONSTRAINTS_MAX):
        try:
            attribute.read_whole(path / f"constraint_{index}_power_limit_uw")
        except DriverError:
            continue
        found.append(Constraint(index, _name(path, index), _max_power_uw(path, index)))
    return found


def _name(path: Path, index: int) -> str:
    try:
        return attribute.read(path / f"constraint_{index}_name")
    except DriverError:
        return ""


def _max_power_uw(path: Path, index: int) -> int | None:
    try:
        return attribute.read_whole(path / f"constraint_{index}_max_power_uw") or None  # 0: the register is empty
    except DriverError:
        return None
