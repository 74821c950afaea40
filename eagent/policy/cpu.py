"""CPUs that only feed GPUs, or await them, get a ceiling on their frequency.

A process on a GPU polls for its answers, so its cores are busy whatever they do, at full clock. A lower one costs the
GPU's work no more than what of it waits for them, and that is measured: see feeding.py. The ceiling is the lowest at
which the work takes no longer than the goal allows. It is raised at once, and lowered a step at a time, each looked at
before the next. While all GPUs rest it is the lowest there is.

Evidence is needed that the CPUs do nothing else: as many are busy as the processes on the GPUs explain, and no more.
What can't be read is no evidence. And who may be loading a model while its GPU is quiet is not slowed, unless its
operator consented to slow quiet processes.

The ceiling is the same for all packages: which of them serves which GPU is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from eagent.model import DeviceState, HostState, KnobName, Priority, Proposal
from eagent.policy.feeding import RUN_MIN, SAMPLES_MIN, Memory, least_pace, look, slowdown, spare
from eagent.policy.goals import Goals

NAME = "cpu"
# What a process on a GPU is expected to keep busy: its main thread, which polls, and one helper. Assumed; who does more
# (preprocessing in many threads, a job without a GPU) is busy with something that nobody here can judge.
CPUS_PER_PROCESS = 2.0
CPUS_OF_SYSTEM = 1.0  # what runs on any host, eagent included
STEP = 0.85  # of the lowest pace tried so far: how far down the next one may be
DEAD_BAND = 0.04  # of the full pace: less is not worth a write
SPARED_NS = 300_000_000_000  # for how long a pace is kept above one that work suffered from
FREE = 1.0


@dataclass(frozen=True, slots=True)
class _Wish:
    pace: float  # the share of what their owner lets the CPUs run at; 0: as slow as they go
    reason: str
    priority: Priority = Priority.EFFICIENCY


def decide(
    state: HostState, goals: Goals, now_ns: int, memory: Memory | None = None
) -> tuple[list[Proposal], Memory | None]:
    """A ceiling for each package that can have one, or the top and why; and what is to be remembered."""
    packages = [each for each in state.cpus if each.device.clock.writable and len(each.device.clocks_mhz) > 1]
    if not packages:
        return [], None
    pace = max(_ceiling_mhz(each) / _top_mhz(each) for each in packages)
    memory = look(memory, state, min(pace, FREE), goals.idle.consent, now_ns)
    wish, memory = _wish(state, goals, memory, now_ns)
    return [_proposal(each, wish) for each in packages], memory


def _proposal(state: DeviceState, wish: _Wish) -> Proposal:
    """The wish as a clock of the package: never below what was wished, nor a write for a trifle."""
    clocks, top_mhz, held_mhz = state.device.clocks_mhz, _top_mhz(state), _ceiling_mhz(state)
    high_mhz = next((clock for clock in clocks if clock >= wish.pace * top_mhz), clocks[-1])
    if wish.pace and held_mhz - DEAD_BAND * top_mhz < high_mhz < held_mhz:
        high_mhz = next((clock for clock in clocks if clock >= held_mhz), clocks[-1])
    if high_mhz >= top_mhz:
        high_mhz = clocks[-1]  # its owner's own ceiling is none of ours
    return Proposal(NAME, wish.priority, state.device.uuid, KnobName.CPU_CLOCK, float(high_mhz), wish.reason)


def _top_mhz(state: DeviceState) -> float:
    """What its owner lets it run at: what was set before us and, while nothing is ours, what is set now."""
    told = [state.prior_ceiling_mhz, None if state.clock_held else state.ceiling_mhz]
    return max((mhz for mhz in told if mhz is not None), default=state.device.clocks_mhz[-1])


def _ceiling_mhz(state: DeviceState) -> float:
    """The ceiling in force; the top if it can't be read, by which more seems to wait than does."""
    top_mhz = _top_mhz(state)
    return top_mhz if state.ceiling_mhz is None else min(state.ceiling_mhz, top_mhz)


def _wish(state: HostState, goals: Goals, memory: Memory, now_ns: int) -> tuple[_Wish, Memory]:
    doubt = _doubt(state)
    if doubt is not None:
        return _Wish(FREE, doubt), memory
    labels = dict.fromkeys(memory.gpus, "a GPU") | {each.device.uuid: each.device.label for each in state.gpus}
    most = goals.feeding.slowdown
    for uuid, seen in memory.gpus.items():
        if memory.pace < FREE and seen.suffers(memory.pace, most):
            memory = spare(memory, uuid, min(FREE, memory.pace / STEP), now_ns + SPARED_NS)
            return _Wish(FREE, f"{labels[uuid]} waits for them more than at full pace: its work suffers"), memory
    if _all_rest(state, memory):
        return _Wish(0.0, "the GPUs rest, and their processes may be slowed", Priority.IDLE), memory
    if goals.feeding.free is not None:
        return _Wish(FREE, goals.feeding.free), memory
    for uuid, seen in memory.gpus.items():
        if seen.run >= RUN_MIN and len(seen.free) < SAMPLES_MIN:
            return _Wish(FREE, f"{labels[uuid]} works without a pause: first it is looked at without a ceiling"), memory
        if seen.ratio is None and not seen.rests:
            return _Wish(FREE, f"{labels[uuid]} has not been looked at for long enough"), memory
    return _feeding(memory, labels, goals, now_ns), memory


def _feeding(memory: Memory, labels: Mapping[str, str], goals: Goals, now_ns: int) -> _Wish:
    """By whoever waits most. A GPU that has never worked long enough to be looked at is taken to be like the others."""
    known = [(seen.ratio, uuid) for uuid, seen in memory.gpus.items() if seen.ratio is not None]
    if not known:
        return _Wish(FREE, "no GPU has worked for long enough to tell how much of its work waits for them")
    ratio, uuid = max(known)
    goal = max(least_pace(ratio, goals.feeding.slowdown), goals.feeding.least_pace)
    if now_ns < memory.spared_until_ns:
        goal = max(goal, memory.spared)
    goal = min(goal, FREE)
    pace = max(goal, memory.tried * STEP)
    way = f", on the way to {goal:.0%}" if pace > goal else ""
    waits = ratio / (1 + ratio)
    return _Wish(
        pace,
        f"{labels[uuid]} waits for them at most {waits:.1%} of its working time: {slowdown(ratio, pace):.1%} longer "
        f"at {pace:.0%} of the pace{way}",
    )


def _all_rest(state: HostState, memory: Memory) -> bool:
    """Whether no GPU with a process has worked for ten seconds, all of them with their operator's consent."""
    return all(
        each.device.uuid in memory.gpus
        and memory.gpus[each.device.uuid].rests
        and each.busy_peak.ok
        and each.busy_peak.value == 0
        for each in _with_processes(state.gpus)
    )


def _doubt(state: HostState) -> str | None:
    """Why the CPUs may be busy with something else; None: they only feed GPUs or await them."""
    processes = 0.0
    for each in state.gpus:
        if not each.compute_processes.ok or each.compute_processes.value is None:
            return f"nobody knows what runs on {each.device.label}"
        processes += each.compute_processes.value
    if processes == 0:
        return "no process is on a GPU"
    for each in _with_processes(state.gpus):
        if not each.gpu_utilisation.ok or not each.busy_peak.ok:
            return f"the utilisation of {each.device.label} is not known"
    if not state.busy_cpus.ok or state.busy_cpus.value is None:
        return "nobody knows how many CPUs are busy"
    explained = CPUS_PER_PROCESS * processes + CPUS_OF_SYSTEM
    if state.busy_cpus.value > explained:
        return f"{state.busy_cpus.value:.1f} CPUs are busy; {processes:.0f} processes on GPUs explain {explained:.0f}"
    return None


def _with_processes(gpus: Sequence[DeviceState]) -> Iterator[DeviceState]:
    return (each for each in gpus if each.compute_processes.ok and each.compute_processes.value)
