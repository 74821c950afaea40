"""Devices and states that policies see, said in few words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eagent.model import NEVER, Device, DeviceState, Knob, Reading, Status


def _device(n: int, *, low: float = 100, high: float = 400, writable: bool = True) -> Device:
    return Device(f"GPU-{n:02}", n, "A100", f"00000000:{n:02X}:00.0", low, high, high, 0.025, 0.1, Knob(writable))


def _ok(value: float | None) -> Reading:
    return NEVER if value is None else Reading(value, Status.OK, "test", 1.0, 0.05)


def _state(
    device: Device,
    power_w: float | None,
    *,
    limit_w: float | None = None,
    capped: float | None = 0.0,
    prior_w: float | None = None,
) -> DeviceState:
    """A device that has drawn `power_w`, held down for `capped` of the time; None: nobody sees what it draws."""
    power = _ok(power_w)
    return DeviceState(
        device, power, power, power, limit_w=_ok(limit_w), capped_share=_ok(capped), prior_limit_w=prior_w
    )


@pytest.fixture(scope="session")
def gpus() -> Any:
    """Makers: `gpus.device(0)`, `gpus.state(device, 250.0, limit_w=300)`."""
    return SimpleNamespace(device=_device, state=_state, ok=_ok)
