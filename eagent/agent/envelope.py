"""What devices take of a budget's envelope, and the limits that a lease may ask of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from eagent.config import Config
from eagent.model import Device, DeviceKind
from eagent.wire import mw

WHOLE_W_MW = 1000  # RAPL keeps eighths of a watt or so: whole ones it keeps as they are


def limit_mw(device: Device, limit_w: float) -> int:
    """A limit as the hardware takes it, never above `limit_w`: of a package in whole watts, if it takes so few."""
    limit = math.floor(round(limit_w * 1000, 3))
    if device.kind is DeviceKind.CPU:
        return max(limit // WHOLE_W_MW * WHOLE_W_MW, min(limit, mw(device.min_limit_w)))
    return limit


def safe_caps_w(devices: Iterable[Device], config: Config, gpu_cap_w: float | None = None) -> dict[str, float]:
    """Per UUID, where each device that can be capped falls to when nobody governs it; `gpu_cap_w` comes first.

    What is neither asked for nor configured is the least of a GPU, and of a package the limit that it had.
    """
    gpu_cap_w = config.safe_cap_w if gpu_cap_w is None else gpu_cap_w
    caps_w = {}
    for device in devices:
        if device.power_limit.writable:
            wished_w = config.cpu_safe_cap_w if device.kind is DeviceKind.CPU else gpu_cap_w
            unsaid_w = device.max_limit_w if device.kind is DeviceKind.CPU else device.min_limit_w
            caps_w[device.uuid] = unsaid_w if wished_w is None else wished_w
    return caps_w
