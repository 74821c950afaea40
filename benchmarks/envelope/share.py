"""An envelope of 3.0 kW shared on 8 x H100 under a demand that wanders below 60 % of full power, in virtual time.

Three hosts run the same course: one that eagent governs, one with the oracle's split, one with an equal split. What
they get done is counted by the plant. Also counted is the time that eagent's writes held the driver, by the plant's
account.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.envelope import oracle
from benchmarks.envelope.demand import GPUS, Piece, Player
from benchmarks.virtual import PERIOD_S, Governed, Ungoverned
from eagent.config import Config
from eagent.sim._faults import Faults
from eagent.sim.account import limits_over_budget_s

GPU_MODEL = "h100-sxm5-80gb"
ENVELOPE_W, SAFE_W, FULL_W = 3000.0, 200.0, 700.0
SET_S = 1.0  # by then a budget that was set at the beginning is in force
LEAD_S = 15.0  # before work and writes are counted
MINUTE_S = 60.0
BACK_S = 60.0  # more than a ramp takes to put the limits back


@dataclass(frozen=True, slots=True)
class Course:
    """What one host did."""

    work_s: float  # seconds of one GPU at full clock
    write_shares: tuple[float, ...]  # per minute: the share of it that setters held the driver
    writes: int
    over_s: float  # for how long the limits in force summed above the envelope


def play(host: Ungoverned, pieces: Sequence[Piece], seconds: float, change: Callable[[Piece], None]) -> Course:
    """Run the pieces, and tell of each before it begins."""
    player = Player(host.plant)
    with Faults(host.made.plant) as lab:
        next_minute_s = LEAD_S + MINUTE_S
        host.advance(LEAD_S)
        minutes, written = [_set_s(lab)], lab.calls()["set"][0]
        for piece, end_s in zip(pieces, [*(each.at_s for each in pieces[1:]), seconds], strict=True):
            change(piece)
            player.put(piece)
            while host.plant.time_s < LEAD_S + end_s - PERIOD_S / 2:
                host.advance(min(LEAD_S + end_s, next_minute_s))
                if host.plant.time_s >= next_minute_s - PERIOD_S / 2:
                    minutes.append(_set_s(lab))
                    next_minute_s += MINUTE_S
        writes = lab.calls()["set"][0] - written
    log = host.plant.limit_log()
    over_s = limits_over_budget_s(log, [FULL_W] * GPUS, [(SET_S, LEAD_S + seconds, ENVELOPE_W)])
    shares = tuple((after - before) / MINUTE_S for before, after in pairwise(minutes))
    return Course(player.work_s, shares, writes, over_s)


def _set_s(lab: Faults) -> float:
    return lab.calls()["set"][1]


def greatest_rise_w(log: Sequence[tuple[float, int, float, float, int]], since_s: float) -> float:
    """Of the sum of limits, within any second after `since_s`."""
    sums_w, sum_w = [], 0.0
    for at_s, _, old_w, new_w, _ in log:
        sum_w += new_w - old_w
        if at_s > since_s:
            sums_w.append((at_s, sum_w, sum_w - (new_w - old_w)))
    return max(
        (later_w - before_w for at_s, _, before_w in sums_w for to_s, later_w, _ in sums_w if at_s <= to_s < at_s + 1),
        default=0.0,
    )


def governed(directory: Path, name: str, seed: int, pieces: Sequence[Piece], seconds: float) -> Course:
    """A host under eagent."""
    host = _budgeted(directory, name, seed, 0.0)
    try:
        return play(host, pieces, seconds, lambda _: None)
    finally:
        host.close()


def ramped(
    directory: Path, name: str, seed: int, pieces: Sequence[Piece], seconds: float, ramp_w_per_s: float
) -> tuple[Course, float]:
    """A host under eagent with a ramp, whose budget is cleared at the end, and the greatest rise of its limits' sum.

    They rise at the beginning, when the budget begins to be shared, with the demand, and when they are put back.
    """
    host = _budgeted(directory, name, seed, ramp_w_per_s)
    try:
        course = play(host, pieces, seconds, lambda _: None)
        host.warden.release()
        host.warden.budget_clear()
        host.advance(LEAD_S + seconds + BACK_S)
        if any(host.plant.view(gpu)["limit_requested_mw"] != FULL_W * 1000 for gpu in range(GPUS)):
            raise SystemExit("the limits are not back")
        return course, greatest_rise_w(host.plant.limit_log(), SET_S)
    finally:
        host.close()


def _budgeted(directory: Path, name: str, seed: int, ramp_w_per_s: float) -> Governed:
    host = Governed(directory, name, seed, Config(ramp_w_per_s=ramp_w_per_s), gpu_model=GPU_MODEL)
    host.set_budget(ENVELOPE_W, SAFE_W)
    return host


def split(
    directory: Path, name: str, seed: int, pieces: Sequence[Piece], seconds: float, speeds: oracle.Speeds | None
) -> Course:
    """A host with the oracle's split, or without `speeds` an equal one."""
    host = Ungoverned(directory, name, seed, GPU_MODEL)
    host.set_limits(ENVELOPE_W / GPUS)

    def change(piece: Piece) -> None:
        if speeds is not None:
            for gpu, limit_w in enumerate(oracle.split(piece.names, ENVELOPE_W, speeds)):
                host.plant.set_power_limit(gpu, limit_w)

    try:
        return play(host, pieces, seconds, change)
    finally:
        host.close()
