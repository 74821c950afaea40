"""How many watts of limits a host's devices could use now: what the mesh asks for and offers by. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from eagent.model import Budget, DeviceState, HostState

NO_BUDGET = Budget(0.0, 0.0, {})
NO_PINS: Mapping[str, float] = {}


def need_w(state: HostState, pins_w: Mapping[str, float] = NO_PINS) -> float:
    """The sum over the devices whose limits can be set, and the most that the others draw under the budget.

    A device needs what it has drawn in the last ten seconds, and as much of what lies between that and its highest
    limit as the share of the time in which its limit held it down: watts drawn alone say little, for a limit hides what
    a device would draw. One that can't be seen needs its safe cap. One that a person has pinned has no use for more;
    `pins_w` are these limits by UUID.
    """
    budget = state.budget or NO_BUDGET
    devices = [each.device for each in state.devices]
    capped = [each for each in state.devices if each.device.power_limit.writable]
    uncapped_w = sum(budget.uncapped_w(device) for device in devices) + budget.absent_w(devices)
    return uncapped_w + sum(_need_w(each, budget, pins_w.get(each.device.uuid)) for each in capped)


def _need_w(state: DeviceState, budget: Budget, pin_w: float | None) -> float:
    highest_w = state.device.max_limit_w
    for bound_w in (state.prior_limit_w, pin_w):  # its owner's limit, and a person's: no share goes above them
        if bound_w is not None:
            highest_w = min(highest_w, bound_w)
    least_w = min(max(state.device.min_limit_w, 0.0), highest_w)
    used_w = state.power_recent_w.value if state.power_recent_w.ok else None
    if used_w is None:
        return max(least_w, min(budget.safe_cap_w(state.device), highest_w))
    held_down = state.capped_share.value if state.capped_share.ok else None
    wanted_w = used_w + (held_down or 0.0) * max(0.0, highest_w - used_w)
    return max(least_w, min(wanted_w, highest_w))
