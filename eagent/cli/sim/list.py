"""Show the simulated hosts: their GPUs, whether they are up, who may set limits, and their load."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from eagent.cli.quantities import format_duration

if TYPE_CHECKING:
    from eagent.sim._bmc import Bmc
    from eagent.sim._plant import Host

SUMMARY = "show the hosts and their load"


def configure(parser: argparse.ArgumentParser) -> None:
    """`eagent sim list` has no arguments."""


def run(args: argparse.Namespace) -> list[str]:  # noqa: ARG001  # the shape of an action
    """A line for each host."""
    from eagent.errors import DriverError
    from eagent.sim import host
    from eagent.sim._bmc import Bmc
    from eagent.sim._plant import Host

    directory = host.root(os.environ)
    lines = []
    for each in host.hosts(directory):
        try:
            with Host(each.plant) as opened, Bmc(each.plant) as bmc:
                lines.append(f"{each.name:<16} {_described(opened, bmc)}")
        except DriverError as problem:  # made by another version: it can still be deleted
            lines.append(f"{each.name:<16} {problem}")
    lines += [f"{each.name:<16} has no plant: all that can be done is to delete it" for each in host.remains(directory)]
    return lines or [f"No simulated host in {directory}: make one with `eagent sim create NAME`."]


def _described(opened: Host, bmc: Bmc) -> str:
    from eagent.sim.gpus import format_gpus

    running = [load for load in opened.progress() if load["running"]]
    loads = [f"{load['kind']} on {format_gpus(load['gpus'])}" for load in running]
    return (
        f"{opened.gpu_count} x {opened.gpu_name}, {state(opened, bmc)}, "
        f"limits may be set by {opened.permission}; load: {', '.join(loads) or 'none'}"
    )


def state(opened: Host, bmc: Bmc) -> str:
    """Whether the host is up, and for how long it has been what it is."""
    now, since_s = bmc.power, opened.time_s - bmc.power_changes()[-1][0]
    word = {"on": "up", "booting": "booting for", "off": "off for"}[now]
    return f"{word} {format_duration(since_s)}"
