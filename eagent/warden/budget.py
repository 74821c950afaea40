"""Whether a budget can be kept on these devices. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from eagent.errors import RefusedError
from eagent.model import Budget, Device, DeviceKind
from eagent.wire import mw, watts

BUDGET_MAX_W = 1_000_000.0  # a host; more is a mistake


def safe_cap_mw(budget: Budget, device: Device) -> int:
    """Where a device falls to under a budget; another one may stand in its place now, with other limits.

    A package's least limit is no bound of the hardware's, and moves with what its owner has set.
    """
    least_w = 0.0 if device.kind is DeviceKind.CPU else device.min_limit_w
    return mw(min(max(budget.safe_cap_w(device), least_w), device.max_limit_w))


def uncapped_mw(budget: Budget, devices: Sequence[Device]) -> int:
    """What of the envelope is not to be had for limits, because it can't be limited."""
    return sum(mw(budget.uncapped_w(device)) for device in devices) + mw(budget.absent_w(devices))


def check_budget(budget: Budget, devices: Sequence[Device]) -> None:
    """Refuse a budget that could not be kept when nobody governs: safe caps, what can't be capped, and fixed draw.

    Raises:
        RefusedError: one line with what is wrong and what would be right.
    """
    if not 0 < budget.budget_w <= BUDGET_MAX_W or not 0 <= budget.fixed_w <= BUDGET_MAX_W:
        raise RefusedError(
            f"a budget of {budget.budget_w:g} W with {budget.fixed_w:g} W fixed draw: must be above 0, "
            f"the fixed draw at least 0, and neither above {BUDGET_MAX_W:g} W"
        )
    strangers = budget.safe_caps_w.keys() - {device.uuid for device in devices}
    if strangers:
        raise RefusedError(f"safe caps for {len(strangers)} devices that are not here, such as {min(strangers)[:80]}")
    writable = [device for device in devices if device.power_limit.writable]
    if not writable:
        reasons = "; ".join(f"{device.label} power limit: {device.power_limit.why}" for device in devices)
        raise RefusedError(f"no power limit can be set on this host, so no budget can be kept: {reasons}")
    for device in devices:
        if not device.max_limit_w and device.kind is DeviceKind.GPU:
            raise RefusedError(
                f"{device.label} tells no maximum draw, so no budget can be kept: {device.power_limit.why}"
            )
    for device in writable:
        if device.uuid in budget.safe_caps_w:
            check_range(device, mw(budget.safe_caps_w[device.uuid]), "safe cap")
    safe_w = watts(sum(safe_cap_mw(budget, device) for device in writable))
    uncapped_w = sum(budget.uncapped_w(device) for device in devices)
    least_w = safe_w + uncapped_w + budget.fixed_w
    if mw(budget.budget_w) < mw(least_w):  # to the milliwatt: sums of floats are off by less
        parts = f"{safe_w:g} W of safe caps + {budget.fixed_w:g} W fixed draw"
        if uncapped_w:
            parts += f" + {uncapped_w:g} W of devices that can't be capped"
        raise RefusedError(
            f"a budget of {budget.budget_w:g} W can't be kept: {parts} are {least_w:g} W; set at least that"
        )


def check_range(device: Device, limit_mw: int, what: str = "limit") -> None:
    """Refuse a limit that the device does not take.

    Raises:
        RefusedError: it is outside of the device's range, or a package's is not in whole watts.
    """
    if not mw(device.min_limit_w) <= limit_mw <= mw(device.max_limit_w):
        raise RefusedError(
            f"{device.label}: a {what} of {watts(limit_mw):g} W is outside of its range, "
            f"{device.min_limit_w:g} to {device.max_limit_w:g} W"
        )
    if device.kind is DeviceKind.CPU and limit_mw % 1000 and limit_mw != mw(device.max_limit_w):
        raise RefusedError(f"{device.label}: a {what} of {watts(limit_mw):g} W: of a CPU it must be in whole watts")
