"""What devices take of a budget's envelope, and the limits that a lease may ask of them. Pure."""

from __future__ import annotations

import math

from eagent.model import Device, DeviceKind
from eagent.wire import mw

WHOLE_W_MW = 1000  # RAPL keeps eighths of a watt or so: whole ones it keeps as they are


def limit_mw(device: Device, limit_w: float) -> int:
    """A limit as the hardware takes it, never above `limit_w`: of a package in whole watts, if it takes so few."""
    limit = math.floor(round(limit_w * 1000, 3))
    if device.kind is DeviceKind.CPU:
        return max(limit // WHOLE_W_MW * WHOLE_W_MW, min(limit, mw(device.min_limit_w)))
    return limit
