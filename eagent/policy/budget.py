"""Shares a host's envelope among its devices: by what each uses, and by how much its limit holds it down.

1. Every device starts at the least limit it takes, and is raised to its safe cap: a budget never treats a device worse
   than the fallback would, and a device that nobody can see keeps that.
2. There is a level to which the envelope lets all come that their limit holds down. Who was never held down in the last
   ten seconds gets what it drew in them, who always was gets the level, and who was for a part of them gets a part of
   the way from the one to the other.
3. A part of what is above the devices' use is kept back: the last watts buy least.

The second step is what makes it work. Watts drawn say little about need, because a limit hides what a device would
draw; but a device that is held down all of the time builds up a queue, and one that is held down now and then does not.
Those who are held down alike come to the same level, whatever they had before. And because the level rises until the
envelope is given out, and takes everybody a little along, no limit ratchets down towards what it lets through.

Sums are in whole milliwatts: the limits proposed never exceed the envelope, not even by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from eagent.model import DeviceState, HostState, KnobName, Priority, Proposal, Reading
from eagent.policy.goals import Goals, Sharing
from eagent.policy.groups import grouped

NAME = "budget"


@dataclass(frozen=True, slots=True)
class _Unit:
    """Devices that get one cap: a gang, or one device alone. Milliwatts are per device."""

    members: tuple[DeviceState, ...]
    floor_mw: int  # the least it can be given
    assured_mw: int  # its safe cap
    use_mw: int
    ceiling_mw: int
    pressure: float  # 0 to 1: the share of the time that its limit holds it down
    reason: str


def decide(state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
    """One upper bound for each device that can be capped, their sum within the envelope; none without a budget.

    None either when the envelope is smaller than the sum of the least limits: there is then no sharing that would hold,
    and the warden's safe caps stand.
    """
    if state.budget is None:
        return []
    devices = [each.device for each in state.devices]
    uncapped_mw = sum(_mw(state.budget.uncapped_w(device)) for device in devices) + _mw(state.budget.absent_w(devices))
    pool_mw = math.floor(round(state.budget.envelope_w * 1000, 3)) - uncapped_mw - _mw(state.reserved_w)
    units = _units(state, goals, now_ns)
    limits = [unit.floor_mw for unit in units]
    if pool_mw < _total(units, limits):
        return []
    limits = _pour(units, limits, [unit.assured_mw for unit in units], pool_mw)
    uses = _pour(units, limits, [unit.use_mw for unit in units], pool_mw)  # all of them, if they fit
    limits = _level(units, limits, uses, pool_mw, goals.sharing)
    return [
        Proposal(NAME, Priority.BUDGET, member.device.uuid, KnobName.POWER_LIMIT, limit_mw / 1000, unit.reason)
        for unit, limit_mw in zip(units, limits, strict=True)
        for member in unit.members
    ]


def _pour(units: Sequence[_Unit], limits: Sequence[int], targets: Sequence[int], pool_mw: int) -> list[int]:
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
    units: Sequence[_Unit], limits: Sequence[int], uses: Sequence[int], pool_mw: int, sharing: Sharing
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
    step_mw = _mw(sharing.step_w)
    found = []
    for unit, use, share in zip(units, uses, levelled, strict=True):
        base_mw = min(use, share)
        spent_mw = base_mw + math.floor((share - base_mw) * sharing.spend)
        is_full = spent_mw == unit.ceiling_mw
        found.append(spent_mw if is_full else max(spent_mw // step_mw * step_mw, min(spent_mw, unit.assured_mw)))
    return found


def _greatest(units: Sequence[_Unit], filled: Callable[[int], list[int]], high_mw: int, pool_mw: int) -> list[int]:
    """What the greatest level from 0 to `high_mw` gives that fits into the pool; 0 does."""
    low_mw = 0
    while low_mw < high_mw:
        level_mw = (low_mw + high_mw + 1) // 2
        if _total(units, filled(level_mw)) <= pool_mw:
            low_mw = level_mw
        else:
            high_mw = level_mw - 1
    return filled(low_mw)


def _total(units: Sequence[_Unit], milliwatts: Sequence[int]) -> int:
    return sum(len(unit.members) * each for unit, each in zip(units, milliwatts, strict=True))


def _units(state: HostState, goals: Goals, now_ns: int) -> list[_Unit]:
    assert state.budget is not None
    pins = {pin.uuid: pin.limit_w for pin in goals.pins if pin.limit_w is not None and pin.stands(now_ns)}
    units = []
    for members in _grouped(state):
        floor_mw = max(_mw(member.device.min_limit_w) for member in members)
        ceiling_mw = min(_ceiling_mw(member) for member in members)
        assured_mw = max(_mw(state.budget.safe_cap_w(each.device)) for each in members)
        needs = [_need(member, goals.sharing) for member in members]
        use_mw, _, reason = max(needs, key=lambda need: need[0])
        pressure = max(pressure for _, pressure, _ in needs)  # in a gang the slowest sets the pace
        foreign_w = members[0].foreign_limit_w
        if foreign_w is not None:  # it counts at that: there is no other value to be had for it
            fixed_mw, reason = _mw(foreign_w), f"somebody else has set it to {foreign_w:g} W"
            units.append(_Unit(members, fixed_mw, fixed_mw, fixed_mw, fixed_mw, pressure, reason))
            continue
        pinned = [pins[member.device.uuid] for member in members if member.device.uuid in pins]
        if pinned:  # the pin says what is wanted and bounds it: what it leaves is the others'
            use_mw = ceiling_mw = min(_mw(min(member.device.max_limit_w for member in members)), _mw(min(pinned)))
            reason = f"pinned to {min(pinned):g} W"
        if len(members) > 1:
            reason = f"gang of {len(members)}: {reason}"
        ceiling_mw = max(floor_mw, ceiling_mw)
        assured_mw, use_mw = (min(max(mw, floor_mw), ceiling_mw) for mw in (assured_mw, use_mw))
        units.append(_Unit(members, floor_mw, assured_mw, use_mw, ceiling_mw, pressure, reason))
    return units


def _grouped(state: HostState) -> Iterator[tuple[DeviceState, ...]]:
    """The devices that can be capped, gangs together; a gang whose ranges do not meet is treated one by one.

    So is one of whose members somebody else has set the limit.
    """
    for members in grouped(state, lambda each: each.device.power_limit.writable):
        if any(member.foreign_limit_w is not None for member in members) or max(
            m.device.min_limit_w for m in members
        ) > min(m.device.max_limit_w for m in members):
            yield from ((member,) for member in members)
        else:
            yield members


def _ceiling_mw(state: DeviceState) -> int:
    """No share goes above what the device takes, nor above what its owner had set before us."""
    highest_w = state.device.max_limit_w
    return _mw(highest_w if state.prior_limit_w is None else min(highest_w, state.prior_limit_w))


def _need(state: DeviceState, sharing: Sharing) -> tuple[int, float, str]:
    """What one device has used, in mW, how much it is held down, and both in words."""
    used = _value(state.power_recent_w)
    if used is None:
        return 0, 0.0, f"its power reading is {state.power_recent_w.status.name.lower()}: is assured of its safe cap"
    pressure = _value(state.capped_share)
    if pressure is None:
        limit = _value(state.limit_w)
        pressure = 1.0 if limit is not None and used >= sharing.near_limit * limit else 0.0
    return _mw(used), pressure, f"drew {used:.0f} W in the last 10 s, held down by its limit for {pressure:.0%} of it"


def _value(reading: Reading) -> float | None:
    return reading.value if reading.ok else None


def _mw(watts: float) -> int:
    return round(watts * 1000)
