"""What a simulated run came to, computed from the plant's own logs and not from anything eagent says of itself.

All joules and watts here are simulated. A period is judged by `Stretch`es: the time during which one envelope held.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from eagent.errors import InputError

POWER_STEP_S = 0.1  # one row of a power log
TIME_SLACK_S = 1e-6  # two times that differ by less are the same: they are sums of binary fractions
NOBODY = 0  # whose pid stands beside a limit that went with the power, or came with a boot
LIMIT_SLACK_W = 0.0005  # limits are whole milliwatts: less than half of one is rounding


class LimitChange(NamedTuple):
    """One entry of the plant's log: who set which limit, when."""

    time_s: float
    gpu: int
    old_w: float
    new_w: float
    pid: int


class Stretch(NamedTuple):
    """A stretch of time with one envelope: the watts that the GPUs of the host may draw together.

    The draw of all else is in the budget as a declared maximum and is no part of either side here.
    """

    start_s: float
    end_s: float
    envelope_w: float


class Served(NamedTuple):
    """What became of one request. None: it has not come to that."""

    arrival_s: float
    first_token_s: float | None
    done_s: float | None


@dataclass(frozen=True, slots=True)
class PowerLog:
    """True power, as no sensor shows it: row i holds each GPU's mean watts over [i, i + 1) x `POWER_STEP_S`."""

    rows: Sequence[Sequence[float]]

    @property
    def end_s(self) -> float:
        """The end of the last whole row."""
        return len(self.rows) * POWER_STEP_S

    def pieces(self, start_s: float, end_s: float) -> Iterator[tuple[float, Sequence[float]]]:
        """Yield (seconds, watts per GPU) for each row that [start_s, end_s) touches.

        Raises:
            InputError: the log does not cover all of it. What was not logged is not taken for zero.
        """
        if not -TIME_SLACK_S <= start_s <= end_s <= self.end_s + TIME_SLACK_S:
            raise InputError(f"power from {start_s:g} s to {end_s:g} s: the log covers 0 s to {self.end_s:g} s")
        for index in range(int(max(start_s, 0.0) / POWER_STEP_S), len(self.rows)):
            from_s, to_s = max(start_s, index * POWER_STEP_S), min(end_s, (index + 1) * POWER_STEP_S)
            if to_s > from_s:
                yield to_s - from_s, self.rows[index]
            if to_s >= end_s:
                return


@dataclass(frozen=True, slots=True)
class Overshoot:
    """Joules above the envelope: the integral of max(0, power - envelope), with power averaged over two windows.

    A driver holds a limit as a mean over about a second, so `of_1s_means_j` is what a limit promises;
    `of_100ms_means_j` also counts what evens out within the second, and is never the smaller one.
    """

    of_1s_means_j: float
    of_100ms_means_j: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Nearest-rank percentiles of the requests that came to an end; None when none did."""

    finished: int
    unfinished: int
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None


def limits_over_budget_s(
    limit_log: Iterable[tuple[float, int, float, float, int]],
    initial_limits_w: Sequence[float],
    stretches: Iterable[tuple[float, float, float]],
) -> float:
    """Measure for how long the sum of the limits in force was above the envelope, in seconds.

    Args:
        limit_log: `LimitChange`s in order of time.
        initial_limits_w: each GPU's limit before the first of them.
        stretches: `Stretch`es; those that overlap count twice.

    Raises:
        InputError: the log goes back in time or names a GPU that is not there.
    """
    sums = list(_sums_in_force(limit_log, initial_limits_w))
    total_s = 0.0
    for start_s, end_s, envelope_w in stretches:
        for index, (since_s, sum_w) in enumerate(sums):
            until_s = sums[index + 1][0] if index + 1 < len(sums) else math.inf
            if sum_w > envelope_w + LIMIT_SLACK_W:
                total_s += max(0.0, min(until_s, end_s) - max(since_s, start_s))
    return total_s


def _sums_in_force(
    limit_log: Iterable[tuple[float, int, float, float, int]], initial_limits_w: Sequence[float]
) -> Iterator[tuple[float, float]]:
    """Yield (since when, sum of limits in watts), the first since ever."""
    limits_w = list(initial_limits_w)
    previous_s = -math.inf
    yield previous_s, math.fsum(limits_w)
    for change in itertools.starmap(LimitChange, limit_log):
        if change.time_s < previous_s:
            raise InputError(f"limit log: {change.time_s:g} s comes after {previous_s:g} s: expected order of time")
        if not 0 <= change.gpu < len(limits_w):
            raise InputError(f"limit log: gpu {change.gpu} at {change.time_s:g} s: the host has {len(limits_w)}")
        limits_w[change.gpu] = change.new_w
        previous_s = change.time_s
        yield previous_s, math.fsum(limits_w)


def overshoot_j(power_log: PowerLog, stretches: Iterable[tuple[float, float, float]]) -> Overshoot:
    """Integrate the power above the envelope over the stretches, on 1 s and on 100 ms means.

    Each stretch is cut into seconds from its start; a shorter last piece is averaged over what there is of it. So no
    mean mixes two envelopes.

    Raises:
        InputError: the log does not cover a stretch.
    """
    of_seconds_j, of_steps_j = 0.0, 0.0
    for start_s, end_s, envelope_w in stretches:
        seconds = max(1, math.ceil(end_s - start_s - TIME_SLACK_S))
        for second in range(seconds):
            from_s = start_s + second
            over_j = 0.0
            for piece_s, watts in power_log.pieces(from_s, min(from_s + 1.0, end_s)):
                piece_over_j = (math.fsum(watts) - envelope_w) * piece_s
                over_j += piece_over_j
                of_steps_j += max(0.0, piece_over_j)
            of_seconds_j += max(0.0, over_j)
    return Overshoot(of_seconds_j, of_steps_j)


def energy_j(power_log: PowerLog, start_s: float, end_s: float) -> float:
    """Integrate the host's true GPU power from `start_s` to `end_s`: simulated joules.

    Raises:
        InputError: the log does not cover all of it.
    """
    return math.fsum(_gpu_energies_j(power_log, start_s, end_s))


def _gpu_energies_j(power_log: PowerLog, start_s: float, end_s: float) -> tuple[float, ...]:
    pieces = list(power_log.pieces(start_s, end_s))
    gpus = len(power_log.rows[0]) if power_log.rows else 0
    return tuple(math.fsum(seconds * watts[gpu] for seconds, watts in pieces) for gpu in range(gpus))


def latency_percentiles(served: Iterable[tuple[float, float | None, float | None]]) -> Percentiles:
    """Sum up the time from arrival to the last token."""
    return _percentiles([(arrival_s, done_s) for arrival_s, _, done_s in served])


def first_token_percentiles(served: Iterable[tuple[float, float | None, float | None]]) -> Percentiles:
    """Sum up the time from arrival to the first token."""
    return _percentiles([(arrival_s, first_token_s) for arrival_s, first_token_s, _ in served])


def _percentiles(spans: Sequence[tuple[float, float | None]]) -> Percentiles:
    waits_s = sorted(end_s - arrival_s for arrival_s, end_s in spans if end_s is not None)
    unfinished = len(spans) - len(waits_s)
    if not waits_s:
        return Percentiles(0, unfinished)
    p50_s, p95_s, p99_s = (waits_s[math.ceil(percent * len(waits_s) / 100) - 1] for percent in (50, 95, 99))
    return Percentiles(len(waits_s), unfinished, p50_s, p95_s, p99_s, waits_s[-1])


@dataclass(frozen=True, slots=True)
class WallUse:
    """What a host drew from the wall in each state of its power, and for how long it was in it."""

    on_s: float
    booting_s: float
    off_s: float
    on_j: float
    booting_j: float
    off_j: float

    @property
    def energy_j(self) -> float:
        """Simulated joules of the whole host."""
        return math.fsum((self.on_j, self.booting_j, self.off_j))

    def as_dict(self) -> dict[str, float]:
        """Render as plain JSON types. Every key of energy says that it is simulated."""
        seconds = {"on_s": self.on_s, "booting_s": self.booting_s, "off_s": self.off_s}
        joules = {"on_j": self.on_j, "booting_j": self.booting_j, "off_j": self.off_j, "energy_j": self.energy_j}
        return seconds | {f"simulated_{key}": value for key, value in joules.items()}


def wall_use(
    start_s: float,
    end_s: float,
    *,
    power_changes: Sequence[tuple[float, str]],
    supply: Mapping[str, float],
    wall_log: PowerLog,
) -> WallUse:
    """Measure a host at the wall from `start_s` to `end_s`.

    Args:
        start_s: Simulated seconds since the host was made.
        end_s: Likewise.
        power_changes: Of `eagent.sim._bmc.Bmc`: (since when, state), the first at 0 s.
        supply: What the host draws while it is off, and while it boots: standby_w and boot_w.
        wall_log: Of the same; all that it draws otherwise it draws while it is on.

    Raises:
        InputError: the logs do not cover all of it, or go back in time.
    """
    spent_s = {"on": 0.0, "booting": 0.0, "off": 0.0}
    ends_s = [since_s for since_s, _ in power_changes[1:]] + [math.inf]
    for (since_s, state), until_s in zip(power_changes, ends_s, strict=True):
        if until_s < since_s:
            raise InputError(f"power log: {until_s:g} s comes after {since_s:g} s: expected order of time")
        spent_s[state] += max(0.0, min(until_s, end_s) - max(since_s, start_s))
    booting_j, off_j = supply["boot_w"] * spent_s["booting"], supply["standby_w"] * spent_s["off"]
    return WallUse(
        on_s=spent_s["on"],
        booting_s=spent_s["booting"],
        off_s=spent_s["off"],
        on_j=energy_j(wall_log, start_s, end_s) - booting_j - off_j,
        booting_j=booting_j,
        off_j=off_j,
    )


@dataclass(frozen=True, slots=True)
class RunAccount:
    """The figures of one simulated host's run, all from the plant's logs."""

    host: str
    start_s: float
    end_s: float
    gpu_energy_j: tuple[float, ...]
    limits_over_budget_s: float
    overshoot: Overshoot
    limit_changes: int
    latency: Percentiles
    first_token: Percentiles
    requests_lost: int = 0  # by switching the host off; they are among the unfinished
    wall: WallUse | None = None  # None: not asked for

    @property
    def energy_j(self) -> float:
        """Simulated joules of all GPUs of the host."""
        return math.fsum(self.gpu_energy_j)

    def as_dict(self) -> dict[str, Any]:
        """Render as plain JSON types. Every key of energy says that it is simulated."""
        return {
            "host": self.host,
            "simulated": True,
            "simulated_s": self.end_s - self.start_s,
            "simulated_energy_j": self.energy_j,
            "simulated_gpu_energy_j": list(self.gpu_energy_j),
            "simulated_overshoot_of_1s_means_j": self.overshoot.of_1s_means_j,
            "simulated_overshoot_of_100ms_means_j": self.overshoot.of_100ms_means_j,
            "limits_over_budget_s": self.limits_over_budget_s,
            "limit_changes": self.limit_changes,
            "latency": asdict(self.latency),
            "first_token": asdict(self.first_token),
            "requests_lost": self.requests_lost,
            **({"wall": self.wall.as_dict()} if self.wall is not None else {}),
        }


def account(
    host: str,
    start_s: float,
    end_s: float,
    *,
    power_log: PowerLog,
    limit_log: Sequence[tuple[float, int, float, float, int]],
    initial_limits_w: Sequence[float],
    stretches: Sequence[tuple[float, float, float]] = (),
    served: Sequence[tuple[float, float | None, float | None]] = (),
    lost: Sequence[int] = (),
    wall: WallUse | None = None,
) -> RunAccount:
    """Gather the figures of a run from `start_s` to `end_s`. Without `stretches` no budget was in force.

    Raises:
        InputError: the logs do not fit together; see the functions that this one calls.
    """
    return RunAccount(
        host=host,
        start_s=start_s,
        end_s=end_s,
        gpu_energy_j=_gpu_energies_j(power_log, start_s, end_s),
        limits_over_budget_s=limits_over_budget_s(limit_log, initial_limits_w, stretches),
        overshoot=overshoot_j(power_log, stretches),
        limit_changes=sum(start_s <= entry[0] < end_s and entry[4] != NOBODY for entry in limit_log),
        latency=latency_percentiles(served),
        first_token=first_token_percentiles(served),
        requests_lost=len(lost),
        wall=wall,
    )
