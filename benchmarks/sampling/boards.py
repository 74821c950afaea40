"""Simulated boards with a known truth: what their sensors published, and what a reader of them would put into the ring.

Most run on the plant in virtual time; boards whose power is noise get a made-up truth, run through the same sensor.
Every joule here is simulated.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path

from benchmarks.figures import Figure, publish
from eagent.hardware._loop import Loop
from eagent.hardware.nvml import SENSORS, UNKNOWN_SENSOR
from eagent.model import Channel, Device, Knob, Status
from eagent.sim import _maker
from eagent.sim import host as simulated
from eagent.sim import model as models
from eagent.sim._plant import Host, Readings
from eagent.sim.host import SimulatedHost
from eagent.sim.workload import Gang, Serving, Square
from eagent.telemetry._ring import RingReader

TICK_S = 0.005  # of the plant: its truth is linear within one
TICK_NS = 5_000_000
LATENCY_NS = TICK_NS  # what a simulated sensor publishes is as of so long before
SECOND_NS = 1_000_000_000
GPUS = 8
LOOP_PERIOD_MS = 50
BEGIN_S = 1.0  # all loads begin after this

Sent = tuple[int, int, int, int, int]  # a ring record without the device: time_ns, value, channel, status, age_ns


@dataclass(frozen=True, slots=True)
class Refresh:
    """What the sensor published at its own, exact time."""

    time_ns: int
    power_mw: int
    energy_mj: int


@dataclass(slots=True)
class Board:
    """One board's run. Truth is cumulative, at the plant's ticks; the gains are those of this board, fitted."""

    model: str
    load: str
    device: Device
    window_s: float  # the sensor's own; the device's is what the warden believes
    busy_ns: tuple[int, int]  # when a process holds it
    truth_j: array[float]
    refreshes: list[Refresh] = field(default_factory=list)
    samples: list[tuple[int, int]] = field(default_factory=list)  # of the driver's buffer: time_ns, mW
    sent: list[Sent] = field(default_factory=list)  # what the real loop put into the ring
    looks: list[tuple[int, int, int]] = field(default_factory=list)  # at what changes slowly: time_ns, channel, value
    energy_gain: float = 1.0
    gain: float = 1.0
    offset_w: float = 0.0

    def true_j(self, time_ns: float) -> float:
        """What it has drawn until then."""
        tick, rest_ns = divmod(time_ns, TICK_NS)
        low, high = self.truth_j[int(tick)], self.truth_j[int(tick) + 1]
        return low + (high - low) * rest_ns / TICK_NS

    def referred_j(self, begin_ns: int, end_ns: int, source: str) -> float:
        """What a window holds by a sensor without errors but the board's constant ones: what we aim at.

        That it publishes what was LATENCY_NS ago is one of them.
        """
        true_j = self.true_j(end_ns - LATENCY_NS) - self.true_j(begin_ns - LATENCY_NS)
        if source == "counter":
            return true_j * self.energy_gain
        return true_j * self.gain + self.offset_w * (end_ns - begin_ns) / SECOND_NS

    @property
    def end_ns(self) -> int:
        """When the run ends."""
        return (len(self.truth_j) - 1) * TICK_NS


def on_plant(model: str, seed: int, seconds: float, loads: Sequence[Load], *, looped: bool = False) -> list[Board]:
    """Eight boards of one model, each under its own load, some of them together.

    `looped`: the real loop reads them, too. A process has one NVML library, and so one of these at a time.
    """
    with tempfile.TemporaryDirectory() as directory:
        made = simulated.create(Path(directory), "boards", gpus=GPUS, gpu_model=model, seed=seed, clock="virtual")
        with Host(made.plant) as host, ExitStack() as stack:
            for load in loads:
                load.start(host)
            loop = stack.enter_context(_Looped(made)) if looped else None
            return _watched(host, model, seconds, loads, loop)


class _Looped:
    """The real loop on a simulated host, and what it puts into its ring."""

    def __init__(self, made: SimulatedHost) -> None:
        os.environ["EAGENT_SIM_HOST"] = str(made.plant)  # where the library looks
        made.run.mkdir(exist_ok=True)
        self._loop = Loop(str(made.lib / "libnvidia-ml.so.1"), str(made.run / "ring"), LOOP_PERIOD_MS, True)
        self._reader = RingReader(made.run / "ring")
        self._due_ns = 0

    def __enter__(self) -> _Looped:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._loop.close()

    def until(self, host: Host, end_ns: int) -> None:
        """Let the loop do what is due, when it is due, up to a time."""
        while self._due_ns <= end_ns:
            host.advance(self._due_ns / SECOND_NS)
            self._due_ns = max(self._loop.step(self._due_ns), self._due_ns + 100_000)

    def drain(self, boards: dict[int, Board]) -> None:
        """Give each board its records; the loop's devices are the host's GPUs."""
        for time_ns, value, device, channel, status, age_ns in self._reader.drain():
            if device in boards:
                boards[device].sent.append((time_ns, value, channel, status, age_ns))


def _watched(host: Host, model: str, seconds: float, loads: Sequence[Load], loop: _Looped | None) -> list[Board]:
    boards = [_board(model, load.name, load.busy_ns(seconds)) for load in loads for _ in load.gpus]
    gpus = [gpu for load in loads for gpu in load.gpus]
    readings = host.readings()
    boot_us = round(host.boot_unix_s * 1e6)
    published_us = [0] * len(boards)
    for board in boards:
        board.truth_j.append(0.0)
    for tick in range(1, round(seconds / TICK_S) + 1):
        if loop is not None:
            loop.until(host, tick * TICK_NS - 1)
        host.advance(tick * TICK_S, readings)
        for place, (gpu, board) in enumerate(zip(gpus, boards, strict=True)):
            board.truth_j.append(host.energy_true_j(gpu))
            if readings.sensor_time_us[gpu] != published_us[place]:
                published_us[place] = readings.sensor_time_us[gpu]
                view = host.view(gpu)
                time_ns = (view["sensor_time_us"] - boot_us) * 1000
                board.refreshes.append(Refresh(time_ns, view["power_instant_mw"], view["energy_mj"]))
        if tick % round(1 / TICK_S) == 0:
            _take_samples(host, gpus, boards, boot_us)
            _look(readings, gpus, boards, tick * TICK_NS)
            if loop is not None:
                loop.drain(dict(zip(gpus, boards, strict=True)))
    for board in boards:
        _fit(board)
    return boards


def _take_samples(host: Host, gpus: Sequence[int], boards: Sequence[Board], boot_us: int) -> None:
    for gpu, board in zip(gpus, boards, strict=True):
        after_us = board.samples[-1][0] // 1000 + boot_us if board.samples else 0
        board.samples += [
            ((each["time_us"] - boot_us) * 1000, each["power_mw"]) for each in host.samples(gpu, after_us)
        ]


def _look(readings: Readings, gpus: Sequence[int], boards: Sequence[Board], now_ns: int) -> None:
    for gpu, board in zip(gpus, boards, strict=True):
        board.looks += (
            (now_ns, Channel.GPU_UTILISATION_PCT, readings.gpu_utilisation_pct[gpu]),
            (now_ns, Channel.SM_CLOCK_MHZ, readings.sm_clock_mhz[gpu]),
            (now_ns, Channel.TEMPERATURE_C, readings.temperature_c[gpu]),
        )


def of_noise(model: str, seed: int, seconds: float) -> Board:
    """A board whose power wanders: noise of one strength and memory, both drawn by the seed."""
    rng = random.Random(seed)
    described = models.load(model)
    board = _board(model, "noise", (0, round(seconds * SECOND_NS)))
    memory_s, spread = math.exp(rng.uniform(math.log(0.01), math.log(5))), rng.uniform(0.05, 0.4)
    low_w, high_w = board.device.max_limit_w * 0.2, board.device.max_limit_w
    mean_w = rng.uniform(0.35, 0.85) * high_w
    keep, state, power_w = math.exp(-TICK_S / memory_s), 0.0, []
    for _ in range(round(seconds / TICK_S)):
        state = state * keep + rng.gauss(0, 1) * math.sqrt(1 - keep * keep)
        power_w.append(min(high_w, max(low_w, mean_w * (1 + spread * state))))
    board.truth_j = array("d", accumulate((power * TICK_S for power in power_w), initial=0.0))
    sensor = described["sensor"]
    own = {"gain": rng.uniform(*sensor["gain"]), "offset_w": rng.uniform(*sensor["offset_w"]), "seed": seed}
    own["phase_s"] = rng.uniform(0, sensor["period_s"])
    energy_gain = rng.uniform(*sensor["energy_gain"])
    for time_s, instant_w, _ in _maker.sense(described, own, power_w, TICK_S):
        time_ns = round(time_s * SECOND_NS)
        if time_ns < board.end_ns:
            counted_mj = int(board.true_j(time_ns - LATENCY_NS) * energy_gain * 1000)
            board.refreshes.append(Refresh(time_ns, round(instant_w * 1000), counted_mj))
    _fit(board)
    return board


def _board(model: str, load: str, busy_ns: tuple[int, int]) -> Board:
    described = models.load(model)
    believed = SENSORS.get(described["identity"]["architecture"], UNKNOWN_SENSOR)
    limits = described["limits"]
    device = Device(
        f"GPU-{model}", 0, described["identity"]["name"], "0000:07:00.0", limits["min_w"], limits["max_w"],
        limits["default_w"], believed.window_s, believed.period_s, Knob(True),
    )  # fmt: skip
    return Board(model, load, device, described["sensor"]["window_s"], busy_ns, array("d"))


def _fit(board: Board) -> None:
    """Find the board's constant errors by the truth, as a bench with a meter would."""
    first, last = board.refreshes[len(board.refreshes) // 10], board.refreshes[-1]
    true_j = board.true_j(last.time_ns - LATENCY_NS) - board.true_j(first.time_ns - LATENCY_NS)
    board.energy_gain = (last.energy_mj - first.energy_mj) * 1e-3 / true_j
    window_ns = board.window_s * SECOND_NS
    pairs = [
        ((board.true_j(read_ns) - board.true_j(read_ns - window_ns)) / board.window_s, each.power_mw * 1e-3)
        for each in board.refreshes
        if (read_ns := each.time_ns - LATENCY_NS) >= window_ns
    ]
    mean_x, mean_y = (sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in pairs)
    board.gain, board.offset_w = mean_y / mean_x, 0.0
    if spread / len(pairs) > 25:  # W^2; of a board at one level only the ratio matters
        board.gain = sum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread
        board.offset_w = mean_y - board.gain * mean_x


@dataclass(frozen=True, slots=True)
class Load:
    """What runs on some GPUs of a host, and what class of loads it belongs to."""

    name: str
    gpus: tuple[int, ...]
    work: Square | Gang | Serving | None
    begin_s: float = BEGIN_S
    requests: tuple[tuple[float, int, int, int], ...] = ()

    def start(self, host: Host) -> None:
        """Put it on its GPUs. The driver lists only processes that live, so it is said to be this one's."""
        if isinstance(self.work, Serving):
            self.work.start(host, self.requests, self.begin_s, os.getpid(), gpus=self.gpus)
        elif self.work is not None:
            self.work.start(host, self.gpus, self.begin_s, os.getpid())

    def busy_ns(self, seconds: float) -> tuple[int, int]:
        """When its process is there."""
        return (0, 0) if self.work is None else (round(self.begin_s * SECOND_NS), round(seconds * SECOND_NS))


def mixture(rng: random.Random, seconds: float) -> list[Load]:
    """Loads for the eight GPUs of one host: of each class one, of a gang two."""
    return [
        _square("steady", 0, rng, 1.0, 1.0),
        _square("slow square", 1, rng, _between(rng, 1, 20), rng.uniform(0.1, 0.9)),
        _square("square", 2, rng, _between(rng, 0.1, 1), rng.uniform(0.1, 0.9)),
        _square("fast square", 3, rng, _between(rng, 0.01, 0.1), rng.uniform(0.1, 0.9)),
        _square("step", 4, rng, rng.uniform(40, 80), rng.uniform(0.2, 0.8)),
        _gang(rng),
        _serving(rng, seconds),
    ]


def _between(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _square(name: str, gpu: int, rng: random.Random, period_s: float, duty: float) -> Load:
    work = Square(period_s, duty, compute=rng.uniform(0.3, 1.0), memory=rng.uniform(0, 0.6))
    return Load(name, (gpu,), work, BEGIN_S + rng.uniform(0, 1))


def _gang(rng: random.Random) -> Load:
    work = Gang(step_s=_between(rng, 0.1, 2), compute=rng.uniform(0.5, 1), imbalance=rng.uniform(0.05, 0.3))
    return Load("gang", (5, 6), work)


def _serving(rng: random.Random, seconds: float) -> Load:
    at_s, rate_per_s, requests = 0.0, _between(rng, 0.3, 3), []
    while at_s < seconds:
        at_s += rng.expovariate(rate_per_s)
        requests.append((at_s, 7, rng.randint(50, 4000), rng.randint(5, 300)))
    return Load("serving", (7,), Serving(), requests=tuple(requests))


@dataclass(frozen=True, slots=True)
class Reader:
    """How a loop would read a board: once per refresh while it is busy, once a second while it is not."""

    seed: int
    counter: bool = True
    power: bool = True
    samples: bool = False
    bias_ns: int = 500_000  # a board's refreshes are all thought to be up to this much off ...
    error_ns: int = 500_000  # ... and each of them so much more

    def records(self, board: Board) -> list[Sent]:
        """What it puts into the ring, in that order."""
        rng = random.Random(self.seed)
        bias_ns = rng.uniform(-self.bias_ns, self.bias_ns)
        sent: list[Sent] = []
        samples, looks = (iter(each) for each in (board.samples if self.samples else (), board.looks))
        sample, look = next(samples, None), next(looks, None)
        flushed_ns = 0
        for read_ns, refresh, is_known in self._reads(rng, board):
            while look is not None and look[0] < read_ns:
                sent.append((look[0], look[2], look[1], Status.OK, -1))
                look = next(looks, None)
            if read_ns >= flushed_ns + SECOND_NS:
                flushed_ns = read_ns
                while sample is not None and sample[0] < read_ns:
                    sent.append((sample[0], sample[1], Channel.POWER_SAMPLE_MW, Status.OK, 0))
                    sample = next(samples, None)
            off_ns = bias_ns + rng.uniform(-self.error_ns, self.error_ns)
            age_ns = max(0, round(read_ns - refresh.time_ns + off_ns)) if is_known else -1
            if self.power:
                sent.append((read_ns, refresh.power_mw, Channel.POWER_INSTANT_MW, Status.OK, age_ns))
            if self.counter:
                sent.append((read_ns, refresh.energy_mj, Channel.ENERGY_MJ, Status.OK, age_ns))
        return sent

    @staticmethod
    def _reads(rng: random.Random, board: Board) -> Iterator[tuple[int, Refresh, bool]]:
        look_ns = rng.randrange(SECOND_NS)
        for refresh, following in pairwise(board.refreshes):
            if board.busy_ns[0] <= refresh.time_ns < board.busy_ns[1]:
                look_ns = refresh.time_ns + rng.randint(1_000_000, 10_000_000)
                yield look_ns, refresh, True
                look_ns += SECOND_NS
            elif refresh.time_ns <= look_ns < following.time_ns:
                yield look_ns, refresh, False
                look_ns += SECOND_NS


def told_off_ms(board: Board) -> list[float]:
    """By how much the real loop's times of refreshes are off, later ones positive, once it has learnt them."""
    true_ns = {refresh.energy_mj: refresh.time_ns for refresh in board.refreshes}
    return [
        (time_ns - age_ns - true_ns[value]) / 1e6
        for time_ns, value, channel, status, age_ns in board.sent
        if channel == Channel.ENERGY_MJ and status == Status.OK and age_ns >= 0 and value in true_ns
    ]


def figures() -> list[Figure]:
    """How far off the loop's times of refreshes are: what `Reader` assumes, and what error bars must bear."""
    found = []
    for model in ("a100-sxm4-80gb", "h100-sxm5-80gb", "v100-pcie-16gb"):
        load = Load("steady", tuple(range(GPUS)), Square(1.0, 0.5))
        off_ms = [each for board in on_plant(model, 7, 40.0, [load], looped=True) for each in told_off_ms(board)]
        mean_ms, peers = statistics.mean(off_ms), {"sd": statistics.pstdev(off_ms)}
        found.append(Figure(f"refresh times, real loop, {model}", mean_ms, "ms", peers=peers))
    return found


if __name__ == "__main__":
    publish("sampling-boards", figures())
