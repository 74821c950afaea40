"""How many watts of limits a host's devices could use now: what the mesh asks for and offers by. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from eagent.model import Budget, DeviceState, HostState, Reading
from eagent.policy.goals import Sharing

NO_BUDGET = Budget(0.0, 0.0, {})
NO_PINS: Mapping[str, float] = {}
NEAR_LIMIT = Sharing().near_limit  # a mean above this share of the limit is held down by it


def need_w(state: HostState, pins_w: Mapping[str, float] = NO_PINS) -> float:
    """The sum over the devices whose limits can be set, and the most that the others draw under the budget.

    A device needs what it draws, and as much of what lies between that and its highest limit as the share of the time
    in which its limit holds it down: watts drawn alone say little, for a limit hides what a device would draw. What it
    draws is the greater of its means over one and over ten seconds, and a limit that holds it down in this second
    counts in full: watts take seconds to come from another host, so a need is told at once when it rises, and falls
    slowly. A device that can't be seen needs its safe cap. One that a person has pinned has no use for more; `pins_w`
    are these limits by UUID.
    """
    budget = state.budget or NO_BUDGET
    devices = [each.device for each in state.devices]
    capped = [each for each in state.devices if each.device.power_limit.writable]
    uncapped_w = sum(budget.uncapped_w(device) for device in devices) + budget.absent_w(devices) + state.reserved_w
    return uncapped_w + sum(_need_w(each, budget, pins_w.get(each.device.uuid)) for each in capped)


def _need_w(state: DeviceState, budget: Budget, pin_w: float | None) -> float:
    highest_w = state.device.max_limit_w
    for bound_w in (state.prior_limit_w, pin_w):  # its owner's limit, and a person's: no share goes above them
        if bound_w is not None:
            highest_w = min(highest_w, bound_w)
    least_w = min(max(state.device.min_limit_w, 0.0), highest_w)
    now_w, recent_w, limit_w = (_value(each) for each in (state.power_mean_w, state.power_recent_w, state.limit_w))
    if now_w is None and recent_w is None:
        return max(least_w, min(budget.safe_cap_w(state.device), highest_w))
    used_w = max(now_w or 0.0, recent_w or 0.0)
    held_down = _value(state.capped_share) or 0.0
    if now_w is not None and limit_w is not None and now_w >= NEAR_LIMIT * limit_w:
        held_down = 1.0
    wanted_w = used_w + held_down * max(0.0, highest_w - used_w)
    return max(least_w, min(wanted_w, highest_w))


def _value(reading: Reading) -> float | None:
    return reading.value if reading.ok else None
