"""How much of the GPUs' work waits for the CPUs, learnt from utilisation: what the policy `cpu` knows of the past.

Work that goes in turns, the CPU's part h and then the GPU's part G, keeps the GPU busy for u = G / (G + h/p) of the
time while the CPUs run at the pace p (1: as fast as their owner lets them). So h/G = p (1 - u) / u: `waiting`. At the
pace q the work takes (1 + h/Gq) / (1 + h/G) - 1 longer than at 1: `slowdown`. Two things keep u from meaning that:

- Rest. A GPU without work does not wait for the CPU. So a second counts only amid work, when the seconds before and
  after it saw some too, and of the last ones neither the best rules nor the worst, which may hold a short pause, but
  the one that a third of them are better than. That pauses are rest, and not the CPU's work, only the operator can
  tell; where they did not, every second counts and the worst rules.
- Running ahead. If the CPU prepares the next step while the GPU works, u says nothing until the CPU is the slower one.
  Then h/G comes out greater the lower the pace is, which work in turns does not do. So whoever works without a pause
  is first looked at with no ceiling, and what seems to wait under one is compared with that: `suffers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eagent.model import DeviceState, HostState

# NVML tells whole percents, rounded or cut off: at worst half of one less than it says.
ROUNDING = 0.005
SAMPLES = 9  # seconds that are remembered ...
SAMPLES_ALL = 60  # ... and where every second counts: what pauses now and then is to be remembered
SAMPLES_MIN = 5
NOISE = 0.03  # how far `waiting` may be off by the mix of what runs: a prefill waits for less than decoding does
RUN_MIN = 20  # looks in a row that found a GPU busy: it works without a pause
MOST = 1000.0  # instead of infinity, where nothing ran
LOOK_NS = 900_000_000  # utilisation is over a second: looks that are nearer count it twice


def waiting(busy: float, pace: float) -> float:
    """The CPU's part as a multiple of the GPU's, both at full pace; the greatest that a rounded `busy` allows."""
    busy = max(busy - ROUNDING, 0.0)
    return min(MOST, pace * (1 - busy) / busy) if busy else MOST


def slowdown(ratio: float, pace: float) -> float:
    """How much longer, as a share, work takes at a pace; `ratio` as `waiting` tells it."""
    return ratio * (1 / pace - 1) / (1 + ratio)


def least_pace(ratio: float, most: float) -> float:
    """The lowest pace at which the slowdown is not above `most`."""
    return ratio / (ratio + most * (1 + ratio)) if ratio else 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one GPU while the number of its processes was the same."""

    processes: float
    rests: bool  # whether its pauses are known to be rest
    run: int = 0  # looks in a row that found it busy
    under: tuple[float, ...] = ()  # utilisation at the last three looks under the present ceiling
    lately: tuple[float, ...] = ()  # `waiting` of the last seconds that count,
    free: tuple[float, ...] = ()  # of the last ones with no ceiling,
    held: tuple[float, ...] = ()  # and of those under the present one

    @property
    def ratio(self) -> float | None:
        """The CPU's part as a multiple of the GPU's; None: not enough was seen."""
        return self._typical(self.lately)

    def suffers(self, pace: float, most: float) -> bool:
        """Whether it waits for more than work in turns would at this pace.

        Work whose CPU part runs ahead takes `excess / pace` longer than with no ceiling: that too may be `most`.
        """
        free, lately = self._typical(self.free), self._typical(self.lately)
        if free is None or lately is None or self.run < (RUN_MIN if self.rests else 0):
            return False
        return lately - free > most * pace + NOISE

    def _typical(self, samples: tuple[float, ...]) -> float | None:
        if len(samples) < SAMPLES_MIN:
            return None
        return sorted(samples)[len(samples) // 3] if self.rests else max(samples)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of the past at a look. Frozen: the policy gives it back with its proposals and gets it again."""

    looked_ns: int
    pace: float
    gpus: Mapping[str, Seen] = field(default_factory=dict)
    tried: float = 1.0  # the lowest pace at which work was seen to go on as expected
    spared: float = 0.0  # the pace to stay above, because work was seen to suffer below it, ...
    spared_until_ns: int = 0  # ... and until when


def look(memory: Memory | None, state: HostState, pace: float, consent: frozenset[str], now_ns: int) -> Memory:
    """The memory with one more look at the GPUs, at most one a second.

    Args:
        memory: What was known; None: nothing.
        state: The host now. A GPU whose readings are missing is forgotten.
        pace: What the CPUs' ceilings in force are, as a share of what their owner set.
        consent: UUIDs whose processes may be slowed while they are quiet: their pauses are rest.
        now_ns: Monotonic time.
    """
    if memory is None:
        memory = Memory(now_ns - LOOK_NS, pace)
    if now_ns - memory.looked_ns < LOOK_NS:
        return memory
    settled = pace == memory.pace
    gpus = {}
    for each in state.gpus:
        processes, busy = _value(each, "compute_processes"), _value(each, "gpu_utilisation")
        if not processes or busy is None:
            continue
        seen, rests = memory.gpus.get(each.device.uuid), each.device.uuid in consent
        if seen is None or (seen.processes, seen.rests) != (processes, rests):
            seen = Seen(processes, rests)
        gpus[each.device.uuid] = _add(seen, busy, pace) if settled else _begin(seen, busy)
    tried = memory.tried
    if any(len(seen.held) >= SAMPLES_MIN for seen in gpus.values()):
        tried = min(tried, pace)
    return replace(memory, looked_ns=now_ns, pace=pace, gpus=gpus, tried=tried)


def spare(memory: Memory, uuid: str, pace: float, until_ns: int) -> Memory:
    """The memory after the work of one GPU suffered: stay above `pace` until then, and look at that GPU anew."""
    gpus = {**memory.gpus, uuid: replace(memory.gpus[uuid], lately=(), free=(), held=())}
    return replace(memory, gpus=gpus, spared=pace, spared_until_ns=until_ns, tried=max(memory.tried, pace))


def _begin(seen: Seen, busy: float) -> Seen:
    """Under another ceiling than at the look before: the second in between belongs to neither."""
    return replace(seen, run=seen.run + 1 if busy else 0, under=(), held=())


def _add(seen: Seen, busy: float, pace: float) -> Seen:
    seen = replace(seen, run=seen.run + 1 if busy else 0, under=(*seen.under, busy)[-3:])
    if not seen.rests:
        counted: float | None = busy
    else:
        counted = seen.under[1] if len(seen.under) == 3 and all(seen.under) else None
    if counted is None:
        return seen
    ratio, most = waiting(counted, pace), SAMPLES if seen.rests else SAMPLES_ALL
    seen = replace(seen, lately=(*seen.lately, ratio)[-most:])
    if pace == 1:
        return replace(seen, free=(*seen.free, ratio)[-most:])
    return replace(seen, held=(*seen.held, ratio)[-most:])


def _value(state: DeviceState, name: str) -> float | None:
    reading = getattr(state, name)
    return reading.value if reading.ok else None
