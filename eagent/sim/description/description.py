"""A simulated host in words and numbers, complete: from this it is made, whoever asks for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eagent.errors import InputError
from eagent.sim._driver import Driver
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.description.fault import Fault
from eagent.sim.description.load import Load
from eagent.sim.description.mig import Mig
from eagent.sim.description.parts import Cpus, Gpus
from eagent.sim.description.setting import Setting
from eagent.sim.description.values import Kind, Text, at, require_fit, require_known
from eagent.sim.gpus import of_host
from eagent.sim.model import Number, Word
from eagent.sim.supply import BOOT_S_MAX, INLET_C, WATTS_MAX, supply

PERMISSIONS = ("anyone", "root", "nobody")
CLOCKS = ("wall", "virtual")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

WATTS, SHARE = Number(0, WATTS_MAX), Number(0, 1)
HOST: Mapping[str, Kind] = {
    "name": Text(),
    "seed": Number(0, 2**64 - 1, whole=True),
    "permission": Word(PERMISSIONS),
    "clock": Word(CLOCKS),
}
# What each number means stands in eagent/sim/supply.py.
SUPPLY: Mapping[str, Kind] = {
    "standby_w": WATTS,
    "boot_w": WATTS,
    "boot_s": Number(0, BOOT_S_MAX),
    "rest_w": WATTS,
    "fan_w": WATTS,
    "fan_min": SHARE,
    "loss_w": WATTS,
    "loss_share": SHARE,
    "inlet_c": Number(*INLET_C),
}


@dataclass(frozen=True, slots=True)
class Description:
    """One host. What can't be made can't be described: each field is checked, and how they go together."""

    name: str | None = None  # None: to be said when it is made
    seed: int = 1  # tells boards apart: their sensors' errors, their UUIDs, a gang's imbalance
    permission: str = "anyone"  # whom the simulated driver lets set knobs
    clock: str = "wall"  # "virtual" moves only when it is told to
    gpu: Gpus = field(default_factory=Gpus)
    cpu: Cpus = field(default_factory=Cpus)
    supply: Mapping[str, float] = field(default_factory=dict)  # what differs from the defaults of `eagent.sim.supply`
    settings: tuple[Setting, ...] = ()
    migs: tuple[Mig, ...] = ()
    loads: tuple[Load, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        """Check all of it."""
        with at("[host] "):
            require_fit({key: getattr(self, key) for key in HOST}, HOST)
            if self.name is not None and not NAME.fullmatch(self.name):
                raise InputError(f"name = {self.name!r}: must be up to 64 letters, digits and . _ -, not . _ - first")
        with at("[supply] "):
            require_known(self.supply, SUPPLY)
            require_fit(self.supply, SUPPLY)
        self.plant()
        for number, setting in enumerate(self.settings, 1):
            with at(f"[[set]] {number}: "):
                setting.check(self.gpu.count, self.gpu.numbers())
        for number, mig in enumerate(self.migs, 1):
            with at(f"[[mig]] {number}: "):
                mig.check(self.gpu.count, self.gpu.numbers())
        for number, fault in enumerate(self.faults, 1):
            with at(f"[[fault]] {number}: "):
                fault.check(self.gpu.count, self.cpu.numbers())
        self._require_one_load_a_gpu()

    def _require_one_load_a_gpu(self) -> None:
        taken: dict[int, int] = {}
        for number, load in enumerate(self.loads, 1):
            with at(f"[[load]] {number}: "):
                for gpu in of_host(load.gpus, self.gpu.count):
                    if gpu in taken:
                        raise InputError(f"gpu {gpu} has the work of [[load]] {taken[gpu]} already; a GPU has one")
                    taken[gpu] = number

    def plant(self) -> dict[str, Any]:
        """What `eagent.sim._maker.create` asks for."""
        gpu, cpu = self.gpu.numbers(), self.cpu.numbers()
        return {
            "gpus": self.gpu.count,
            "seed": self.seed,
            "permission": self.permission,
            "clock": self.clock,
            "model": gpu,
            "cpu": cpu,
            "supply": supply(gpu, self.gpu.count, cpu, **self.supply).as_dict(),
        }

    def prepared(self) -> Callable[[Path], None]:
        """All that may fail by itself is done now; the rest is done to the host's plant, at its path, once it is made.

        Raises:
            InputError: the requests of a load can't be had.
        """
        ready = []
        for number, load in enumerate(self.loads, 1):
            with at(f"[[load]] {number}: "):
                ready.append(load.ready(self.gpu.count))

        def begin(path: Path) -> None:
            with Driver(path) as driver:
                for number, mig in enumerate(self.migs, 1):
                    with at(f"[[mig]] {number}: "):
                        mig.divide(driver, self.gpu.count)
            with Host(path) as plant:
                for setting in self.settings:
                    setting.apply(plant)
                for load in ready:
                    load.start(plant)
            with Faults(path) as opened:
                for number, fault in enumerate(self.faults, 1):
                    with at(f"[[fault]] {number}: "):
                        fault.inject(opened)

        return begin
