"""Shares a host's envelope among its devices: by what each uses, and by how much its limit holds it down.

1. Every device starts at the least limit it takes, and is raised to its safe cap: a budget never treats a device worse
   than the fallback would, and a device that nobody can see keeps that.
2. There is a level to which the envelope lets all come that their limit holds down. Who was never held down in the last
   ten seconds gets what it drew in them, who always was gets the level, and who was for a part of them gets a part of
   the way from the one to the other.
3. A part of what is above the devices' use is kept back: the last watts buy least.
4. Where it is known what watts are to some of the jobs, and it is wanted, these split theirs by that (`worth`).

The second step is what makes it work. Watts drawn say little about need, because a limit hides what a device would
draw; but a device that is held down all of the time builds up a queue, and one that is held down now and then does not.
Those who are held down alike come to the same level, whatever they had before. And because the level rises until the
envelope is given out, and takes everybody a little along, no limit ratchets down towards what it lets through.

Sums are in whole milliwatts: the limits proposed never exceed the envelope, not even by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from eagent.model import HostState, KnobName, Priority, Proposal
from eagent.policy import witness, worth
from eagent.policy.goals import Goals, Sharing
from eagent.policy.units import Unit, milliwatts, units_of

NAME = "budget"


def watch(
    state: HostState, goals: Goals, now_ns: int, memory: witness.Witnesses | None = None
) -> tuple[list[Proposal], witness.Witnesses]:
    """As `decide`, going only by curves that the jobs bear out; and what they have shown, to be remembered."""
    seen = witness.look(memory or {}, goals.paces, state, goals.sharing, now_ns)
    return decide(state, replace(goals, paces=witness.believed(seen, goals.paces)), now_ns), seen


def decide(state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
    """One upper bound for each device that can be capped, their sum within the envelope; none without a budget.

    None either when the envelope is smaller than the sum of the least limits: there is then no sharing that would hold,
    and the warden's safe caps stand.
    """
    if state.budget is None:
        return []
    devices = [each.device for each in state.devices]
    others_mw = sum(milliwatts(state.budget.uncapped_w(device)) for device in devices)
    others_mw += milliwatts(state.budget.absent_w(devices)) + milliwatts(state.reserved_w)
    pool_mw = math.floor(round(state.budget.envelope_w * 1000, 3)) - others_mw
    units = units_of(state, goals, now_ns)
    if pool_mw < _total(units, [unit.floor_mw for unit in units]):
        return []
    teams = worth.teams_of(units, goals.paces, goals.sharing)
    limits, reasons = _by_need(worth.as_by_need(units, teams), pool_mw, goals.sharing), dict[int, str]()
    if teams:
        limits, reasons = worth.split(units, limits, pool_mw - _total(units, limits), teams, goals.sharing)
    return [
        Proposal(NAME, Priority.BUDGET, member.device.uuid, KnobName.POWER_LIMIT, limit_mw / 1000, reason)
        for place, (unit, limit_mw) in enumerate(zip(units, limits, strict=True))
        for reason in [reasons.get(place, unit.reason)]
        for member in unit.members
    ]


def _by_need(units: Sequence[Unit], pool_mw: int, sharing: Sharing) -> list[int]:
    """The limits that need alone leads to, in mW per device."""
    limits = _pour(units, [unit.floor_mw for unit in units], [unit.assured_mw for unit in units], pool_mw)
    uses = _pour(units, limits, [unit.use_mw for unit in units], pool_mw)  # all of them, if they fit
    return _level(units, limits, uses, pool_mw, sharing)


def _pour(units: Sequence[Unit], limits: Sequence[int], targets: Sequence[int], pool_mw: int) -> list[int]:
    """Raise limits towards targets, the lowest above its floor first, as far as the pool goes (max-min fairness).

    Finds the greatest level x for which limits of min(floor + x, target), none lowered, fit into the pool.
    """

    def filled(level_mw: int) -> list[int]:
        return [
            max(limit, min(unit.floor_mw + level_mw, target))
            for unit, limit, target in zip(units, limits, targets, strict=True)
        ]

    high = max((target - unit.floor_mw for unit, target in zip(units, targets, strict=True)), default=0)
    return _greatest(units, filled, high, pool_mw)


def _level(
    units: Sequence[Unit], limits: Sequence[int], uses: Sequence[int], pool_mw: int, sharing: Sharing
) -> list[int]:
    """From their uses bring limits towards one level, each by its pressure, as far as the pool goes; in whole steps.

    Finds the greatest level x for which limits of use + weight * (x - use), none below `limits`, fit into the pool.
    Above the ceilings it only tells how far those come who are hardly held down.
    """
    most, least = 1 - sharing.least_weight, sharing.least_weight
    weights = [least + most * unit.pressure**sharing.sharpness for unit in units]

    def filled(level_mw: int) -> list[int]:
        return [
            max(limit, min(math.floor(use + weight * (level_mw - use)), unit.ceiling_mw))
            for unit, limit, use, weight in zip(units, limits, uses, weights, strict=True)
        ]

    high = max((math.ceil(unit.ceiling_mw / least) for unit in units), default=0)
    levelled = _greatest(units, filled, high, pool_mw)
    step_mw = milliwatts(sharing.step_w)
    found = []
    for unit, use, share in zip(units, uses, levelled, strict=True):
        base_mw = min(use, share)
        spent_mw = base_mw + math.floor((share - base_mw) * sharing.spend)
        is_full = spent_mw == unit.ceiling_mw
        found.append(spent_mw if is_full else max(spent_mw // step_mw * step_mw, min(spent_mw, unit.assured_mw)))
    return found


def _greatest(units: Sequence[Unit], filled: Callable[[int], list[int]], high_mw: int, pool_mw: int) -> list[int]:
    """What the greatest level from 0 to `high_mw` gives that fits into the pool; 0 does."""
    low_mw = 0
    while low_mw < high_mw:
        level_mw = (low_mw + high_mw + 1) // 2
        if _total(units, filled(level_mw)) <= pool_mw:
            low_mw = level_mw
        else:
            high_mw = level_mw - 1
    return filled(low_mw)


def _total(units: Sequence[Unit], milliwatts: Sequence[int]) -> int:
    return sum(len(unit.members) * each for unit, each in zip(units, milliwatts, strict=True))
