"""The GPUs and their power limits: what they take, what was asked of them, what is enforced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from eagent.doctor.driver import Gpu
from eagent.doctor.finding import Finding, Severity, name_gpus
from eagent.doctor.host import Host

GPUS_MAX = 64  # as many as the hot loop governs


def check(host: Host) -> Iterator[Finding]:
    """GPUs that are alike share a line."""
    alike: dict[Finding, list[int]] = defaultdict(list)
    for gpu in host.driver.gpus:
        if not gpu.lost:
            for finding in _look(gpu, held=gpu.uuid in host.held()):
                alike[finding].append(gpu.index)
    for finding, indices in alike.items():
        yield Finding(name_gpus(indices), finding.severity, finding.what, finding.fix)
    if len(host.driver.gpus) > GPUS_MAX:
        what = f"{len(host.driver.gpus)} GPUs: eagent governs at most {GPUS_MAX} on a host"
        yield Finding("host", Severity.PROBLEM, what, "hide some from it with a container or a cgroup")


def _look(gpu: Gpu, *, held: bool) -> Iterator[Finding]:
    """Findings without a subject yet."""
    name = gpu.name or "a GPU without a name"
    if gpu.min_limit_w is None or gpu.max_limit_w is None or gpu.requested_w is None:
        yield Finding("", Severity.NOTE, f"{name}: it has no power limit that can be read: eagent only observes it")
        return
    what = f"{name}: limit {gpu.requested_w:g} W, of {gpu.min_limit_w:g} to {gpu.max_limit_w:g} W"
    yield Finding("", Severity.OK, what)
    if gpu.enforced_w is not None and gpu.enforced_w < gpu.requested_w:
        what = f"the driver enforces {gpu.enforced_w:g} W of the {gpu.requested_w:g} W asked for: another limit binds"
        fix = (
            "look for a limit in the BMC or of the chassis, and for a power brake: `nvidia-smi -q -d POWER,PERFORMANCE`"
        )
        yield Finding("", Severity.WARNING, what, fix)
    if not held and gpu.default_limit_w is not None and gpu.requested_w != gpu.default_limit_w:
        what = (
            f"somebody has set {gpu.requested_w:g} W, not the default of {gpu.default_limit_w:g} W: eagent keeps to it"
        )
        yield Finding("", Severity.NOTE, what)
