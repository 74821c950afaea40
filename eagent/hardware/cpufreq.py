"""CPU frequency policies of the kernel: devices/system/cpu/cpufreq/policy*."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import DriverError
from eagent.hardware import sysfs as attribute
from eagent.hardware.sysfs import AttributeBusyError, AttributeMissingError

PLACE = "devices/system/cpu/cpufreq"
SETTLE_S = 0.2  # the worker takes less than 1 ms, and on an emulated kernel under load 100
POLL_S = 0.001
CPUS_MAX = 65_536  # more in one list is not a list of CPUs


@dataclass(frozen=True, slots=True)
class Policy:
    """CPUs that share one frequency, and what can be asked of them. `epps` is empty where there is no such knob."""

    path: Path
    cpus: tuple[int, ...]
    driver: str
    governors: tuple[str, ...]
    hardware_min_khz: int
    hardware_max_khz: int
    epps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What a policy is set to. `current_khz` is None where the driver does not tell, `epp` where there is none."""

    min_khz: int
    max_khz: int
    current_khz: int | None
    governor: str
    epp: str | None


def discover(sysfs: Path) -> tuple[Policy, ...]:
    """The policies with a CPU on line, by number; none where the kernel has no cpufreq driver.

    Args:
        sysfs: What stands for /sys.

    Raises:
        DriverError: a policy is there and can't be read.
    """
    found = [(int(path.name[6:]), path) for path in (sysfs / PLACE).glob("policy*") if path.name[6:].isdigit()]
    policies = (_describe(path) for _, path in sorted(found))
    return tuple(policy for policy in policies if policy is not None)


def read(policy: Policy) -> PolicyState:
    """What the policy is set to now.

    Raises:
        DriverError: a file can't be read, or its CPUs went off line.
    """
    return PolicyState(
        min_khz=attribute.read_whole(policy.path / "scaling_min_freq"),
        max_khz=attribute.read_whole(policy.path / "scaling_max_freq"),
        current_khz=current_khz(policy),
        governor=attribute.read(policy.path / "scaling_governor"),
        epp=attribute.read(policy.path / "energy_performance_preference") if policy.epps else None,
    )


def current_khz(policy: Policy) -> int | None:
    """How fast its CPUs run now; None where the driver does not tell.

    Raises:
        DriverError: it can't be read, or its CPUs went off line.
    """
    try:
        text = attribute.read(policy.path / "scaling_cur_freq")
    except AttributeMissingError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None  # "<unknown>" from some drivers


def set_max_khz(policy: Policy, khz: int) -> int:
    """Set the upper bound. Returns it as read back: the kernel brings it into the hardware's range without a word.

    A bound below the lower one pulls that down with it, for as long as it stands.

    Raises:
        DriverError: it can't be written or read back.
    """
    return _set_bound(policy, policy.path / "scaling_max_freq", khz)


def set_min_khz(policy: Policy, khz: int) -> int:
    """Set the lower bound. Returns it as read back: never above the upper bound, which stays where it is.

    Raises:
        DriverError: it can't be written or read back.
    """
    return _set_bound(policy, policy.path / "scaling_min_freq", khz)


def set_governor(policy: Policy, name: str) -> str:
    """Set the governor. Returns it as read back.

    Raises:
        DriverError: the kernel does not have it, or it can't be written or read back.
    """
    attribute.write(policy.path / "scaling_governor", name)
    return attribute.read(policy.path / "scaling_governor")


def set_epp(policy: Policy, name: str) -> str:
    """Set the energy performance preference. Returns it as read back: `default` reads back as what it stands for.

    Raises:
        DriverError: there is none, the kernel does not take it (under the governor `performance` it takes no other), or
            it can't be written or read back.
    """
    attribute.write(policy.path / "energy_performance_preference", name)
    return attribute.read(policy.path / "energy_performance_preference")


def parse_cpus(text: str) -> tuple[int, ...]:
    """The CPUs in a list as the kernel writes it: `0 1 2` or `0-2,8`.

    Raises:
        DriverError: it is no such list.
    """
    cpus: set[int] = set()
    for part in re.split(r"[\s,]+", text.strip()):
        match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part, re.ASCII)
        if part and match is None:
            raise DriverError(f"{text[:40]!r} is not a list of CPUs")
        if match is not None:
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first or last >= CPUS_MAX:
                raise DriverError(f"{text[:40]!r} is not a list of CPUs")
            cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


def _set_bound(policy: Policy, path: Path, khz: int) -> int:
    """Write one bound and read it until it is what was asked: the kernel lets a worker bring it into force.

    Where it never will be, between two steps of a table or against the other bound, that takes SETTLE_S.
    """
    attribute.write(path, str(khz))
    wanted = min(max(khz, policy.hardware_min_khz), policy.hardware_max_khz)
    end = time.monotonic() + SETTLE_S
    while (told := attribute.read_whole(path)) != wanted and time.monotonic() < end:
        time.sleep(POLL_S)
    return told


def _describe(path: Path) -> Policy | None:
    """One policy; None if all its CPUs are off line, when nothing of it can be read."""
    try:
        cpus = parse_cpus(attribute.read(path / "affected_cpus"))
    except AttributeBusyError:
        return None
    if not cpus:
        return None
    return Policy(
        path=path,
        cpus=cpus,
        driver=attribute.read(path / "scaling_driver"),
        governors=tuple(attribute.read(path / "scaling_available_governors").split()),
        hardware_min_khz=attribute.read_whole(path / "cpuinfo_min_freq"),
        hardware_max_khz=attribute.read_whole(path / "cpuinfo_max_freq"),
        epps=_epps(path),
    )


def _epps(path: Path) -> tuple[str, ...]:
    try:
        return tuple(attribute.read(path / "energy_performance_available_preferences").split())
    except AttributeMissingError:
        return ()
