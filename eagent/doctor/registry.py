"""All checks, in the order in which they are shown: what the others rest on comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from eagent.doctor.checks import (
    configuration,
    cpu,
    directories,
    library,
    limits,
    mesh,
    permission,
    persistence,
    records,
    running,
    sharing,
    timekeeping,
    writers,
)
from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host

Check = Callable[[Host], Iterable[Finding]]

# One line a check: what it is called, and where it is.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("driver", library.check),
    ("permission", permission.check),
    ("persistence", persistence.check),
    ("limits", limits.check),
    ("sharing", sharing.check),
    ("cpu", cpu.check),
    ("other writers", writers.check),
    ("eagent", running.check),
    ("journal and budget", records.check),
    ("directories", directories.check),
    ("configuration", configuration.check),
    ("mesh", mesh.check),
    ("time", timekeeping.check),
)


@dataclass(frozen=True, slots=True)
class Group:
    """The findings of one check."""

    name: str
    findings: tuple[Finding, ...]


def examine(host: Host) -> tuple[Group, ...]:
    """What every check finds. A check that fails is itself a finding: the others are told all the same."""
    return tuple(Group(name, _run(check, host)) for name, check in CHECKS)


def _run(check: Check, host: Host) -> tuple[Finding, ...]:
    try:
        return tuple(check(host))
    except Exception as problem:
        what = f"this could not be looked at: {type(problem).__name__}: {problem}"
        return (Finding("eagent doctor", Severity.PROBLEM, what, "report it, with this line"),)
