"""CPU packages: the cpufreq policies and the RAPL zone of each, as one device."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import DriverError
from eagent.hardware import cpufreq, rapl, sysfs
from eagent.hardware.sysfs import AttributeMissingError
from eagent.model import Device, DeviceKind, Knob

CPUS = "devices/system/cpu"
STEP_MHZ = 100  # what a person can tell apart; the hardware's own steps are as wide or finer
LEAST_LIMIT_SHARE = 0.5  # of its owner's limit: below it a package hardly gets anything done (assumed)
NO_LIMIT_UW = 4_095_000_000  # 15 bits of an eighth of a watt, as firmware leaves them that limits nothing
LIMITS = ("long_term", "short_term")  # the averaging ones; `peak_power` and the like bound instants
NO_POLICY = "the kernel has no cpufreq policy for it, as in most virtual machines"
AS_ROOT = "needs root on the host itself, with /sys writable"


@dataclass(frozen=True, slots=True)
class Package:
    """One package: what of the kernel's trees governs it. `zone` is None where the kernel shows no RAPL for it."""

    number: int
    cpus: int
    policies: tuple[cpufreq.Policy, ...]
    zone: rapl.Zone | None

    @property
    def uuid(self) -> str:
        """Its identity on this host."""
        return f"CPU-{self.number}"

    @property
    def limits(self) -> tuple[rapl.Constraint, ...]:
        """The power limits that bound its mean draw."""
        return tuple(each for each in self.zone.constraints if each.name in LIMITS) if self.zone else ()

    @property
    def limit_paths(self) -> tuple[Path, ...]:
        """Their attributes."""
        return tuple(rapl.limit_path(self.zone, each.index) for each in self.limits) if self.zone else ()

    @property
    def ceiling_paths(self) -> tuple[Path, ...]:
        """The attributes of its frequency ceilings, one a policy."""
        return tuple(policy.path / "scaling_max_freq" for policy in self.policies)

    @property
    def preference_paths(self) -> tuple[Path, ...]:
        """The attributes of its energy preferences, one a policy that has one."""
        return tuple(policy.path / "energy_performance_preference" for policy in self.policies if policy.epps)


def discover(root: Path) -> tuple[Package, ...]:
    """The packages that the kernel shows anything of, by number.

    Args:
        root: What stands for /sys.

    Raises:
        DriverError: something is there and can't be read.
    """
    package_of = topology(root)
    policies: dict[int, list[cpufreq.Policy]] = {}
    for policy in cpufreq.discover(root):
        policies.setdefault(package_of.get(policy.cpus[0], 0), []).append(policy)
    zones = {_number(zone): zone for zone in rapl.outermost(rapl.discover(root))}
    numbers = sorted(policies.keys() | {number for number in zones if number is not None})
    counts = list(package_of.values())
    return tuple(
        Package(number, counts.count(number), tuple(policies.get(number, ())), zones.get(number)) for number in numbers
    )


def describe(package: Package, index: int, owner_uw: Sequence[int]) -> Device:
    """The package as a device.

    Args:
        package: The package.
        index: Its place among the packages.
        owner_uw: What its power limits were before us; none where they can't be read.
    """
    most_w = -(-max(owner_uw, default=0) // 1000) / 1000
    return Device(
        uuid=package.uuid,
        index=index,
        name=f"CPU package {package.number}",
        pci_bus_id="",
        min_limit_w=float(int(most_w * LEAST_LIMIT_SHARE)),
        max_limit_w=most_w,
        default_limit_w=most_w,
        power_window_s=0.1,
        power_period_s=0.001,
        power_limit=_limit_knob(package, owner_uw),
        clock=_knob(package.ceiling_paths, NO_POLICY),
        clocks_mhz=_ladder(package.policies),
        kind=DeviceKind.CPU,
        preference=_preference_knob(package),
        preferences=_preferences(package.policies),
        cpus=package.cpus,
    )


def topology(root: Path) -> dict[int, int]:
    """Per CPU, the number of its package; a kernel that does not tell has one."""
    found = {}
    for path in (root / CPUS).glob("cpu[0-9]*"):
        match = re.fullmatch(r"cpu([0-9]+)", path.name, re.ASCII)
        if match is None:
            continue
        try:
            number = sysfs.read_whole(path / "topology/physical_package_id")
        except AttributeMissingError:  # off line
            continue
        except DriverError:  # -1 where it is not known
            number = 0
        found[int(match[1])] = number
    return found


def _number(zone: rapl.Zone) -> int | None:
    """Of which package a zone is all; None: of none, or of a die, which is but a part of one."""
    match = re.fullmatch(r"package-([0-9]+)", zone.name, re.ASCII)
    return int(match[1]) if match else None


def _limit_knob(package: Package, owner_uw: Sequence[int]) -> Knob:
    zone = package.zone
    if zone is None:
        return Knob(False, "the kernel shows no RAPL zone for it")
    if not package.limits:
        return Knob(False, "its RAPL zone only counts energy, as AMD's do")
    if len(owner_uw) != len(package.limits):
        return Knob(False, "its power limits can't be read")
    if not max(owner_uw):
        return Knob(False, "its power limits are 0: nobody has set them")
    if max(owner_uw) >= NO_LIMIT_UW:
        return Knob(False, f"its owner has set no limit: {max(owner_uw) / 1e6:g} W is all that the register holds")
    if not rapl.is_enabled(zone):
        return Knob(False, "its power limits are switched off: the zone's `enabled` is 0")
    return _knob(package.limit_paths, "it has none")


def _preference_knob(package: Package) -> Knob:
    if not _preferences(package.policies):
        return Knob(False, "its cpufreq driver has no energy performance preference")
    try:
        governors = {cpufreq.read(policy).governor for policy in package.policies}
    except DriverError as problem:
        return Knob(False, str(problem))
    if "performance" in governors:
        return Knob(False, "the governor `performance` allows no other preference")
    return _knob(package.preference_paths, "it has none")


def _knob(paths: Sequence[Path], without: str) -> Knob:
    if not paths:
        return Knob(False, without)
    if all(os.access(path, os.W_OK, effective_ids=True) for path in paths):
        return Knob(True)
    return Knob(False, AS_ROOT)


def _ladder(policies: Sequence[cpufreq.Policy]) -> tuple[int, ...]:
    """Steps from the least to the greatest frequency of any of them, the greatest included."""
    if not policies:
        return ()
    low = -(-min(policy.hardware_min_khz for policy in policies) // 1000)
    high = max(policy.hardware_max_khz for policy in policies) // 1000
    return (*range(low, high, STEP_MHZ), high)


def _preferences(policies: Sequence[cpufreq.Policy]) -> tuple[str, ...]:
    """The names that every policy takes; `default` is not one, because it reads back as another."""
    if not policies:
        return ()
    common = set(policies[0].epps).intersection(*(policy.epps for policy in policies)) - {"default"}
    return tuple(name for name in policies[0].epps if name in common)
