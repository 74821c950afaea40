"""The CPU's knobs and counters: cpufreq, RAPL and CPU time, as far as the kernel shows them to this user."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host

AS_ROOT = "run the warden as root on the host itself: `sudo eagent up`; a container needs /sys mounted read-write"
CPUFREQ = "devices/system/cpu/cpufreq"
EPP = "energy_performance_preference"
LIMIT = re.compile(r"constraint_\d+_power_limit_uw")


def check(host: Host) -> Iterator[Finding]:
    """What is there, then whether it can be set."""
    yield from _cpufreq(host.roots.sysfs)
    yield from _rapl(host.roots.sysfs)
    if any((host.roots.sysfs / CPUFREQ).glob("policy*")):
        yield from _time(host.paths.proc / "stat")


def _cpufreq(sysfs: Path) -> Iterator[Finding]:
    root = sysfs / CPUFREQ
    policies = [path for path in root.glob("policy*") if (path / "scaling_max_freq").exists()]
    if not policies:
        what = f"no policy under {root}: frequency can be neither read nor set, as in most virtual machines"
        fix = "on a host of its own: let the BIOS leave P-states to the system, then `sudo modprobe acpi-cpufreq`"
        yield Finding("cpufreq", Severity.NOTE, what, fix)
        return
    driver, governor, epp = (_most(policies, name) for name in ("scaling_driver", "scaling_governor", EPP))
    preference = f"EPP {epp}" if epp else "no EPP"
    what = f"{len(policies)} policies, driver {driver or 'unknown'}, governor {governor or 'unknown'}, {preference}"
    files = [path / "scaling_max_freq" for path in policies]
    files += [path / EPP for path in policies if (path / EPP).exists()]
    if all(_writable(file) for file in files):
        yield Finding("cpufreq", Severity.OK, f"{what}; this user can set it")
    else:
        yield Finding("cpufreq", Severity.NOTE, f"{what}; this user can't set it", AS_ROOT)
    yield from _eager(policies)


def _eager(policies: list[Path]) -> Iterator[Finding]:
    """Under this governor drivers that know preferences take none but the one of its name."""
    eager = [path for path in policies if _text(path / "scaling_governor") == "performance" and _text(path / EPP)]
    if eager:
        whose = "all policies" if len(eager) == len(policies) else f"{len(eager)} of {len(policies)} policies"
        what = (
            f"performance, of {whose}: the kernel then takes no other energy preference. eagent can lower the CPUs' "
            "ceiling, but not set their preference"
        )
        fix = "run `sudo cpupower frequency-set -g powersave`, which follows the load with these drivers"
        yield Finding("governor", Severity.WARNING, what, fix)


def _most(policies: list[Path], name: str) -> str:
    """What most policies have in that file; empty if none can be read."""
    found = Counter(text for path in policies if (text := _text(path / name)))
    return found.most_common(1)[0][0] if found else ""


@dataclass(frozen=True, slots=True)
class _Zone:
    name: str
    limits: tuple[Path, ...]
    energy_readable: bool


def _rapl(sysfs: Path) -> Iterator[Finding]:
    root = sysfs / "class/powercap"
    zones = [
        _Zone(
            _text(path / "name") or path.name,
            tuple(sorted(file for file in path.iterdir() if LIMIT.fullmatch(file.name))),
            os.access(path / "energy_uj", os.R_OK, effective_ids=True),
        )
        for path in sorted(root.glob("*:*"))
        if (path / "energy_uj").exists()
    ]
    if not zones:
        what = f"no zone under {root}: the CPUs' draw can't be read, and counts at its maximum in fixed_w"
        fix = "on a host of its own: `sudo modprobe intel_rapl_msr` (also AMD's)"
        yield Finding("RAPL", Severity.NOTE, what, fix)
        return
    names = ", ".join(dict.fromkeys(zone.name for zone in zones))
    if not all(zone.energy_readable for zone in zones):
        what = f"{len(zones)} zones ({names}), whose energy only root may read"
        yield Finding("RAPL energy", Severity.NOTE, what, AS_ROOT)
    else:
        yield Finding("RAPL energy", Severity.OK, f"{len(zones)} zones ({names})")
    yield _limit([zone for zone in zones if zone.name.startswith("package")] or zones)


def _limit(zones: list[_Zone]) -> Finding:
    if not any(zone.limits for zone in zones):
        what = "read-only, as AMD's is: energy is counted, no limit can be set; the CPU counts at its most in fixed_w"
        return Finding("RAPL limit", Severity.NOTE, what)
    if all(_writable(limit) for zone in zones for limit in zone.limits):
        return Finding("RAPL limit", Severity.OK, "this user can set it")
    return Finding("RAPL limit", Severity.NOTE, "this user can't set it", AS_ROOT)


def _time(stat: Path) -> Iterator[Finding]:
    """Told only where it fails: every Linux has it."""
    if not _text(stat).startswith("cpu "):
        what = f"{stat} can't be read: how busy the CPUs are is not known, and so the policy cpu never acts"
        fix = "mount /proc, or set EAGENT_PROC to where it is"
        yield Finding("CPU time", Severity.WARNING, what, fix)


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
