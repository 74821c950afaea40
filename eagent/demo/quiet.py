"""The demo's third part: no budget, and a load with pauses, in which GPUs and CPUs need not run at full clock.

Two new hosts serve the same requests, one as it is and one with eagent, whose policies `idle` and `cpu` may act here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eagent.demo.hosts import Bench, Governor, wait
from eagent.demo.scenario import GPUS, SEED, SKEW
from eagent.errors import DriverError, EagentError, InputError
from eagent.sim import sysfs
from eagent.sim.account import Percentiles, PowerLog, energy_j, first_token_percentiles, latency_percentiles
from eagent.sim.thinning import Thinned, thinned
from eagent.sim.trace import Trace, busiest_window
from eagent.sim.workload import Dispatched, dispatched

BUSY_SHARE = 0.30
CONFIG = '[policy]\nmode_idle = "act"\nmode_cpu = "act"\nidle_consent = ["all"]\n'
LEAD_S = 1.0
SAY_EVERY_S = 10.0
LOOK_S = 0.25
BACK_S = 10.0  # the knobs must be back within this time after eagent was told to stop
PATIENCE_S = 60.0  # a request takes some seconds: who has not answered by then has failed

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """What one host did and drew while the requests came and were answered. Joules are simulated."""

    seconds: float
    gpu_energy_j: float
    cpu_energy_j: float  # packages and DRAM
    wall_energy_j: float  # of the whole host
    latency: Percentiles
    first_token: Percentiles

    @property
    def energy_j(self) -> float:
        """Of the parts that do the work."""
        return self.gpu_energy_j + self.cpu_energy_j


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the part came to."""

    load: Thinned
    free: Side
    governed: Side
    cpu_left_out: str | None  # why the CPUs' knobs were not there
    knobs_restored: bool


def run(trace: Trace, seconds: float, directory: Path, say: Say) -> Outcome:
    """Play it in wall-clock time on both hosts at once.

    Args:
        trace: Its busiest `seconds` are played, thinned until the GPUs are busy for `BUSY_SHARE` of the time.
        seconds: Length of that window.
        directory: Where the hosts are put.
        say: Shows a line.

    Raises:
        EagentError: something did not start, or did not end.
    """
    load = thinned(busiest_window(trace, seconds), BUSY_SHARE, gpus=GPUS, skew=SKEW, seed=SEED)
    if not load.trace.requests:
        raise InputError(
            f"{load.trace.source}: no request is left where GPUs are busy for {BUSY_SHARE:.0%} of the time"
        )
    say(
        f"Now without a budget, and with pauses: {len(load.trace.requests)} requests in {load.trace.duration_s:.0f} s "
        f"keep the GPUs busy for {load.busy_share:.0%} of the time. eagent may slow GPUs that rest, and CPUs that wait."
    )
    with contextlib.ExitStack() as stack:
        free, governed = (stack.enter_context(_bench(directory, name)) for name in ("free", "quiet"))
        left_out = _serve_kernel(governed, stack)
        if left_out is not None:
            say(f"  CPUs are left out: {left_out}")
        config = directory / "quiet.toml"
        config.write_text(CONFIG, encoding="utf-8")
        governor = Governor(governed, config)
        stack.callback(governor.stop)
        governor.start()
        sides = _play(load, free, governed, say)
        governor.stop()
        restored = wait(lambda: _at_rest(governed), BACK_S)
    return Outcome(load, *sides, left_out, restored)


@contextlib.contextmanager
def _bench(directory: Path, name: str) -> Iterator[Bench]:
    bench = Bench(directory, name)
    try:
        yield bench
    finally:
        bench.close()


def _serve_kernel(bench: Bench, stack: contextlib.ExitStack) -> str | None:
    """Let the host have its /sys, until the stack ends; or why it has none."""
    try:
        sysfs.start(bench.made)
    except DriverError as problem:
        return str(problem)
    stack.callback(bench.made.mount.stop)
    return None


def _play(load: Thinned, free: Bench, governed: Bench, say: Say) -> tuple[Side, Side]:
    benches = (free, governed)
    requests: list[Dispatched] = dispatched(load.trace.requests, load.gpu_of)
    starts_s = [bench.plant.time_s + LEAD_S for bench in benches]
    for bench, start_s in zip(benches, starts_s, strict=True):
        bench.serve(requests, start_s)
    _await_answers(load, benches, starts_s, say)
    ends_s = [PowerLog(bench.plant.power_log()).end_s for bench in benches]
    length_s = min(end_s - start_s for start_s, end_s in zip(starts_s, ends_s, strict=True))
    left, right = (_side(bench, start_s, start_s + length_s) for bench, start_s in zip(benches, starts_s, strict=True))
    return left, right


def _await_answers(load: Thinned, benches: Sequence[Bench], starts_s: Sequence[float], say: Say) -> None:
    next_say_s = 0.0
    count = len(load.trace.requests)
    while True:
        elapsed_s = benches[0].plant.time_s - starts_s[0]
        done = [bench.done() for bench in benches]
        if elapsed_s >= next_say_s:
            next_say_s += SAY_EVERY_S
            say(f"  {max(0.0, elapsed_s):4.0f} s  {_line(benches, done)}")
        if min(done) == count:
            return
        if elapsed_s > load.trace.duration_s + PATIENCE_S:
            raise EagentError(f"{count - min(done)} requests were not answered within {elapsed_s:.0f} s")
        time.sleep(LOOK_S)


def _line(benches: Sequence[Bench], done: Sequence[int]) -> str:
    watts = [_power_w(bench) for bench in benches]
    plant = benches[1].plant
    low = sum(plant.view(gpu)["locked_max_mhz"] > 0 for gpu in range(GPUS))
    return (
        f"answered: without {done[0]}, eagent {done[1]}  GPUs and CPUs draw: {watts[0]:.0f} W, {watts[1]:.0f} W  "
        f"by eagent: {low} GPUs low, CPUs at most {plant.cpu_view(0)['max_khz'] // 1000} MHz"
    )


def _power_w(bench: Bench) -> float:
    """What GPUs, packages and DRAM drew in the last 100 ms."""
    rows = [log[-1] for log in (bench.plant.power_log(), bench.plant.cpu_power_log()) if log]
    return sum(sum(row) for row in rows)


def _side(bench: Bench, start_s: float, end_s: float) -> Side:
    plant = bench.plant
    served = plant.served()
    return Side(
        seconds=end_s - start_s,
        gpu_energy_j=energy_j(PowerLog(plant.power_log()), start_s, end_s),
        cpu_energy_j=energy_j(PowerLog(plant.cpu_power_log()), start_s, end_s),
        wall_energy_j=energy_j(PowerLog(bench.bmc.power_log()), start_s, end_s),
        latency=latency_percentiles(served),
        first_token=first_token_percentiles(served),
    )


def _at_rest(bench: Bench) -> bool:
    """Whether no clock of the host is held below what it was made with."""
    plant = bench.plant
    processor = plant.processor
    assert processor is not None
    cpus = range(processor["packages"] * processor["cores"])
    return all(plant.view(gpu)["locked_max_mhz"] == 0 for gpu in range(GPUS)) and all(
        plant.cpu_view(cpu)["max_request_khz"] == processor["max_khz"] for cpu in cpus
    )
