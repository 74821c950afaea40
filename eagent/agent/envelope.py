"""What devices take of a budget's envelope, and the limits that a lease may ask of them. Pure."""

from __future__ import annotations

import math

from eagent.model import Budget, Device, DeviceKind
from eagent.wire import mw

WHOLE_W_MW = 1000  # RAPL keeps eighths of a watt or so: whole ones it keeps as they are


def safe_cap_w(device: Device, budget: Budget) -> float:
    """The limit that a device falls to when nobody governs it.

    Where the budget does not say, a GPU's least limit; a package keeps the limit that it had, and so is never slowed.
    """
    unsaid_w = device.max_limit_w if device.kind is DeviceKind.CPU else device.min_limit_w
    return budget.safe_caps_w.get(device.uuid, unsaid_w)


def uncapped_w(device: Device, budget: Budget) -> float:
    """What a device whose limit can't be set takes of the envelope: the most that it draws.

    A package is a part of the budget's fixed draw, unless the budget names it among its safe caps.
    """
    if device.kind is DeviceKind.CPU and device.uuid not in budget.safe_caps_w:
        return 0.0
    return device.max_limit_w


def limit_mw(device: Device, limit_w: float) -> int:
    """A limit as the hardware takes it, never above `limit_w`: of a package in whole watts, if it takes so few."""
    limit = math.floor(round(limit_w * 1000, 3))
    if device.kind is DeviceKind.CPU:
        return max(limit // WHOLE_W_MW * WHOLE_W_MW, min(limit, mw(device.min_limit_w)))
    return limit
