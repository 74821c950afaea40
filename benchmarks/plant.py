"""How fast virtual time runs on one core: the plant alone, a governed host, and a fleet in coarse steps.

    make bench NAME=plant

Goals, in simulated seconds for each second of a core: 8 GPUs whose driver is read 100 times a simulated second under a
varied load with power limits, 5,000; a host with the agent's real loop, warden, ring and policies, 200; a fleet of
1,000 hosts of 8 GPUs in coarse steps, every activity changing with each, 2,000. All hosts are simulated. Each is the
best of a few pieces, for what else runs on the machine can only slow one.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from benchmarks.coarse import Phase, errors
from benchmarks.figures import Figure, publish
from benchmarks.virtual import Governed
from eagent.config import Config
from eagent.sim import host as simulated
from eagent.sim import model, processor
from eagent.sim._coarse import Fleet
from eagent.sim._plant import Host
from eagent.sim.supply import supply
from eagent.sim.trace import assign, generate, scale_rate, zipf_weights
from eagent.sim.workload import Gang, Serving, Square, dispatched

GPUS = 8
LIMITS_W = (150, 200, 250, 300, 350, 400, 175, 225)
READ_S = 0.01
HOSTS = 1000
STEP_S = 60.0
PIECES = 8
SEED = 1


def main() -> None:
    """Measure on one core, print and publish."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    publish("plant", [*plant(), *governed(), *fleet(), *accuracy()])


def speed(piece: Callable[[], float], pieces: int = PIECES) -> float:
    """Simulated seconds in one of a core: the best of some pieces, each of which returns what it has simulated."""
    best = 0.0
    for _ in range(pieces):
        start_s = time.process_time()
        simulated_s = piece()
        best = max(best, simulated_s / (time.process_time() - start_s))
    return best


def start_varied(plant: Host, seconds: float, pid: int = 0) -> None:
    """A gang on three GPUs, engines that serve on three, a square wave on two; every GPU with its own limit."""
    trace = scale_rate(generate(seconds, seed=SEED), 0.3, seed=SEED)
    engines = [3 + gpu for gpu in assign(trace, zipf_weights(3, 0.7), seed=SEED)]
    Gang().start(plant, [0, 1, 2], pid=pid)
    Serving().start(plant, dispatched(trace.requests, engines), pid=pid)
    Square().start(plant, [6, 7], pid=pid)
    for gpu, limit_w in enumerate(LIMITS_W):
        plant.set_power_limit(gpu, limit_w)


def plant(piece_s: float = 50.0) -> list[Figure]:
    """The plant alone: read 100 times a second, all GPUs at once; beside it, other ways to go through the same time."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        made = simulated.create(Path(directory), "alone", gpus=GPUS, seed=SEED, clock="virtual")
        with Host(made.plant) as host:
            start_varied(host, 25 * PIECES * piece_s)
            readings = host.readings()

            def read() -> float:
                begin_s = host.time_s
                for look in range(1, round(piece_s / READ_S) + 1):
                    host.advance(begin_s + look * READ_S, readings)
                return host.time_s - begin_s

            def view() -> float:
                begin_s = host.time_s
                for look in range(1, round(piece_s / READ_S / 10) + 1):
                    host.advance(begin_s + look * READ_S)
                    for gpu in range(GPUS):
                        host.view(gpu)
                return host.time_s - begin_s

            def advance() -> float:
                host.advance(host.time_s + 10 * piece_s)
                return 10 * piece_s

            times = speed(read)
            peers = {"unread": speed(advance), "by Host.view": speed(view, 3)}
    return [Figure("plant, 8 GPUs read at 100 Hz", times, "times", ">= 5000", times >= 5000, peers)]


def governed(piece_s: float = 20.0) -> list[Figure]:
    """A governed host under a budget, with idle policy, and without CPU knobs, which need a real file system."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        config = Config(mode_idle="act", idle_consent=("all",))
        host = Governed(Path(directory), "governed", SEED, config)
        start_varied(host.plant, 2 * PIECES * piece_s, pid=os.getpid())
        host.set_budget(1800.0, 120.0)

        def run() -> float:
            host.advance(host.plant.time_s + piece_s)
            return piece_s

        times = speed(run)
        writes = len(host.plant.limit_log())
        host.close()
    return [
        Figure("end to end, with loop, warden and policies", times, "times", ">= 200", times >= 200, {"writes": writes})
    ]


def fleet(hosts: int = HOSTS) -> list[Figure]:
    """A fleet in coarse steps: all activities change each step, as a trace would have it."""
    gpu, cpu = model.load("a100-sxm4-80gb"), processor.load("xeon-platinum-8358")
    made = Fleet(gpu, cpu, supply(gpu, GPUS, cpu).as_dict(), hosts=hosts, gpus=GPUS, seed=SEED)
    chance = random.Random(SEED)
    several = [array("d", (chance.random() for _ in range(hosts * GPUS))) for _ in range(5)]
    made.resident[:] = bytes(chance.random() < 0.8 for _ in range(hosts * GPUS))
    made.limit_w[:] = array("d", (chance.uniform(100, 400) for _ in range(hosts * GPUS)))
    step = 0

    def run(step_s: float) -> float:
        nonlocal step
        for _ in range(20):
            step += 1
            made.compute[:], made.memory[:] = several[step % 5], several[(step + 1) % 5]
            made.compute_fraction[:], made.busy[:] = several[(step + 2) % 5], several[(step + 3) % 5]
            made.step(step_s)
        return 20 * step_s

    times, peers = speed(lambda: run(STEP_S)), {"steps of 10 s": speed(lambda: run(10.0))}
    return [Figure(f"{hosts} hosts, steps of {STEP_S:g} s", times, "times", ">= 2000", times >= 2000, peers)]


def accuracy(seconds: float = 300.0) -> list[Figure]:
    """What the coarse step's speed costs, against the fine plant over some minutes: the worst of a few loads."""
    steady = [[Phase(seconds, Square(1e4, 1.0), limit_w)] for limit_w in (120, 250, 400)]
    decode = Square(1e4, 1.0, compute=0.4, memory=1.0, compute_fraction=0.05)
    stepping = [[Phase(seconds / 5, wave, 250.0) for wave in (Square(1e4, 1.0), decode, Square(1e4, 0.0)) * 2]]
    bursts = [[Phase(seconds, Square(period_s, 0.5), 250.0)] for period_s in (0.02, 0.2, 1.0, 10.0)]
    figures = []
    for name, cases in (("steady", steady), ("stepping", stepping), ("in bursts", bursts)):
        found = [errors(phases, STEP_S) for phases in cases]
        worst = {what: max(abs(error[what]) for error in found) for what in ("energy", "work", "wall")}
        figures.append(Figure(f"coarse step's error in energy, {name}", worst.pop("energy"), "%", peers=worst))
    return figures


if __name__ == "__main__":
    main()
