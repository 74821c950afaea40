"""How right windows of energy are, and whether their error bars are: on simulated boards, against their own truth.

With a counter: coverage and width of the error bar, beside what an estimator that knows more makes of the same.
Without one: a sweep of loads over frequencies and duties, where readings beat against the load.
The weights of `eagent.telemetry.edge` were fitted on boards of the seeds 1000 to 1023; what is published is on others.
Boards with a counter are read by the real loop; the others by a reader that errs as it does.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from benchmarks.figures import Figure, publish
from benchmarks.sampling.boards import SECOND_NS, TICK_S, Board, Load, Reader, mixture, of_noise, on_plant
from eagent.sim import model as models
from eagent.sim.workload import Square
from eagent.telemetry import edge
from eagent.telemetry.drawn import Drawn
from eagent.telemetry.energy import Energy, Meter
from eagent.telemetry.track import Track

MODELS = ("a100-sxm4-80gb", "h100-sxm5-80gb", "v100-pcie-16gb", "rtx-3090")
SWEPT = MODELS[:3]  # the others see all of the time: nothing beats against them
JUDGED_ON = 9000
SECONDS = 100.0
WINDOWS_S = (0.3, 1.0, 10.0, 60.0)
EACH = 20  # windows of each length on each board
ORACLE_EACH = 40
LOOPED_HOSTS = 27  # of eight boards each
FIRST_S = 6.0

BIAS_NS, ERROR_NS = 700_000, 300_000  # the reader's idea of a refresh's time: together within 1 ms, its jitter apart
JITTER_SHARE = 0.01

SWEPT_ON = (16000, 17000)
SWEEP_S = 36.0
SWEEP_WINDOWS_S = (10.0, 20.0)
OFF_SHARES = (-0.15, -0.1, -0.06, -0.03, -0.01, -0.002, 0.0, 0.002, 0.01, 0.03, 0.06, 0.1, 0.15)
FREE_HZ = (0.3, 0.7, 1.3, 2.7, 4.3, 6.1, 7.5)
DUTIES = (0.2, 0.5, 0.8)


@dataclass(frozen=True, slots=True)
class Judged:
    """One window's answer against the truth."""

    board: int
    window_s: float
    energy: Energy
    true_j: float

    @property
    def error_j(self) -> float:
        """How far off."""
        return abs((self.energy.energy_j or 0.0) - self.true_j)

    @property
    def holds(self) -> bool:
        """Whether the error bar reaches the truth."""
        return self.energy.energy_j is not None and self.error_j <= self.energy.half_width_j


def boards(seed: int, hosts: int) -> list[Board]:
    """A mixture of loads, and noise, on boards of all models: nine on each host."""
    made = []
    for host in range(seed, seed + hosts):
        model = MODELS[host % len(MODELS)]
        made += on_plant(model, host, SECONDS, mixture(random.Random(host), SECONDS))
        made.append(of_noise(model, host, SECONDS))
    return made


def windows(rng: random.Random, each: int) -> list[tuple[int, int, float]]:
    """Ends, begins and lengths, by their ends."""
    chosen = []
    for length_s in WINDOWS_S:
        for _ in range(each):
            begin_ns = round(rng.uniform(FIRST_S, SECONDS - 1.5 - length_s) * SECOND_NS)
            chosen.append((begin_ns + round(length_s * SECOND_NS), begin_ns, length_s))
    return sorted(chosen)


def judge(made: Sequence[Board], *, counter: bool = True, samples: bool = False) -> list[Judged]:
    """Meters fed with what the loop, or else a reader of the boards, sends; each window is answered once resolved."""
    judged = []
    for place, board in enumerate(made):
        meter, asked = Meter(board.device), windows(random.Random(place), EACH)
        for record in board.sent or reader(board, place, counter=counter, samples=samples).records(board):
            meter.add(*record)
            while asked and meter.resolved_until_ns() >= asked[0][0]:
                end_ns, begin_ns, length_s = asked.pop(0)
                energy = meter.energy(begin_ns, end_ns)
                judged.append(Judged(place, length_s, energy, board.referred_j(begin_ns, end_ns, energy.source)))
    return judged


def reader(board: Board, seed: int, *, counter: bool, samples: bool) -> Reader:
    """How the loop is expected to read: times of refreshes within 1 ms, and their jitter unknown."""
    jitter_ns = round(JITTER_SHARE * board.device.power_period_s * SECOND_NS)
    return Reader(seed, counter=counter, samples=samples, bias_ns=BIAS_NS, error_ns=ERROR_NS + jitter_ns)


def oracle_widths_j(made: Sequence[Board], jitter_share: float) -> dict[tuple[int, float], float]:
    """Half-widths of an estimator that knows the sensor and the load, by board and window length.

    It knows when refreshes are due, the sensor's gain, offset and window, and how its own errors on this very board are
    spread: its half-width is that which 95 % of them stay below. With a `jitter_share` of 0 it even knows by how much
    each refresh came early or late.
    """
    widths = {}
    for place, board in enumerate(made):
        counted, drawn = _known(board, jitter_share, random.Random(place))
        errors: dict[float, list[float]] = {length_s: [] for length_s in WINDOWS_S}
        for end_ns, begin_ns, length_s in windows(random.Random(place + 1), ORACLE_EACH):
            first, last = (edge.at(counted, each, drawn).total_uj * 1e-6 for each in (begin_ns, end_ns))
            errors[length_s].append(abs(last - first - board.referred_j(begin_ns, end_ns, "counter")))
        for length_s, found in errors.items():
            widths[place, length_s] = statistics.quantiles(found, n=20)[-1]
    return widths


def _known(board: Board, jitter_share: float, rng: random.Random) -> tuple[Track, Drawn]:
    jitter_ns = round(jitter_share * board.device.power_period_s * SECOND_NS)
    counted, drawn = Track(), Drawn(round(board.window_s * SECOND_NS))
    for refresh in board.refreshes:
        time_ns = refresh.time_ns + rng.randint(-jitter_ns, jitter_ns)
        counted.add(time_ns, refresh.energy_mj * 1000, jitter_ns)
        true_mw = (refresh.power_mw - board.offset_w * 1000) / board.gain * board.energy_gain
        drawn.read(time_ns, max(1, round(true_mw)), jitter_ns)
    return counted, drawn


def naive_j(board: Board, begin_ns: int, end_ns: int) -> float:
    """What polling power ten times a second and the trapezoid rule give, as many tools do it."""
    step_ns, watts, place = SECOND_NS // 10, [], 0
    for now_ns in range(begin_ns, end_ns + 1, step_ns):
        while place + 1 < len(board.refreshes) and board.refreshes[place + 1].time_ns <= now_ns:
            place += 1
        watts.append(board.refreshes[place].power_mw * 1e-3)
    return sum((one + other) / 2 for one, other in pairwise(watts)) * step_ns / SECOND_NS


def looped(seed: int, hosts: int = LOOPED_HOSTS) -> list[Board]:
    """A mixture of loads on boards of data centres, read by the real loop in virtual time."""
    made = []
    for host in range(seed, seed + hosts):
        work = mixture(random.Random(host), SECONDS)
        made += on_plant(SWEPT[host % len(SWEPT)], host, SECONDS, work, looped=True)
    return made


def with_counter() -> list[Figure]:
    """Coverage, width and error of windows by the counter."""
    made = looped(JUDGED_ON)
    judged = judge(made)
    by_model, by_exact = oracle_widths_j(made, JITTER_SHARE), oracle_widths_j(made, 0.0)
    found = [Figure("boards with a counter", len(made), "boards", ">= 200", len(made) >= 200)]
    for length_s in WINDOWS_S:
        those = [each for each in judged if each.window_s == length_s]
        covered = statistics.mean(each.holds for each in those) * 100
        found.append(Figure(f"coverage, {length_s:g} s", covered, "%", "93 - 98", 93 <= covered <= 98))
        width_j = statistics.median(each.energy.half_width_j for each in those)
        known_j, exact_j = (
            statistics.median(all_j[each.board, length_s] for each in those) for all_j in (by_model, by_exact)
        )
        peers = {"ours J": width_j, "knows sensor J": known_j, "knows each refresh J": exact_j}
        ratio = width_j / known_j
        found.append(Figure(f"median half-width, {length_s:g} s", ratio, "x", "<= 1.5", ratio <= 1.5, peers))
        found.append(Figure(f"  to exact refresh times, {length_s:g} s", width_j / exact_j, "x"))
    long = [each for each in judged if each.window_s >= 10]
    worst = max(each.error_j / each.true_j for each in long) * 100
    naive = _naive_errors(made)
    found.append(Figure("greatest error, >= 10 s", worst, "%", "<= 1", worst <= 1, {"naive": max(naive) * 100}))
    flagged = sum(bool(each.energy.flags) for each in judged)
    found.append(Figure("windows flagged", flagged, "windows", "0", flagged == 0))
    return found


def _naive_errors(made: Sequence[Board]) -> list[float]:
    errors = []
    for place, board in enumerate(made):
        for end_ns, begin_ns, length_s in windows(random.Random(place), 3):
            if length_s >= 10:
                true_j = board.referred_j(begin_ns, end_ns, "power")
                errors.append(abs(naive_j(board, begin_ns, end_ns) - true_j) / true_j)
    return errors


@dataclass(frozen=True, slots=True)
class Swept:
    """One load of the sweep: how far it is from a harmonic of the refresh, and how wrong its windows were."""

    off_share: float
    error_share: float
    naive_share: float
    flagged: bool


def sweep_boards() -> Iterator[tuple[Board, float]]:
    """Boards under square waves, and how far those are from a harmonic."""
    for number, (seed, model) in enumerate(product(SWEPT_ON, SWEPT)):
        refresh_hz = 1 / float(models.load(model)["sensor"]["period_s"])
        rng = random.Random(number)
        near_hz = [k * refresh_hz * (1 + off) for k in (1, 2, 3) for off in OFF_SHARES]
        loads = [(hertz, duty) for hertz in (*near_hz, *(f * refresh_hz / 10 for f in FREE_HZ)) for duty in DUTIES]
        loads = [(hertz, duty) for hertz, duty in loads if min(duty, 1 - duty) / hertz >= TICK_S / 4]
        for first in range(0, len(loads), 8):
            some = loads[first : first + 8]
            work = [
                Load("sweep", (gpu,), Square(1 / hertz, duty, compute=0.8), 1 + rng.random())
                for gpu, (hertz, duty) in enumerate(some)
            ]
            made = on_plant(model, seed + first, SWEEP_S, work)
            for board, (hertz, _) in zip(made, some, strict=True):
                harmonic_hz = max(1, round(hertz / refresh_hz)) * refresh_hz
                yield board, abs(hertz / harmonic_hz - 1)


def swept(made: Sequence[tuple[Board, float]], *, samples: bool) -> list[Swept]:
    """Windows of boards without a counter."""
    found = []
    for place, (board, off_share) in enumerate(made):
        meter, rng = Meter(board.device), random.Random(place)
        for record in reader(board, place, counter=False, samples=samples).records(board):
            meter.add(*record)
        for length_s in SWEEP_WINDOWS_S:
            begin_ns = round(rng.uniform(4, SWEEP_S - 2 - length_s) * SECOND_NS)
            end_ns = begin_ns + round(length_s * SECOND_NS)
            energy, true_j = meter.energy(begin_ns, end_ns), board.referred_j(begin_ns, end_ns, "power")
            error, naive = (
                abs(each / true_j - 1) for each in (energy.energy_j or 0.0, naive_j(board, begin_ns, end_ns))
            )
            found.append(Swept(off_share, error, naive, "aliasing" in energy.flags))
    return found


def without_counter() -> list[Figure]:
    """The sweep, with the driver's sample buffer and without."""
    made, found = list(sweep_boards()), []
    for name, samples in (("buffer", True), ("no buffer", False)):
        all_of = swept(made, samples=samples)
        free, near = ([each for each in all_of if (each.off_share > 0.05) is is_free] for is_free in (True, False))
        far = [each for each in all_of if each.off_share >= 0.0999]
        count, most = len(all_of), max((each.error_share for each in free if not each.flagged), default=0.0) * 100
        missed = sum(each.error_share > 0.05 and not each.flagged for each in all_of)
        naive = sum(each.naive_share > 0.05 for each in all_of) / count * 100
        told = [
            Figure(f"wrong by > 5 % and not flagged ({name})", missed / count * 100, "%", peers={"naive": naive}),
            Figure(f"  greatest error away from harmonics ({name})", most, "%"),
            Figure(f"  flagged within 5 % of one ({name})", _share(near), "%"),
            Figure(f"  flagged needlessly, >= 10 % away ({name})", _share(far), "%"),
        ]
        # Each board has a buffer or a counter; without either nothing tells some loads from others: no goals then.
        found += _judged(told, (0.0, 5.0, None, 1.0)) if samples else told
    return found


def _judged(told: Sequence[Figure], goals: Sequence[float | None]) -> list[Figure]:
    return [
        each if most is None else replace(each, goal=f"<= {most:g}", holds=each.value <= most)
        for each, most in zip(told, goals, strict=True)
    ]


def _share(those: Sequence[Swept]) -> float:
    return sum(each.flagged for each in those) / max(1, len(those)) * 100


def power_windows() -> list[Figure]:
    """The mixture of loads again, on boards without a counter: told, no goal."""
    found = []
    made = boards(JUDGED_ON + LOOPED_HOSTS, 12)
    for name, samples in (("buffer", True), ("no buffer", False)):
        judged = [each for each in judge(made, counter=False, samples=samples) if each.energy.energy_j is not None]
        sure = [each for each in judged if not each.energy.flags]
        for length_s in WINDOWS_S:
            covered = statistics.mean(each.holds for each in sure if each.window_s == length_s) * 100
            found.append(Figure(f"coverage without a counter ({name}), {length_s:g} s", covered, "%"))
        found.append(Figure(f"windows flagged ({name})", (1 - len(sure) / len(judged)) * 100, "%"))
    return found


def cost() -> list[Figure]:
    """What a record and a question cost, in this process."""
    board = on_plant("v100-pcie-16gb", 1, 30.0, [Load("cost", (0,), Square(0.5, 0.5))])[0]
    records, meter = reader(board, 0, counter=True, samples=True).records(board), Meter(board.device)
    begin_ns = time.process_time_ns()
    for record in records:
        meter.add(*record)
    each_us = (time.process_time_ns() - begin_ns) / len(records) / 1000
    begin_ns = time.process_time_ns()
    for i in range(200):
        meter.energy(5 * SECOND_NS + i, 15 * SECOND_NS + i)
    asked_us = (time.process_time_ns() - begin_ns) / 200 / 1000
    return [Figure("a record costs", each_us, "us", "<= 3", each_us <= 3), Figure("a window costs", asked_us, "us")]


def figures() -> list[Figure]:
    """All of them."""
    return [*with_counter(), *without_counter(), *power_windows(), *cost()]


if __name__ == "__main__":
    publish("sampling-energy", figures())
