"""What a simulated host draws from the wall beside its GPUs and processors, and how long it boots.

R, C and S as in the GPU models. No maker publishes what a GPU server draws while it is off, nor how its fans run: what
is known is that a server of eight A100 idles at 1.5 to 1.7 kW and draws 6.55 kW at most (R), of which its GPUs and
processors are 0.57 and 3.76 kW.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eagent.errors import InputError

# S  the BMC and power supplies that idle: 10 to 30 W are said of servers with one; GPU servers have many supplies
STANDBY_W = 30.0
# C  disks, switches, boards, network: with fans at rest and losses an idle server of eight A100 then draws 1.6 kW
REST_W = 760.0
# C  fans at full speed, for each watt of the parts' greatest heat: then that server draws 6.55 kW at most
FAN_SHARE = 0.44
# S  what they are sized for: the hottest air in which servers must work. In usual air they are far from full speed, or
# else servers with all GPUs at their limit would draw 15 % more than was measured (docs/calibration.md)
FAN_FULL_INLET_C = 35.0
FAN_MIN = 0.35  # S  their lowest speed
LOSS_W, LOSS_SHARE = 60.0, 0.05  # S  power supplies of about 94 % efficiency at half load
# S  for trying things out. Real servers of eight GPUs take 180 to 600 s
BOOT_S = 30.0
WATTS_MAX = 1e6
BOOT_S_MAX = 86_400.0
USUAL_INLET_C, COOLS_NOTHING_C = 25.0, 50.0  # as in native/plant/supply.c: the air that comes, and that leaves
INLET_C = (-40.0, 49.0)

Model = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Supply:
    """What native/plant/wall.h asks for, which explains it. Watts."""

    standby_w: float
    boot_w: float
    boot_s: float
    rest_w: float
    fan_w: float
    fan_min: float
    fan_full_w: float
    loss_w: float
    loss_share: float
    inlet_c: float

    def as_dict(self) -> dict[str, float]:
        """For the plant."""
        return asdict(self)

    def others_most_w(self, parts_w: float) -> float:
        """The most that a host draws at the wall beyond its parts' own watts, if those are at most `parts_w`.

        That is what an operator declares as fixed; with every fan at full speed, whatever the heat.
        """
        return (self.rest_w + self.fan_w) * (1 + self.loss_share) + self.loss_w + parts_w * self.loss_share


def supply(
    gpu: Model,
    gpus: int,
    cpu: Model,
    *,
    standby_w: float = STANDBY_W,
    boot_w: float | None = None,
    boot_s: float = BOOT_S,
    rest_w: float = REST_W,
    fan_w: float | None = None,
    fan_min: float = FAN_MIN,
    loss_w: float = LOSS_W,
    loss_share: float = LOSS_SHARE,
    inlet_c: float | None = None,
) -> Supply:
    """The supply of a host with these parts. Its fans run at full speed when those draw the most they can in hot air.

    Args:
        gpu: A model of `eagent.sim.model`.
        gpus: How many of them.
        cpu: A model of `eagent.sim.processor`.
        standby_w: While it is off.
        boot_w: While it boots, all that it draws; None: what must be reserved for that.
        boot_s: How long.
        rest_w: While it is on: all that does not change.
        fan_w: Its fans at full speed; None: in proportion to the parts.
        fan_min: Their lowest speed, as a share.
        loss_w: Of the power supplies, in any case.
        loss_share: Likewise, for each watt delivered.
        inlet_c: The air that comes in; None: as the GPU's model has it.

    Raises:
        InputError: a number is impossible.
    """
    most_w = gpus * gpu["limits"]["max_w"] + package_most_w(cpu)
    made = Supply(
        standby_w=standby_w,
        boot_w=0.0,
        boot_s=boot_s,
        rest_w=rest_w,
        fan_w=FAN_SHARE * most_w if fan_w is None else fan_w,
        fan_min=fan_min,
        fan_full_w=most_w * (COOLS_NOTHING_C - USUAL_INLET_C) / (COOLS_NOTHING_C - FAN_FULL_INLET_C),
        loss_w=loss_w,
        loss_share=loss_share,
        inlet_c=gpu["heat"]["inlet_c"] if inlet_c is None else inlet_c,
    ).as_dict()
    _require_sense(made)
    idle_w = gpus * gpu["power"]["deep_idle_w"] + package_most_w(cpu)
    made["boot_w"] = Supply(**made).others_most_w(idle_w) + idle_w if boot_w is None else boot_w
    _require_sense(made)
    return Supply(**made)


def package_most_w(cpu: Model) -> float:
    """The most that all packages draw with their memory: as busy as their limits let."""
    power = cpu["power"]
    busy_w = power["idle_w"] + cpu["topology"]["cores"] * power["core_w"]
    return float(cpu["topology"]["packages"] * min(busy_w, cpu["limits"]["power_uw"][0] / 1e6)) + memory_most_w(cpu)


def memory_most_w(cpu: Model) -> float:
    """The part of it that is memory, which no limit of a package holds."""
    power = cpu["power"]
    return float(cpu["topology"]["packages"] * (power["dram_idle_w"] + power["dram_w"]))


def _require_sense(made: Mapping[str, float]) -> None:
    for name, value in made.items():
        low, high = 0.0, WATTS_MAX
        if name == "boot_s":
            high = BOOT_S_MAX
        elif name in ("fan_min", "loss_share"):
            high = 1.0
        elif name == "inlet_c":
            low, high = INLET_C
        if not (math.isfinite(value) and low <= value <= high):
            raise InputError(f"{name} {value:g}: must be {low:g} to {high:g}")
