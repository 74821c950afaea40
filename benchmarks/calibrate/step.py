"""How fast power rises when a load begins: the plant's truth between its ticks, against a meter's millisecond means."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.calibrate import data
from benchmarks.calibrate.rig import Model, create
from benchmarks.figures import Figure
from eagent.sim import model
from eagent.sim._plant import Host
from eagent.sim.workload import Square

STEM = {"A100": "a100-pcie-40gb", "3090": "rtx-3090"}
A100_GOAL_MS, SHARE_GOAL_PCT = 2.0, 15.0
BEFORE_MS, AFTER_MS = 100.0, (200.0, 500.0)  # of the edge: where power was steady
WAVE = Square(period_s=4.0, duty=0.5, compute=0.5, memory=0.3)  # no cap binds
EDGE_S, TICK_S = 4.0, 0.005  # its second period: the process is there, and has waited
LOOKS = 50  # within a tick


def rise_ms(times_ms: Sequence[float], watts: Sequence[float], edge_ms: float) -> float:
    """From 10 to 90 % of the step that a load makes which begins at `edge_ms`."""
    at_ms, power_w = np.asarray(times_ms) - edge_ms, np.asarray(watts)
    low_w = float(np.mean(power_w[(at_ms >= -BEFORE_MS) & (at_ms < 0)]))
    high_w = float(np.mean(power_w[(at_ms >= AFTER_MS[0]) & (at_ms < AFTER_MS[1])]))
    later_ms, later_w = at_ms[at_ms >= 0], power_w[at_ms >= 0]

    def reaches_ms(share: float) -> float:
        level_w = low_w + share * (high_w - low_w)
        first = int(np.argmax(later_w >= level_w))
        if first == 0:
            return float(later_ms[0])
        step = slice(first - 1, first + 1)
        return float(np.interp(level_w, later_w[step], later_ms[step]))

    return reaches_ms(0.9) - reaches_ms(0.1)


def measured_ms(folder: Path, name: str) -> float:
    """The rise of the recorded step."""
    times_ms, watts = zip(*data.columns(folder, f"sensor/step_{name}_truth_1ms.csv", "t_ms", "true_w"), strict=True)
    ((edge_ms,), *_) = sorted(data.columns(folder, f"sensor/step_{name}_events.csv", "event_t_ms"))
    return rise_ms(times_ms, watts, edge_ms)


def plant_ms(numbers: Model) -> float:
    """The rise on the plant, looked at many times in each tick."""
    times_ms, watts = [], []
    with tempfile.TemporaryDirectory(prefix="eagent-calibrate-") as directory:
        create(Path(directory) / "plant", numbers)
        with Host(Path(directory) / "plant") as host:
            WAVE.start(host, [0])
            host.advance(EDGE_S - BEFORE_MS / 1e3)
            while host.time_s < EDGE_S + AFTER_MS[1] / 1e3:
                tick_s = host.time_s
                host.advance(tick_s + TICK_S)
                for look in range(LOOKS):
                    times_ms.append((tick_s + look * TICK_S / LOOKS) * 1e3)
                    watts.append(host.power_true_w(0, times_ms[-1] / 1e3))
    return rise_ms(times_ms, watts, EDGE_S * 1e3)


def judge(folder: Path) -> list[Figure]:
    """Figures of this goal."""
    figures = []
    for name, stem in STEM.items():
        here_ms, there_ms = plant_ms(model.load(stem)), measured_ms(folder, name)
        off_pct = 100 * abs(here_ms / there_ms - 1)
        is_a100 = name == "A100"
        holds = here_ms <= A100_GOAL_MS if is_a100 else off_pct <= SHARE_GOAL_PCT
        goal = f"<= {A100_GOAL_MS:g}" if is_a100 else f"+-{SHARE_GOAL_PCT:g}%"
        peers = {"measured": there_ms, "off by %": off_pct}
        figures.append(Figure(f"{name} step: rise from 10 to 90 %", here_ms, "ms", goal, holds, peers))
    return figures
