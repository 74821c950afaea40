"""What a host's envelope is shared among: gangs and single devices, each with its bounds, its use and its pressure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eagent.model import DeviceState, HostState, Reading
from eagent.policy.goals import Goals, Sharing
from eagent.policy.groups import grouped


@dataclass(frozen=True, slots=True)
class Unit:
    """Devices that get one cap: a gang, or one device alone. Milliwatts are per device."""

    members: tuple[DeviceState, ...]
    floor_mw: int  # the least it can be given
    assured_mw: int  # its safe cap
    use_mw: int
    ceiling_mw: int
    pressure: float  # 0 to 1: the share of the time that its limit holds it down
    reason: str
    is_bound: bool = False  # by a person or by somebody else: its share is theirs to say


def units_of(state: HostState, goals: Goals, now_ns: int) -> list[Unit]:
    """Those of a host with a budget."""
    assert state.budget is not None
    hinted = {hint.uuid for hint in goals.hints if hint.wish.limit_w is not None and now_ns < hint.until_ns}
    pins = {pin.uuid: pin.limit_w for pin in goals.pins if pin.limit_w is not None and pin.stands(now_ns)}
    units = []
    for members in _grouped(state):
        floor_mw = max(milliwatts(member.device.min_limit_w) for member in members)
        ceiling_mw = min(_ceiling_mw(member) for member in members)
        assured_mw = max(milliwatts(state.budget.safe_cap_w(each.device)) for each in members)
        needs = [_need(member, goals.sharing) for member in members]
        use_mw, _, reason = max(needs, key=lambda need: need[0])
        pressure = max(pressure for _, pressure, _ in needs)  # in a gang the slowest sets the pace
        foreign_w = members[0].foreign_limit_w
        if foreign_w is not None:  # it counts at that: there is no other value to be had for it
            fixed_mw, reason = milliwatts(foreign_w), f"somebody else has set it to {foreign_w:g} W"
            units.append(Unit(members, fixed_mw, fixed_mw, fixed_mw, fixed_mw, pressure, reason, is_bound=True))
            continue
        pinned = [pins[member.device.uuid] for member in members if member.device.uuid in pins]
        if pinned:  # the pin says what is wanted and bounds it: what it leaves is the others'
            most_w = min(member.device.max_limit_w for member in members)
            use_mw = ceiling_mw = milliwatts(min(most_w, *pinned))
            reason = f"pinned to {min(pinned):g} W"
        is_bound = bool(pinned) or any(member.device.uuid in hinted for member in members)
        if len(members) > 1:
            reason = f"gang of {len(members)}: {reason}"
        ceiling_mw = max(floor_mw, ceiling_mw)
        assured_mw, use_mw = (min(max(mw, floor_mw), ceiling_mw) for mw in (assured_mw, use_mw))
        units.append(Unit(members, floor_mw, assured_mw, use_mw, ceiling_mw, pressure, reason, is_bound))
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
    return milliwatts(highest_w if state.prior_limit_w is None else min(highest_w, state.prior_limit_w))


def _need(state: DeviceState, sharing: Sharing) -> tuple[int, float, str]:
    """What one device has used, in mW, how much it is held down, and both in words."""
    used = value_of(state.power_recent_w)
    if used is None:
        return 0, 0.0, f"its power reading is {state.power_recent_w.status.name.lower()}: is assured of its safe cap"
    pressure = value_of(state.capped_share)
    if pressure is None:
        limit = value_of(state.limit_w)
        pressure = 1.0 if limit is not None and used >= sharing.near_limit * limit else 0.0
    reason = f"drew {used:.0f} W in the last 10 s, held down by its limit for {pressure:.0%} of it"
    return milliwatts(used), pressure, reason


def value_of(reading: Reading) -> float | None:
    """If there is one to use."""
    return reading.value if reading.ok else None


def milliwatts(watts: float) -> int:
    """To the nearest."""
    return round(watts * 1000)
