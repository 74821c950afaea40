"""The least energy for the work that a job does, with no more of its time lost than the operator allows.

A job that tells or shows how far it comes is tried at lower clocks, a little at a time: what it draws for each unit of
work there, and how much longer that takes. It is left at the clock that costs the least energy within the bound on its
whole time, the search included. How, and what that may cost, is in the room `search`.

The knob is the ceiling of the SM clock, where that can't be written the power limit. All GPUs of a job get the same.
Left alone are GPUs on which nothing tells how far it comes, and those that several jobs or processes share: a job may
slow itself, and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from eagent.model import DeviceState, HostState, KnobName, Priority, Progress, Proposal
from eagent.policy.aims import wanted_of
from eagent.policy.goals import Goals
from eagent.policy.search import telling
from eagent.policy.search.curve import Curve
from eagent.policy.search.job import Job, Subject, begin, step, wait
from eagent.policy.search.trial import SECOND_NS, Look

NAME = "efficiency"
GONE_NS = 60 * SECOND_NS  # a job that is not told of for so long has ended
LIMIT_STEPS = 40  # of a power limit
CURVES = 3  # of the phases of one job that are remembered for its next run
KNOWN_MOST = 500  # jobs that have ended; who ended longest ago goes first
KEPT_S = 30.0  # of work in a phase at least
HELD_DOWN = 0.05  # of the last ten seconds: a limit that held the clock down for longer shows in what is measured

Curves = Mapping[str, tuple[Curve, ...]]


@dataclass(frozen=True, slots=True)
class Memory:
    """What the policy knows of the past. Plain data."""

    jobs: Mapping[str, Job] = field(default_factory=dict)  # by their runs
    curves: Curves = field(default_factory=dict)  # of jobs that have ended, or from runs before; by their signature
    left_alone: Mapping[str, str] = field(default_factory=dict)  # per UUID: why


@dataclass(frozen=True, slots=True)
class _Team:
    """A job and the GPUs that it runs on."""

    progress: Progress
    members: tuple[DeviceState, ...]
    knob: KnobName
    settings: tuple[float, ...]  # ascending; the last is the top


def decide(state: HostState, goals: Goals, now_ns: int, memory: Memory | None = None) -> tuple[list[Proposal], Memory]:
    """A ceiling for the GPUs of each job that can be told about; and what is to be remembered."""
    memory = memory or Memory()
    left_alone = dict(_unknown(state))
    jobs: dict[str, Job] = {}
    proposals: list[Proposal] = []
    for progress in state.progress:
        members = _members(progress, state)
        why, team = _team(progress, members, state, goals)
        look = None if team is None else _look(team, now_ns)
        if team is None or look is None:
            left_alone |= {each.device.uuid: why or "the energy that it draws can't be read" for each in members}
            continue
        before = memory.jobs.get(progress.run)
        wanted = wanted_of(goals, progress.job, {each.device.uuid for each in members}, now_ns)
        bound = wanted.slowdown
        job = _same(before, team, look, bound) or _begun(team, bound, before, memory.curves, now_ns)
        job = replace(job, bound_by=wanted.by)
        held = all(_held(each, team, job.choice.setting) for each in members)
        if any(_held_down(each, team, job.choice.setting) for each in members):
            job = wait(job, look, "a power limit holds it down that is not this policy's: it waits for that", now_ns)
        else:
            job = step(job, look, held=held, settings=team.settings, now_ns=now_ns)
        jobs[progress.run] = job
        proposals += _proposals(job, team)
    return proposals, _remembered(memory, jobs, left_alone, now_ns)


def _unknown(state: HostState) -> Iterator[tuple[str, str]]:
    told = {uuid for progress in state.progress for uuid in progress.uuids}
    for each in state.gpus:
        busy = each.busy_share.ok and each.busy_share.value
        if each.device.uuid not in told and busy:
            yield each.device.uuid, "nothing tells how far what runs on it comes: its clocks are left alone"


def _members(progress: Progress, state: HostState) -> tuple[DeviceState, ...]:
    """The GPUs of a job, and those of all gangs that any of them belongs to."""
    uuids = set(progress.uuids)
    for gang in state.gangs:
        if uuids & gang:
            uuids |= gang
    return tuple(each for each in state.gpus if each.device.uuid in uuids)


def _team(
    progress: Progress, members: Sequence[DeviceState], state: HostState, goals: Goals
) -> tuple[str, _Team | None]:
    """The GPUs of a job with their knob; else why they are left alone."""
    if progress.latencies:  # how many tokens a server makes is up to who asks it, and not to its clock
        return "it answers requests: its clocks are for goals on latencies (docs/serving.md)", None
    if not members or not progress.uuids <= {each.device.uuid for each in members}:
        return "not all GPUs of its job are known here: its clocks are left alone", None
    uuids = {each.device.uuid for each in members}
    if any(other.uuids & uuids and other.run != progress.run for other in state.progress):
        return "several jobs share it, and one must not slow another: its clocks are left alone", None
    for each in members:
        if not each.compute_processes.ok or each.compute_processes.value is None:
            return "nobody knows whether others share it: its clocks are left alone", None
        if each.compute_processes.value > 1:
            return "several processes share it, and one must not slow another: its clocks are left alone", None
    if all(each.device.clock.writable and each.device.clocks_mhz for each in members):
        return "", _Team(progress, tuple(members), KnobName.GPU_CLOCK, _clocks(members, goals))
    if all(each.device.power_limit.writable for each in members):
        return "", _Team(progress, tuple(members), KnobName.POWER_LIMIT, _limits(members))
    return "neither clocks nor power limits can be set", None


def _clocks(members: Sequence[DeviceState], goals: Goals) -> tuple[float, ...]:
    clocks = tuple(each.device.clocks_mhz for each in members)
    return _shared(clocks, goals.efficiency.least_clock_mhz, goals.clock_baseline_mhz or float("inf"))


@lru_cache(maxsize=64)  # asked each second for each job, and the same all the while
def _shared(clocks: tuple[tuple[int, ...], ...], floor: float, site: float) -> tuple[float, ...]:
    """The ceilings that all of them have, none below the operator's floor; the top is what the site locks them to."""
    top = min([float(each[-1]) for each in clocks] + [site])
    shared = set(clocks[0]).intersection(*clocks)
    return (*sorted(float(clock) for clock in shared if floor <= clock < top), top)


def _limits(members: Sequence[DeviceState]) -> tuple[float, ...]:
    low = max(each.device.min_limit_w for each in members)
    top = min(each.device.default_limit_w if each.prior_limit_w is None else each.prior_limit_w for each in members)
    step_w = (top - low) / LIMIT_STEPS
    return (*(low + number * step_w for number in range(LIMIT_STEPS)), top) if step_w > 0 else (top,)


def _look(team: _Team, now_ns: int) -> Look | None:
    energy = [each.energy_j for each in team.members]
    joules = [each.value for each in energy if each.ok and each.value is not None]
    if len(joules) < len(energy):
        return None
    age_s = sum(each.age_s for each in energy) / len(energy)
    return Look(team.progress.units, team.progress.at_ns, sum(joules), now_ns - round(age_s * SECOND_NS))


def _held(state: DeviceState, team: _Team, setting: float) -> bool:
    if team.knob is KnobName.GPU_CLOCK:
        return state.clock_held
    return state.limit_w.ok and state.limit_w.value is not None and state.limit_w.value <= setting + 0.5


def _held_down(state: DeviceState, team: _Team, setting: float) -> bool:
    """Whether a limit holds its clock down that is neither its owner's nor the policy's: what it does tells of that."""
    limit_w, capped = state.limit_w.value, state.capped_share.value
    if not (state.limit_w.ok and state.capped_share.ok) or limit_w is None or capped is None:
        return False
    own_w = state.device.default_limit_w if state.prior_limit_w is None else state.prior_limit_w
    if team.knob is KnobName.POWER_LIMIT:
        own_w = min(own_w, setting)
    return capped > HELD_DOWN and limit_w < own_w - 0.5


def _same(job: Job | None, team: _Team, look: Look, bound: float) -> Job | None:
    """The job as it was known; None: it is another run, or one that what is known does not speak about any more."""
    if job is None or job.top != team.settings[-1] or job.subject != _subject(team):
        return None
    if job.last is not None and look.units < job.last.units:
        return None
    return replace(job, bound=bound)


def _begun(team: _Team, bound: float, before: Job | None, curves: Curves, now_ns: int) -> Job:
    subject = _subject(team)
    known = () if before is None or before.subject.signature != subject.signature else learnt(before)
    known = known or curves.get(subject.signature, ())
    return begin(subject, team.settings[-1], bound, known, now_ns)


def _subject(team: _Team) -> Subject:
    uuids = frozenset(each.device.uuid for each in team.members)
    signature = f"{team.progress.job} on {len(uuids)} x {team.members[0].device.name}"
    return Subject(team.progress.job, signature, uuids, team.knob, team.progress.unit)


def _proposals(job: Job, team: _Team) -> list[Proposal]:
    """None at the top: nothing is asked for there."""
    if job.choice.setting >= job.top:
        return []
    high = max(job.choice.setting, team.settings[0])
    reason = f"{job.subject.name}: {job.choice.why}"
    return [Proposal(NAME, Priority.EFFICIENCY, each.device.uuid, team.knob, high, reason) for each in team.members]


def _remembered(memory: Memory, jobs: Mapping[str, Job], left_alone: Mapping[str, str], now_ns: int) -> Memory:
    """With jobs that were not told of this time, for a while, and the curves of those that have ended."""
    kept, ended = dict(jobs), dict[str, tuple[Curve, ...]]()
    for name, job in memory.jobs.items():
        if name in jobs:
            continue
        if job.last is not None and now_ns - job.last.energy_ns < GONE_NS:
            kept[name] = job
        elif worth := learnt(job):
            ended[job.subject.signature] = worth
    curves = memory.curves
    if ended:
        others = {signature: worth for signature, worth in curves.items() if signature not in ended}
        curves = dict([*others.items(), *ended.items()][-KNOWN_MOST:])
    return Memory(kept, curves, left_alone)


def all_curves(memory: Memory) -> Curves:
    """What is known of all jobs, those that run now included."""
    return {**memory.curves, **{job.subject.signature: worth for job in memory.jobs.values() if (worth := learnt(job))}}


def learnt(job: Job) -> tuple[Curve, ...]:
    """What a next run of the job has use for: its phases with something tried below the top, the longest first."""
    tried = [each for each in job.phases if len(each.curve.points) > 1 and each.curve.base is not None]
    tried = [each for each in tried if each.is_of_this_run and each.held.seconds >= KEPT_S]
    return tuple(each.curve for each in sorted(tried, key=lambda each: -each.held.seconds)[:CURVES])


def told(memory: Memory, uuid: str, now_ns: int) -> dict[str, Any] | None:
    """What is known of the job on a GPU, or why it is left alone; None: nothing runs there that is seen."""
    if uuid in memory.left_alone:
        return {"left_alone": memory.left_alone[uuid]}
    for job in memory.jobs.values():
        if uuid in job.subject.uuids:
            return {"left_alone": None, **telling.told(job, now_ns)}
    return None
