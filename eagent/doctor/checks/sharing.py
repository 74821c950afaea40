"""MIG and vGPU: boards that several share, and guests that may set nothing."""

from __future__ import annotations

from collections.abc import Iterator

from eagent.doctor.finding import Finding, Severity, name_gpus
from eagent.doctor.host import Host

# NVML's virtualization modes that change what eagent can do.
MODES = {
    2: (Severity.PROBLEM, "a vGPU of a guest: its limits and clocks belong to the host", "run eagent on the host"),
    3: (Severity.NOTE, "it hosts vGPUs: its limit is shared by all guests", ""),
    4: (Severity.NOTE, "it hosts vGPUs: its limit is shared by all guests", ""),
}


def check(host: Host) -> Iterator[Finding]:
    """Say so only where there is something to say."""
    mig = [gpu.index for gpu in host.driver.gpus if gpu.mig]
    if mig:
        what = "MIG is on: limits are per board and use per instance is not told, so that it is never taken for idle"
        yield Finding(name_gpus(mig), Severity.NOTE, what)
    for mode, (severity, what, fix) in MODES.items():
        gpus = [gpu.index for gpu in host.driver.gpus if gpu.virtualization == mode]
        if gpus:
            yield Finding(name_gpus(gpus), severity, what, fix)
    if host.driver.gpus and not mig and not any(gpu.virtualization in MODES for gpu in host.driver.gpus):
        yield Finding("host", Severity.OK, "no MIG, no vGPU")
