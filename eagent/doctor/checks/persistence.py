"""Persistence mode: whether the driver keeps a limit when its last client has gone."""

from __future__ import annotations

from collections.abc import Iterator

from eagent.doctor.finding import Finding, Severity, name_gpus
from eagent.doctor.host import Host


def check(host: Host) -> Iterator[Finding]:
    """Off is the commonest way for a limit to get lost."""
    for mode, severity, what, fix in (
        (True, Severity.OK, "persistence mode is on", ""),
        (
            False,
            Severity.WARNING,
            "persistence mode is off: the driver forgets limits when its last client ends",
            "run `sudo nvidia-smi -pm 1`, or enable nvidia-persistenced to keep it so",
        ),
        (None, Severity.NOTE, "the driver does not tell its persistence mode", ""),
    ):
        gpus = [gpu.index for gpu in host.driver.gpus if gpu.persistence is mode and not gpu.lost]
        if gpus:
            yield Finding(name_gpus(gpus), severity, what, fix)
