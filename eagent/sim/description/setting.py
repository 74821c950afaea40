"""What is set on GPUs at once, before any work comes, as an administrator's script does in a boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eagent.errors import InputError
from eagent.sim._plant import Host
from eagent.sim.description.parts import Numbers
from eagent.sim.description.values import Flag, Indices, Kind, require_fit, require_known
from eagent.sim.gpus import of_host
from eagent.sim.model import CLOCK, LIMIT, Number

KEYS: Mapping[str, Kind] = {
    "gpus": Indices(),
    "power_limit_w": LIMIT,
    "lock_mhz": Number(CLOCK.low, CLOCK.high, whole=True, length=2, rising=True),
    "persistence": Flag(),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Settings of some GPUs. None: as the driver has it."""

    gpus: tuple[int, ...] | None = None  # None: all
    power_limit_w: float | None = None
    lock_mhz: tuple[int, int] | None = None
    persistence: bool | None = None

    def __post_init__(self) -> None:
        """Check all that can be without a host."""
        require_fit(self.table() | {"gpus": self.gpus}, KEYS)
        if (self.power_limit_w, self.lock_mhz, self.persistence) == (None, None, None):
            raise InputError("sets nothing: power_limit_w, lock_mhz or persistence is missing")

    def table(self) -> dict[str, object]:
        """As in a file."""
        return {
            "gpus": None if self.gpus is None else list(self.gpus),
            "power_limit_w": self.power_limit_w,
            "lock_mhz": None if self.lock_mhz is None else list(self.lock_mhz),
            "persistence": self.persistence,
        }

    def check(self, gpu_count: int, model: Numbers) -> None:
        """Check it against a host.

        Raises:
            InputError: the host has not all its GPUs, or they do not take such a limit or lock.
        """
        of_host(self.gpus, gpu_count)
        limits, clocks = model["limits"], model["clocks"]
        if self.power_limit_w is not None and not limits["min_w"] <= self.power_limit_w <= limits["max_w"]:
            raise InputError(
                f"power_limit_w = {self.power_limit_w:g}: the GPUs take {limits['min_w']:g} to {limits['max_w']:g}"
            )
        if self.lock_mhz is None:
            return
        if self.lock_mhz[0] < clocks["min_mhz"] or self.lock_mhz[1] > clocks["max_mhz"]:
            raise InputError(
                f"lock_mhz = {list(self.lock_mhz)}: the GPUs take {clocks['min_mhz']} to {clocks['max_mhz']}"
            )

    def apply(self, plant: Host) -> None:
        """Set it."""
        for gpu in of_host(self.gpus, plant.gpu_count):
            if self.power_limit_w is not None:
                plant.set_power_limit(gpu, self.power_limit_w)
            if self.lock_mhz is not None:
                plant.lock_clocks(gpu, *self.lock_mhz)
            if self.persistence is not None:
                plant.set_persistence(gpu, self.persistence)


def read(table: Mapping[str, Any]) -> Setting:
    """Settings from a file's table; `gpus` is a tuple already.

    Raises:
        InputError: it holds none.
    """
    require_known(table, KEYS)
    given = dict(table)
    require_fit(given, KEYS)
    if "lock_mhz" in given:
        given["lock_mhz"] = tuple(given["lock_mhz"])
    return Setting(**given)
