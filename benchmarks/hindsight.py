"""The best that idle GPU ceilings and a CPU ceiling can do for a work that is known beforehand.

The family that is searched, with what each knows that no policy can know:

- Each GPU is at its lowest clock from the moment its last request is answered until just before the next one comes, if
  that is a second or more: clocks are written at most once a second.
- The CPUs have one ceiling while any GPU has work, and their lowest clock while none has, likewise.
- Of all steps of the CPU ceiling, that which saves the most energy with a p99 of latency at most `LATENCY` times that
  without any ceiling.

Ceilings on GPUs at work are no part of it: that is another knob, which saves more and costs more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.virtual import Ungoverned
from benchmarks.work import LEAD_S, Outcome, Span, Work, between, merged, outcome
from eagent.sim._plant import Host

LATENCY = 1.05
STEP_MHZ = 100  # of the CPU's ladder
WRITE_EVERY_S = 1.0
RAISE_S = 0.06  # a clock lock acts within 50 ms: it is given back that much earlier

Event = tuple[float, Callable[[Host], None]]


@dataclass(frozen=True, slots=True)
class Best:
    """The best choice, and what it came to."""

    cpu_mhz: int  # the ceiling while any GPU has work
    outcome: Outcome


def play(work: Work, seed: int, cpu_mhz: int | None = None, events: Iterable[Event] = ()) -> Outcome:
    """The work on a host without eagent: with a ceiling on its CPUs, if one is given, and with what is done to it."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        host = Ungoverned(Path(directory), "hindsight", seed)
        work.start(host.plant)
        if cpu_mhz is not None:
            _cap_cpus(host.plant, cpu_mhz)
        for at_s, act in sorted(events, key=lambda event: event[0]):
            host.advance(at_s)
            act(host.plant)
        host.advance(work.end_s + 0.2)  # the power log's last row is whole
        came = outcome("hindsight", host.plant, host.bmc, work)
        host.close()
        return came


def search(work: Work, seed: int, free: Outcome) -> Best:
    """The best of the family; `free` is the outcome without any ceiling."""
    assert free.latency.p99_s is not None
    ladder = _ladder(seed)
    found = None
    for cpu_mhz in ladder:
        still = play(work, seed, cpu_mhz)  # what is done in the gaps changes no latency
        if still.latency.p99_s is None or still.latency.p99_s > LATENCY * free.latency.p99_s:
            continue
        came = play(work, seed, cpu_mhz, [*idle_gpus(still, work), *idle_cpus(still, work, ladder[0], cpu_mhz)])
        if found is None or came.energy_j < found.outcome.energy_j:
            found = Best(cpu_mhz, came)
    assert found is not None  # the top of the ladder is no ceiling
    return found


def idle_gpus(known: Outcome, work: Work) -> list[Event]:
    """The lowest clock on each GPU while it has no request."""
    events: list[Event] = []
    for gpu, spans in enumerate(known.busy):
        for down_s, up_s in _writable(between(spans, LEAD_S, work.end_s), work.end_s):
            events += [(down_s, _lower(gpu)), (up_s, _reset(gpu))]
    return events


def idle_cpus(known: Outcome, work: Work, low_mhz: int, cpu_mhz: int) -> list[Event]:
    """The lowest clock on all CPUs while no GPU has a request."""
    gaps = between(merged(span for spans in known.busy for span in spans), LEAD_S, work.end_s)
    events: list[Event] = []
    for down_s, up_s in _writable(gaps, work.end_s):
        events += [
            (down_s, lambda plant: _cap_cpus(plant, low_mhz)),
            (up_s, lambda plant: _cap_cpus(plant, cpu_mhz)),
        ]
    return events


def _writable(gaps: Sequence[Span], end_s: float) -> list[Span]:
    """From when to when a clock is low in each gap: one write a second at most, and back up before the gap ends."""
    lows: list[Span] = []
    for begin_s, gap_end_s in gaps:
        down_s = max(begin_s, lows[-1][1] + WRITE_EVERY_S) if lows else begin_s
        up_s = gap_end_s if gap_end_s == end_s else gap_end_s - RAISE_S
        if up_s - down_s >= WRITE_EVERY_S:
            lows.append((down_s, up_s))
    return lows


def _lower(gpu: int) -> Callable[[Host], None]:
    def act(plant: Host) -> None:
        low_mhz = plant.view(gpu)["sm_clock_min_mhz"]
        plant.lock_clocks(gpu, low_mhz, low_mhz)

    return act


def _reset(gpu: int) -> Callable[[Host], None]:
    return lambda plant: plant.reset_clocks(gpu)


def _cap_cpus(plant: Host, mhz: int) -> None:
    processor = plant.processor
    assert processor is not None
    for cpu in range(processor["packages"] * processor["cores"]):
        plant.set_cpu_max_khz(cpu, mhz * 1000)


def _ladder(seed: int) -> list[int]:
    """The CPU ceilings to choose from, the lowest first."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        host = Ungoverned(Path(directory), "ladder", seed)
        processor = host.plant.processor
        host.close()
    assert processor is not None
    low_mhz, high_mhz = processor["min_khz"] // 1000, processor["max_khz"] // 1000
    return sorted({*range(low_mhz, high_mhz, STEP_MHZ), high_mhz})
