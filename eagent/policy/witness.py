"""Whether jobs go as fast as their curves say of the watts that they draw: who does not is not split with.

A curve may speak of what a job did an hour ago, or say too much of watts so few that nobody has measured them. How
many units a second are full pace is taken from how the job goes at first, by need; from then on the curve has to be
right about each stretch of time, whatever limit then holds the job.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eagent.model import DeviceState, HostState
from eagent.policy.goals import Sharing
from eagent.policy.search.pace import JobPace, Pace
from eagent.policy.search.trial import SECOND_NS, Block, Look, between
from eagent.policy.units import value_of

STRETCH_S = 10.0
WRONG = 0.1  # of its pace: a curve that is off by more is not believed
DOUBTED_NS = 600 * SECOND_NS  # then it is asked anew, at a cost of one or two stretches
PAUSED_NS = 60 * SECOND_NS  # likewise of a job that draws something else for a while: limits are not to go to and fro
PRESSED = 0.5  # held down for more of the time than that, a device would draw more if it could
MORE = 1.08  # a device that draws more than this share of what its job draws at full clock ...
LESS = 0.85  # ... or, held by nothing, less than this one, does something else than what its curve speaks of
FOLLOW = 0.1  # of what a stretch says of full pace is taken over: boards get warm


def draws_as_known(members: Sequence[DeviceState], pace: Pace, sharing: Sharing) -> bool:
    """Whether what a job's devices draw bears out what is known of it, and more would make it faster if it had less.

    Under a clock ceiling of ours that binds it would not: what it draws there is all that it has use for.
    """
    drawn_w, limit_w, pressure, is_free = 0.0, math.inf, 0.0, True
    for each in members:
        recent, last, capped = value_of(each.power_recent_w), value_of(each.power_mean_w), value_of(each.capped_share)
        if recent is None or last is None or capped is None:
            return False
        drawn_w += max(recent, last) / len(members)
        limit_w = min(limit_w, value_of(each.limit_w) or math.inf)
        pressure, is_free = max(pressure, capped), is_free and not each.clock_held
    if drawn_w > MORE * pace.full_w:
        return False
    return pressure > PRESSED or (is_free and drawn_w >= LESS * min(pace.full_w, sharing.near_limit * limit_w))


@dataclass(frozen=True, slots=True)
class Witness:
    """What one job has shown."""

    rate: float | None = None  # units a second at full pace; None: not seen yet
    begin: Look | None = None  # of the stretch that is open,
    limits_w: tuple[float | None, ...] = ()  # and the limits that it began under
    doubted_until_ns: int = 0


Witnesses = Mapping[str, Witness]  # by the jobs' runs


def look(
    before: Witnesses, paces: Sequence[JobPace], state: HostState, sharing: Sharing, now_ns: int
) -> dict[str, Witness]:
    """What the jobs have shown with one more look at them."""
    return {each.run: _seen(before.get(each.run, Witness()), each, state, sharing, now_ns) for each in paces}


def believed(witnesses: Witnesses, paces: Sequence[JobPace]) -> tuple[JobPace, ...]:
    """The jobs that have shown to go as their curves say, and nothing else since."""
    return tuple(each for each in paces if each.run in witnesses and witnesses[each.run].rate is not None)


def _seen(witness: Witness, known: JobPace, state: HostState, sharing: Sharing, now_ns: int) -> Witness:
    seen, limits_w = _look(known, state, now_ns)
    if now_ns < witness.doubted_until_ns:
        return witness
    members = [each for each in state.devices if each.device.uuid in known.uuids]
    if witness.rate is not None and not draws_as_known(members, known.pace, sharing):
        return Witness(doubted_until_ns=now_ns + PAUSED_NS)
    begin = witness.begin
    if seen is None or begin is None or limits_w != witness.limits_w:
        return replace(witness, begin=seen, limits_w=limits_w)
    if seen.at_ns - begin.at_ns < STRETCH_S * SECOND_NS:
        return witness
    block = between(begin, seen)
    if block is None or not block.units:
        return replace(witness, begin=seen)
    rate = _full_rate(block, known)
    if witness.rate is not None and abs(rate / witness.rate - 1) > WRONG:
        return Witness(doubted_until_ns=now_ns + DOUBTED_NS)
    mean = rate if witness.rate is None else (1 - FOLLOW) * witness.rate + FOLLOW * rate
    return replace(witness, rate=mean, begin=seen)


def _full_rate(block: Block, known: JobPace) -> float:
    """What the rate of a stretch would be at full pace, by the curve."""
    return block.rate / known.pace.at(block.power_w / len(known.uuids))


def _look(known: JobPace, state: HostState, now_ns: int) -> tuple[Look | None, tuple[float | None, ...]]:
    """The counters of a job, None if one of them can't be read; and its limits."""
    progress = next((each for each in state.progress if each.run == known.run), None)
    members = [each for each in state.devices if each.device.uuid in known.uuids]
    energies = [each.energy_j for each in members]
    joules = [each.value for each in energies if each.ok and each.value is not None]
    limits_w = tuple(each.limit_w.value for each in members)
    if progress is None or len(joules) < len(known.uuids):
        return None, limits_w
    age_s = sum(each.age_s for each in energies) / len(energies)
    return Look(progress.units, progress.at_ns, sum(joules), now_ns - round(age_s * SECOND_NS)), limits_w
