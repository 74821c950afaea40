"""How far the coarse step is from the fine plant: the same load on both, for the same time."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagent.sim import model, processor
from eagent.sim._bmc import Bmc
from eagent.sim._coarse import Fleet
from eagent.sim._maker import create
from eagent.sim._plant import Host
from eagent.sim.supply import supply
from eagent.sim.workload import Square

GPU_MODEL, CPU_MODEL = "a100-sxm4-80gb", "xeon-platinum-8358"


@dataclass(frozen=True, slots=True)
class Phase:
    """A load for some time under its settings: steady if its wave's duty is 1."""

    seconds: float
    wave: Square
    limit_w: float
    ceiling_mhz: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What one GPU drew and did, and what its host drew from the wall."""

    energy_j: float
    work_s: float
    wall_j: float
    temperature_c: float

    def error(self, truth: Account) -> dict[str, float]:
        """By how much this is off, in percent of the truth."""
        return {
            "energy": 100 * (self.energy_j / truth.energy_j - 1),
            "work": 100 * (self.work_s / truth.work_s - 1) if truth.work_s else 0.0,
            "wall": 100 * (self.wall_j / truth.wall_j - 1),
        }


def numbers(gpu_model: str = GPU_MODEL) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """The GPU, the processors and the supply of the hosts that are compared, which have one GPU."""
    gpu, cpu = model.load(gpu_model), processor.load(CPU_MODEL)
    return gpu, cpu, supply(gpu, 1, cpu).as_dict()


def finely(phases: list[Phase], gpu_model: str = GPU_MODEL) -> Account:
    """In ticks of 5 ms."""
    gpu, cpu, around = numbers(gpu_model)
    description = {"gpus": 1, "seed": 1, "permission": "anyone", "clock": "virtual"}
    with tempfile.TemporaryDirectory(prefix="eagent-coarse-") as directory:
        path = Path(directory) / "plant"
        create(path, {**description, "model": gpu, "cpu": cpu, "supply": around})
        with Host(path) as host, Bmc(path) as bmc:
            for phase in phases:
                host.stop_load()
                host.set_power_limit(0, phase.limit_w)
                if phase.ceiling_mhz is None:
                    host.reset_clocks(0)
                else:
                    host.lock_clocks(0, gpu["clocks"]["min_mhz"], phase.ceiling_mhz)
                phase.wave.start(host, [0], at_s=host.time_s)
                host.advance(host.time_s + phase.seconds)
            work_s = sum(sum(load["units"]) for load in host.progress())
            return Account(
                host.energy_true_j(0),
                work_s,
                sum(energy_j for _, energy_j in bmc.spent().values()),
                float(host.view(0)["temperature_c"]),
            )


def coarsely(phases: list[Phase], step_s: float, gpu_model: str = GPU_MODEL) -> Account:
    """In steps of `step_s`, of which each phase must be a multiple."""
    gpu, cpu, around = numbers(gpu_model)
    fleet = Fleet(gpu, cpu, around, hosts=1, gpus=1)
    for phase in phases:
        wave = phase.wave
        fleet.set_activity(0, 0, wave.compute, wave.memory, wave.compute_fraction, wave.duty, wave.duty * wave.period_s)
        fleet.set_limit(0, 0, phase.limit_w)
        fleet.set_ceiling(0, 0, phase.ceiling_mhz)
        for _ in range(round(phase.seconds / step_s)):
            fleet.step(step_s)
    return Account(fleet.energy_j[0], fleet.work_s[0], fleet.wall_energy_j[0], fleet.temperature_c[0])


def errors(phases: list[Phase], step_s: float, gpu_model: str = GPU_MODEL) -> dict[str, float]:
    """Percent by which the coarse step is off in "energy" and "work" of the GPU, and in the host's at the "wall"."""
    return coarsely(phases, step_s, gpu_model).error(finely(phases, gpu_model))
