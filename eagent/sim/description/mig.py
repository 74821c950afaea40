"""GPUs divided into MIG instances, as an operator's scripts divide them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eagent.errors import InputError
from eagent.sim._driver import Driver
from eagent.sim.description.parts import Numbers
from eagent.sim.description.values import Indices, Kind, require_fit, require_known
from eagent.sim.gpus import of_host
from eagent.sim.model import Number

SLICES = 7
KEYS: Mapping[str, Kind] = {
    "gpus": Indices(),
    "instances": Number(1, SLICES, whole=True),
    "slices": Number(1, SLICES, whole=True),
    "memory_b": Number(1, 2**44, whole=True),
}


@dataclass(frozen=True, slots=True)
class Mig:
    """Some GPUs, each divided into instances of one profile."""

    instances: int
    slices: int  # compute slices of an instance, of seven
    memory_b: int  # of an instance
    gpus: tuple[int, ...] | None = None  # None: all

    def __post_init__(self) -> None:
        """Check all that can be without a host."""
        require_fit({key: getattr(self, key) for key in KEYS}, KEYS)
        if self.instances * self.slices > SLICES:
            raise InputError(f"{self.instances} instances of {self.slices} slices: a GPU has {SLICES} slices")

    def table(self) -> dict[str, object]:
        """As in a file."""
        gpus = None if self.gpus is None else list(self.gpus)
        return {"gpus": gpus, "instances": self.instances, "slices": self.slices, "memory_b": self.memory_b}

    def check(self, gpu_count: int, model: Numbers) -> None:
        """Check it against a host.

        Raises:
            InputError: the host has not all its GPUs, or not so much memory in each.
        """
        of_host(self.gpus, gpu_count)
        room_b = model["identity"]["memory_b"]
        if self.instances * self.memory_b > room_b:
            raise InputError(f"memory_b = {self.memory_b}: {self.instances} of them are more than the GPU's {room_b}")

    def divide(self, driver: Driver, gpu_count: int) -> None:
        """Divide the GPUs.

        Raises:
            InputError: they are of a kind that has no MIG.
        """
        for gpu in of_host(self.gpus, gpu_count):
            driver.divide(gpu, self.instances, self.slices, self.memory_b)


def read(table: Mapping[str, Any]) -> Mig:
    """A division from a file's table; `gpus` is a tuple already.

    Raises:
        InputError: it is none.
    """
    require_known(table, KEYS)
    for key in KEYS:
        if key != "gpus" and key not in table:
            raise InputError(f"{key} is missing")
    require_fit(table, KEYS)
    return Mig(**table)
