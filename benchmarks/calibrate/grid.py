"""An A100 under clock locks and power caps: loads are fitted to runs under locks alone, and predicted under caps.

The measured board is an 80 GB PCIe one: its memory streams 1.69 TB/s and its limit is 300 W. Energy and time of whole
runs were read from NVML. The published grid's fourth load has no time, so it is left out.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.calibrate import data
from benchmarks.calibrate.loads import Observed, Shape, errors, fitted, median
from benchmarks.calibrate.rig import Load, Rig, Setting
from benchmarks.figures import Figure
from eagent.sim import model

FILE = "gpu_dvfs/giordano_a100_rtxpro6000_freq_x_powerlimit.csv"
GPU = "cricket-a100"
MODEL = "a100-pcie-80gb"
LOADS = ("babelstream", "breeze", "pi-solver")
GOAL_PCT = 2.0
BINDS = 0.93  # a run that draws less of its limit is held by its lock alone
WH_J = 3600.0

SHAPE = Shape(
    lambda row: Load(*map(float, row[:3])),  # compute, memory, beta
    start=(0.6, 0.5, 0.5, 1.0),
    low=(0.0, 0.0, 0.0, 0.7),
    high=(1.0, 1.0, 1.0, 1.3),
)


def read(folder: Path) -> dict[str, list[Observed]]:
    """The runs of each load on the A100."""
    loads: dict[str, list[Observed]] = {name: [] for name in LOADS}
    for row in data.rows(folder, FILE):
        if row["gpu"] != GPU or row["workload"] not in LOADS:
            continue
        time_s, energy_j = float(row["time_s"]), float(row["energy_raw"]) * WH_J
        setting = Setting(float(row["power_limit_w"]), int(row["sm_clock_lock_mhz"]))
        loads[row["workload"]].append(Observed(setting, energy_j / time_s, time_s))
    return loads


def binds(run: Observed) -> bool:
    """Whether its cap held it back."""
    return run.setting.limit_w is not None and run.power_w >= BINDS * run.setting.limit_w


def is_lock_run(run: Observed, greatest_w: float) -> bool:
    """Whether nothing but a lock was set."""
    return run.setting.limit_w == greatest_w and not binds(run)


def judge(folder: Path) -> list[Figure]:
    """Figures of this goal."""
    numbers = model.load(MODEL)
    runs = list(read(folder).values())
    locked = [[run for run in group if is_lock_run(run, numbers["limits"]["max_w"])] for group in runs]
    capped = [[run for run in group if binds(run)] for group in runs]
    rig = Rig(numbers)
    loads = fitted(rig.quick(), locked, SHAPE)
    figures = []
    for name, groups, goal_pct in (
        ("cap binds, predicted", capped, GOAL_PCT),
        ("whole grid", runs, GOAL_PCT),
        ("locks alone, fitted", locked, None),
    ):
        found = [error for group in errors(rig, groups, loads) for error in group]
        label = f"A100 grid, {name}, {len(found)} runs: median error of"
        figures.append(median(f"{label} power", [error.power_pct for error in found], goal_pct))
        figures.append(median(f"{label} time", [error.time_pct for error in found], goal_pct))
    return figures
