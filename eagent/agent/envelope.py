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
    """Per UUID, where each device falls to when nobody governs it; `gpu_cap_w` comes first.

    What is neither asked for nor configured is the least of a GPU, and of a package the limit that it had. A GPU whose
    limit can't be set now is named, too: it may be detached, or refused for a while. A package is not, because one that
    is named counts in the budget.
    """
    gpu_cap_w = config.safe_cap_w if gpu_cap_w is None else gpu_cap_w
    caps_w = {}
    for device in devices:
        wished_w = config.cpu_safe_cap_w if device.kind is DeviceKind.CPU else gpu_cap_w
        unsaid_w = device.max_limit_w if device.kind is DeviceKind.CPU else device.min_limit_w
        cap_w = unsaid_w if wished_w is None else wished_w
        if device.power_limit.writable:
            caps_w[device.uuid] = cap_w
        elif device.kind is DeviceKind.GPU and device.max_limit_w:
            caps_w[device.uuid] = min(max(cap_w, device.min_limit_w), device.max_limit_w)
    return caps_w
