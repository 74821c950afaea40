"""Whether sensors that stand still are noticed, and whether others are left in peace.

1. The recorded failure of a real board, if its file is given: EAGENT_STUCK_CSV, or the first argument. Its onset is
   when the temperature begins to rise under a load that the power reading does not show.
2. The same on simulated boards, busy and idle when their sensor freezes, with an energy counter and without.
3. A day of one simulated host with eight GPUs under mixed loads and long idle stretches: nothing is to be flagged. Each
   board is watched twice: by its readings, and by readings rounded to 5 W, which at idle do not move for hours.
   Readings are thinned: two a second of a busy GPU, one of an idle one.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.figures import Figure, publish
from benchmarks.sampling.boards import SECOND_NS
from eagent.model import Channel, Device, Knob, Status
from eagent.sim import host as simulated
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.faults import STUCK
from eagent.sim.workload import Gang, Serving, Square
from eagent.telemetry.energy import Meter

RECORDING = "EAGENT_STUCK_CSV"
GPUS = 8
DAY_S = 24 * 3600.0
LOOK_S = 0.5
COARSE_MW = 5000
SOON_S = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a recording."""

    time_s: float
    power_w: float
    temperature_c: int


def device(index: int = 0) -> Device:
    """A GPU as the warden would describe it."""
    return Device(f"GPU-{index}", index, "a GPU", "0000:07:00.0", 100.0, 400.0, 400.0, 0.025, 0.1, Knob(True))


def recording(path: Path) -> Iterator[Row]:
    """The rows of an nvidia-smi log, times from its first."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = csv.reader(file, skipinitialspace=True)
        next(rows)
        first_s: float | None = None
        for stamp, power, temperature, _ in rows:
            time_s = datetime.strptime(stamp, "%Y/%m/%d %H:%M:%S.%f").timestamp()  # only differences
            first_s = time_s if first_s is None else first_s
            yield Row(time_s - first_s, float(power.removesuffix(" W")), int(temperature))


def onset_s(rows: list[Row]) -> float:
    """When the temperature leaves for good what it was in the first half minute."""
    calm_c = max(row.temperature_c for row in rows if row.time_s < SOON_S)
    return max(row.time_s for row in rows if row.temperature_c <= calm_c and row.time_s < rows[-1].time_s / 2)


def flagged_s(rows: list[Row]) -> float | None:
    """When a meter that is fed with the recording first says so; the temperature is read once a second."""
    meter, looked_s = Meter(device()), -1.0
    for row in rows:
        now_ns = round(row.time_s * SECOND_NS) + 1
        meter.add(now_ns, round(row.power_w * 1000), Channel.POWER_INSTANT_MW, Status.OK, -1)
        meter.add(now_ns, 0, Channel.SM_CLOCK_MHZ, Status.FAILED, -1)
        if row.time_s - looked_s >= 1:
            looked_s = row.time_s
            meter.add(now_ns, row.temperature_c, Channel.TEMPERATURE_C, Status.OK, -1)
        if "stuck" in meter.flags(now_ns):
            return row.time_s
    return None


def recorded(path: Path | None) -> list[Figure]:
    """The real failure."""
    if path is None:
        print(f"the recorded failure is left out: set {RECORDING} to stuck_power_sensor_mlperf_raw.csv.gz")
        return []
    rows = list(recording(path))
    found_s, began_s = flagged_s(rows), onset_s(rows)
    late_s = SECOND_NS if found_s is None else found_s - began_s
    print(f"recorded failure: {len(rows)} rows, the temperature rises from {began_s:.1f} s on, flagged at {found_s} s")
    return [Figure("recorded stuck sensor flagged after", late_s, "s", "<= 30", 0 <= late_s <= SOON_S)]


class Watched:
    """One GPU of a simulated host and the meters that watch it."""

    def __init__(self, gpu: int, meters: list[tuple[Meter, int]], *, counter: bool = True) -> None:
        """`meters` with what each one's power readings are rounded to, in mW."""
        self.gpu = gpu
        self.meters = meters
        self._counter = counter
        self._published_us = self._looked_ns = 0

    def look(self, host: Host, now_ns: int, *, is_busy: bool) -> None:
        """As a loop would, once a second if the GPU is idle."""
        if now_ns - self._looked_ns < (0 if is_busy else SECOND_NS):
            return
        view = host.view(self.gpu)
        status = Status.SAME if view["sensor_time_us"] == self._published_us else Status.OK
        self._published_us, is_slow = view["sensor_time_us"], now_ns // SECOND_NS != self._looked_ns // SECOND_NS
        self._looked_ns = now_ns
        age_ns = 5_000_000 if is_busy else -1
        for meter, step_mw in self.meters:
            power_mw = round(view["power_instant_mw"] / step_mw) * step_mw
            meter.add(now_ns, power_mw, Channel.POWER_INSTANT_MW, status, age_ns)
            if self._counter:
                meter.add(now_ns, view["energy_mj"], Channel.ENERGY_MJ, status, age_ns)
            if is_slow:
                meter.add(now_ns, view["temperature_c"], Channel.TEMPERATURE_C, Status.OK, -1)
                meter.add(now_ns, view["gpu_utilisation_pct"], Channel.GPU_UTILISATION_PCT, Status.OK, -1)
                meter.add(now_ns, view["sm_clock_mhz"], Channel.SM_CLOCK_MHZ, Status.OK, -1)


def _host(directory: str, model: str, seed: int) -> tuple[Host, Path]:
    made = simulated.create(Path(directory), "host", gpus=GPUS, gpu_model=model, seed=seed, clock="virtual")
    return Host(made.plant), made.plant


def a_day(model: str = "a100-sxm4-80gb", seed: int = 24, seconds: float = DAY_S) -> list[Figure]:
    """Mixed loads and idle stretches, and no fault."""
    rng, flags = random.Random(seed), {"fine": 0, "coarse": 0}
    seen: set[tuple[int, int, str]] = set()
    with tempfile.TemporaryDirectory() as directory:
        host, _ = _host(directory, model, seed)
        with host:
            watched = [Watched(gpu, [(Meter(device(gpu)), 1), (Meter(device(gpu)), COARSE_MW)]) for gpu in range(GPUS)]
            until_s, busy_gpus, busy_s = 0.0, set[int](), 0.0
            for step in range(1, round(seconds / LOOK_S) + 1):
                now_s = step * LOOK_S
                if now_s > until_s:
                    until_s = now_s + rng.uniform(300, 5400)
                    busy_gpus = _some_work(host, rng, now_s, until_s - now_s)
                host.advance(now_s)
                busy_s += LOOK_S * len(busy_gpus)
                for each in watched:
                    each.look(host, round(now_s * SECOND_NS), is_busy=each.gpu in busy_gpus)
                if step % 20 == 0:
                    _collect(watched, round(now_s * SECOND_NS), flags, seen)
    busy = busy_s / seconds / GPUS * 100
    print(
        f"a simulated day: {seconds / 3600:g} h of {GPUS} GPUs, busy for {busy:.0f} % of it; flags {sorted(seen)[:10]}"
    )
    return [
        Figure(f"false flags in {seconds / 3600:g} h of a host", flags["fine"], "flags", "0", flags["fine"] == 0),
        Figure("  the same, readings rounded to 5 W", flags["coarse"], "flags", "0", flags["coarse"] == 0),
    ]


def _collect(watched: list[Watched], now_ns: int, flags: dict[str, int], seen: set[tuple[int, int, str]]) -> None:
    for each in watched:
        for (meter, step_mw), name in zip(each.meters, flags, strict=True):
            for flag in meter.flags(now_ns):
                flags[name] += 1
                seen.add((each.gpu, step_mw, flag))


def _some_work(host: Host, rng: random.Random, now_s: float, span_s: float) -> set[int]:
    """Take the last work away, and put some other on some GPUs; often on none."""
    host.stop_load()
    free = rng.sample(range(GPUS), k=rng.choice([0, 0, 2, 4, 8]))
    busy = set(free)
    if len(free) >= 4:
        gang, free = sorted(free[:3]), free[3:]
        Gang(step_s=rng.uniform(0.1, 2), imbalance=rng.uniform(0, 0.2)).start(host, gang, now_s)
    if free:
        gpu, arrival_s, requests = free.pop(), 0.0, []
        while arrival_s < min(span_s, 1200) and len(requests) < 2000:
            arrival_s += rng.expovariate(rng.choice([0.05, 0.5, 2]))
            requests.append((arrival_s, gpu, rng.randint(50, 4000), rng.randint(5, 300)))
        Serving().start(host, requests, now_s, gpus=[gpu])
    for gpu in free:
        work = Square(rng.choice([0.02, 0.5, 7.0, 600.0]), rng.choice([0.2, 0.7, 1.0]), compute=rng.uniform(0.2, 1))
        work.start(host, [gpu], now_s)
    return busy


def frozen(*, counter: bool, seed: int = 5) -> list[float | None]:
    """Sensors freeze at idle and a load starts, or freeze under one and it ends: seconds until each is flagged."""
    with tempfile.TemporaryDirectory() as directory:
        host, plant = _host(directory, "a100-sxm4-80gb", seed)
        with host, Faults(plant) as faults:
            Square(400.0, 0.5, compute=0.9).start(host, [0, 1, 2, 3], 60.0)
            Square(400.0, 0.5, compute=0.9).start(host, [4, 5, 6, 7], 20.0)
            watched = [Watched(gpu, [(Meter(device(gpu)), 1)], counter=counter) for gpu in range(GPUS)]
            found: list[float | None] = [None] * GPUS
            changes_s = [60.0] * 4 + [220.0] * 4  # when power changes and the reading does not
            for step in range(1, round(300 / LOOK_S)):
                now_s = step * LOOK_S
                if now_s in (30.0, 120.0):
                    _freeze(faults, range(4) if now_s < 60 else range(4, 8))
                host.advance(now_s)
                for each in watched:
                    each.look(host, round(now_s * SECOND_NS), is_busy=now_s > 20)
                    late_s = now_s - changes_s[each.gpu]
                    if found[each.gpu] is None and "stuck" in each.meters[0][0].flags(round(now_s * SECOND_NS)):
                        found[each.gpu] = late_s
            return found


def _freeze(faults: Faults, gpus: range) -> None:
    for gpu in gpus:
        faults.inject("stuck-power", "gpu", gpu, (0.0, STUCK["power"]))


def simulated_failures() -> list[Figure]:
    """Faults of the plant."""
    told = []
    for name, counter in (("with a counter", True), ("without", False)):
        found = frozen(counter=counter)
        late_s = max(1e9 if each is None or each < 0 else each for each in found)
        told.append(Figure(f"8 frozen sensors flagged after ({name})", late_s, "s", "<= 30", late_s <= SOON_S))
    return told


def figures(path: Path | None = None) -> list[Figure]:
    """All of them; without the recording's path, that of the environment."""
    named = os.environ.get(RECORDING)
    return [*recorded(path or (Path(named) if named else None)), *simulated_failures(), *a_day()]


if __name__ == "__main__":
    publish("sampling-stuck", figures(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
