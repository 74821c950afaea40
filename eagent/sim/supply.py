"""What a simulated host draws from the wall beside its GPUs and processors, and how long it boots.

R, C and S as in the GPU models. No maker publishes what a GPU server draws while it is off, so none of these is R.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eagent.errors import InputError

# S  the BMC and power supplies that idle: 10 to 30 W are said of servers with one; GPU servers have many supplies
STANDBY_W = 30.0
# C  fans, disks, switches, losses: a server of eight A100 idles at 1.5 to 1.7 kW (R), of which its GPUs and processors
# are 0.57 kW. That it does not grow with the load is S: it does, by what fans and losses take
REST_W = 1000.0
# S  for trying things out. Real servers of eight GPUs take 180 to 600 s
BOOT_S = 30.0
WATTS_MAX = 1e6
BOOT_S_MAX = 86_400.0


@dataclass(frozen=True, slots=True)
class Supply:
    """What native/plant/wall.h asks for. Watts at the wall."""

    standby_w: float
    boot_w: float
    boot_s: float
    rest_w: float

    def as_dict(self) -> dict[str, float]:
        """For the plant."""
        return asdict(self)


def supply(
    gpu: Mapping[str, Mapping[str, Any]],
    gpus: int,
    cpu: Mapping[str, Mapping[str, Any]],
    *,
    standby_w: float = STANDBY_W,
    boot_w: float | None = None,
    boot_s: float = BOOT_S,
    rest_w: float = REST_W,
) -> Supply:
    """The supply of a host with these parts. Without `boot_w` it is what must be reserved for a boot: `boot_draw_w`.

    Args:
        gpu: A model of `eagent.sim.model`.
        gpus: How many of them.
        cpu: A model of `eagent.sim.processor`.
        standby_w: While it is off.
        boot_w: While it boots; all that it draws.
        boot_s: How long.
        rest_w: While it is on: all but GPUs, packages and their memory.

    Raises:
        InputError: a number is impossible.
    """
    draw_w = rest_w + boot_draw_w(gpu, gpus, cpu) if boot_w is None else boot_w
    for name, value, most in (
        ("standby_w", standby_w, WATTS_MAX),
        ("rest_w", rest_w, WATTS_MAX),
        ("boot_w", draw_w, WATTS_MAX),
        ("boot_s", boot_s, BOOT_S_MAX),
    ):
        if not (math.isfinite(value) and 0 <= value <= most):
            raise InputError(f"{name} {value:g}: must be 0 to {most:g}")
    return Supply(standby_w, draw_w, boot_s, rest_w)


def boot_draw_w(gpu: Mapping[str, Mapping[str, Any]], gpus: int, cpu: Mapping[str, Mapping[str, Any]]) -> float:
    """The most that GPUs and processors draw in a boot: no GPU works yet, each package is as busy as its limit lets.

    S: a boot's mean is lower, so what is charged for waking a host is never too little.
    """
    power = cpu["power"]
    busy_w = power["idle_w"] + cpu["topology"]["cores"] * power["core_w"]
    package_w = min(busy_w, cpu["limits"]["power_uw"][0] / 1e6) + power["dram_idle_w"] + power["dram_w"]
    return float(gpus * gpu["power"]["deep_idle_w"] + cpu["topology"]["packages"] * package_w)
