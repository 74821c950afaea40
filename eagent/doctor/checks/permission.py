"""Which knobs can be written: by the warden's own word where one runs, else judged by who we are. Nothing is tried.

A GPU that can't be set is what eagent is for; a CPU that can't be set is common, and costs only what it could save.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from eagent.doctor.finding import Finding, Severity, name_devices, name_gpus
from eagent.doctor.host import Host

Json = dict[str, Any]

AS_ROOT = "run the warden as root on the host itself: `sudo eagent up`; a container needs CAP_SYS_ADMIN"
OF_SYSFS = "run the warden as root on the host itself: `sudo eagent up`; a container needs /sys mounted read-write"
OBSERVED = "nothing, if the board has no such knob: it is only observed"
PRIVILEGES = ("CAP_", "root", "writable /sys")  # what a reason names where the warden lacks one
KNOBS = "power limits and clocks"


def check(host: Host) -> Iterator[Finding]:
    """Per knob what the warden found out; without one, whether this user could set it."""
    if host.status is not None and host.warden_answers:
        yield from _told(host.status["devices"])
    elif host.driver.gpus:
        yield _judged(host)
    if host.driver.kernel_driver and not host.driver.simulated:
        yield from _nodes(host)


def _told(devices: list[Json]) -> Iterator[Finding]:
    alike: dict[tuple[str, str, bool, str], list[int]] = defaultdict(list)
    for device in devices:
        kind, index = device["kind"], int(device["device"].removeprefix(device["kind"]))
        for name, knob in device.items():
            if isinstance(knob, dict) and "writable" in knob:
                alike[kind, name, knob["writable"], "" if knob["writable"] else knob["why"]].append(index)
    for (kind, name, writable, why), indices in alike.items():
        subject, knob_name = name_devices(kind, indices), name.replace("_", " ")
        if writable:
            yield Finding(subject, Severity.OK, f"{knob_name}: the warden can set it")
        else:
            whose = "driver" if kind == "gpu" else "kernel"
            what = f"{knob_name}: can't be set: {why or f'the {whose} did not say why'}"
            yield Finding(subject, *_weighed(kind, why, what))


def _weighed(kind: str, why: str, what: str) -> tuple[Severity, str, str]:
    """How bad it is that a knob can't be set, and what helps."""
    if kind == "cpu":
        privilege = any(name in why for name in PRIVILEGES)
        return (Severity.WARNING, what, OF_SYSFS) if privilege else (Severity.NOTE, what, "")
    return (Severity.PROBLEM, what, AS_ROOT) if "CAP_SYS_ADMIN" in why else (Severity.WARNING, what, OBSERVED)


def _judged(host: Host) -> Finding:
    gpus = name_gpus(gpu.index for gpu in host.driver.gpus)
    if host.user.admin:
        what = f"{KNOBS}: this user has CAP_SYS_ADMIN; the warden tries each knob when it starts"
        return Finding(gpus, Severity.OK, what)
    who = "root without CAP_SYS_ADMIN" if host.user.uid == 0 else f"user {host.user.uid}, without CAP_SYS_ADMIN"
    whose = "a driver" if not host.driver.simulated else "a simulated driver, unless it was made to let anyone,"
    what = f"{KNOBS}: {whose} lets only root set them, and this is {who}: eagent would only observe"
    return Finding(gpus, Severity.WARNING, what, AS_ROOT)


def _nodes(host: Host) -> Iterator[Finding]:
    """The device files. That one is there proves nothing: the library makes them without any driver."""
    for node in sorted(host.roots.dev.glob("nvidia*")):
        asked = node.name == "nvidiactl" or node.name.removeprefix("nvidia").isdigit()
        if asked and not os.access(node, os.R_OK | os.W_OK, effective_ids=True):
            fix = f"add this user to the group that owns it (`stat {node}`), or run as root"
            yield Finding(str(node), Severity.PROBLEM, f"user {host.user.uid} may not open it", fix)
