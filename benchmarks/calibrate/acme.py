"""Servers of eight A100: from how their GPUs' power is distributed to how the servers' power is, at the wall.

The activity that a GPU needs for each watt is found on the plant; then servers are filled with such GPUs, and metered
by their BMC. How alike the GPUs of one server are is assumed, as the data do not tell which GPU was in which server. It
is the correlation of normal numbers behind their ranks; 0: any eight GPUs of the cluster, 1: eight times the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibrate import data
from benchmarks.calibrate.rig import Load, Rig, Setting, create
from benchmarks.figures import Figure
from eagent.sim import model, processor
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim.supply import package_most_w, supply

Array = NDArray[np.float64]
FILE = "acme/acme_power_temp_cdf.csv"
GPU_MODEL, CPU_MODEL, GPUS = "a100-sxm4-80gb", "xeon-platinum-8358", 8
SERVERS = 200
UNUSED_W = 70.0  # who draws less has no process: assumed. Three in ten do, most of them 58 to 66 W
LIKENESS = 0.8  # of the GPUs of one server: assumed
LIKENESS_TRIED = (0.6, 0.7, 0.9, 1.0)
LEVELS = np.linspace(0.0, 1.0, 41)
QUANTILES = (0.25, 0.5, 0.95)
TOLD = (0.05, 0.75, 0.99)
GOAL_PCT = 15.0
IDLE_W, MOST_W = (1500.0, 1700.0), 6554.0  # known of such servers
SETTLE_S, WATCH_S = 5.0, 5.0
SEED = 1


def read(folder: Path) -> tuple[Array, Array]:
    """(watts of a GPU, of both clusters; watts of a server), each sorted, at equal steps of probability."""
    seren, kalos, server = np.array(
        data.columns(folder, FILE, "seren_gpu_power_w", "kalos_gpu_power_w", "gpu_server_power_w")
    ).T
    return np.sort(np.concatenate([seren, kalos])), np.sort(server)


def activity(rig: Rig, watts: Array) -> Array:
    """The activity at which a GPU draws so many watts; -1 where it has no process."""
    seen = rig.measure([(working(float(level)), Setting()) for level in LEVELS])
    drawn_w = np.maximum.accumulate([one.power_w for one in seen])
    found = np.interp(watts, drawn_w, LEVELS)
    return np.where(watts < UNUSED_W, -1.0, found)


def working(level: float) -> Load:
    """What a GPU that is so active does: training, mostly dense compute."""
    return Load(level, 0.3 * level, 0.85)


def filled(gpu_w: Array, likeness: float) -> Array:
    """Watts of the GPUs of many servers, drawn from how GPUs are distributed."""
    chance = np.random.default_rng(SEED)
    shared, own = chance.standard_normal((SERVERS, 1)), chance.standard_normal((SERVERS, GPUS))
    normal = np.sqrt(likeness) * shared + np.sqrt(1 - likeness) * own
    return np.quantile(gpu_w, [[NormalDist().cdf(number) for number in server] for server in normal.tolist()])


def server_w(rig: Rig, levels: Sequence[Sequence[float]]) -> Array:
    """What servers draw from the wall whose GPUs are so active; -1: without a process."""
    cpu = processor.load(CPU_MODEL)
    parts = {"cpu": cpu, "supply": supply(rig.model, GPUS, cpu).as_dict()}
    found = []
    with tempfile.TemporaryDirectory(prefix="eagent-calibrate-") as directory:
        path = Path(directory) / "plant"
        for one in levels:
            create(path, rig.model, gpus=GPUS, **parts)
            with Host(path) as host, Bmc(path) as bmc:
                for gpu, level in enumerate(one):
                    if level >= 0:
                        working(float(level)).square().start(host, [gpu])
                host.advance(SETTLE_S)
                before_j = bmc.spent()["on"][1]
                host.advance(SETTLE_S + WATCH_S)
                found.append((bmc.spent()["on"][1] - before_j) / WATCH_S)
            path.unlink()
    return np.array(found)


def judge(folder: Path) -> list[Figure]:
    """Figures of this goal."""
    gpu_w, measured_w = read(folder)
    rig = Rig(model.load(GPU_MODEL)).quick()
    found = {likeness: _errors_pct(rig, gpu_w, measured_w, likeness) for likeness in (LIKENESS, *LIKENESS_TRIED)}
    figures = []
    for quantile in (*QUANTILES, *TOLD):
        off_pct = found[LIKENESS][quantile]
        goal = f"<= {GOAL_PCT:g}" if quantile in QUANTILES else ""
        others = {f"likeness {likeness:g}": found[likeness][quantile] for likeness in LIKENESS_TRIED}
        name = f"Acme, server power at p{100 * quantile:g}: error"
        figures.append(Figure(name, off_pct, "%", goal, abs(off_pct) <= GOAL_PCT if goal else None, others))
    return [*figures, *_ends(rig)]


def _errors_pct(rig: Rig, gpu_w: Array, measured_w: Array, likeness: float) -> dict[float, float]:
    levels = activity(rig, filled(gpu_w, likeness))
    watts = server_w(rig, levels.tolist())
    return {q: float(100 * (np.quantile(watts, q) / np.quantile(measured_w, q) - 1)) for q in (*QUANTILES, *TOLD)}


def _ends(rig: Rig) -> list[Figure]:
    """A server that idles, and one that does all it can."""
    idle_w, busy_w = server_w(rig, [[-1.0] * GPUS, [1.0] * GPUS]).tolist()
    cpu = processor.load(CPU_MODEL)
    made = supply(rig.model, GPUS, cpu)
    parts_w = GPUS * rig.model["limits"]["max_w"] + package_most_w(cpu)
    most_w = parts_w + made.others_most_w(parts_w)
    return [
        Figure("8xA100 server, idle", idle_w, "W", "1500-1700", IDLE_W[0] <= idle_w <= IDLE_W[1]),
        Figure("8xA100 server, all GPUs at their limit", busy_w, "W"),
        Figure("8xA100 server, all parts and fans at their most", most_w, "W", peers={"known": MOST_W}),
    ]
