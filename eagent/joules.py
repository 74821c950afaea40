"""What a window drew, as the agent answers it: joules per device with an error bar, and why where there are none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from eagent.errors import EagentError


@dataclass(frozen=True, slots=True)
class DeviceJoules:
    """One device over one window. The joules are the board's, whoever else used it.

    In 95 of 100 windows the truth as the device's own sensor would have it lies within `energy_j` +- `half_width_j`.
    The constant error of the board's sensor comes on top: 95 % of boards err by no more than `gain_j`.
    """

    device: str  # as people type it: gpu0
    uuid: str
    energy_j: float | None  # None: `why` says why
    half_width_j: float
    gain_j: float
    source: str  # "counter" or "power"
    flags: tuple[str, ...]  # of "stuck", "aliasing", "disagreement", "gap", "reset"
    others: int  # processes that held the device, too, and are not the caller's
    why: str = ""


@dataclass(frozen=True, slots=True)
class Joules:
    """One window over all devices that the caller's processes held."""

    devices: tuple[DeviceJoules, ...] = ()
    simulated: bool = False  # no hardware is behind the numbers
    why: str = ""  # there is no `energy_j`

    @property
    def energy_j(self) -> float | None:
        """The sum; None where one of the devices has none, because a part is no sum."""
        if self.why:
            return None
        return math.fsum(device.energy_j for device in self.devices if device.energy_j is not None)

    @property
    def half_width_j(self) -> float | None:
        """95 %: boards' sensors publish at times of their own, so their errors add as squares."""
        return None if self.why else math.hypot(*(device.half_width_j for device in self.devices))

    @property
    def gain_j(self) -> float | None:
        """The boards' own errors, added up: those of one make can lie on one side."""
        return None if self.why else math.fsum(device.gain_j for device in self.devices)

    @property
    def flags(self) -> tuple[str, ...]:
        """What is doubtful about any of the devices."""
        return tuple(sorted({flag for device in self.devices for flag in device.flags}))

    @property
    def others(self) -> int:
        """The most processes of others that held one of the devices."""
        return max((device.others for device in self.devices), default=0)


def parse(answer: dict[str, Any], count: int) -> list[Joules]:
    """The agent's answer to a request for `count` windows.

    Raises:
        EagentError: it is none.
    """
    try:
        simulated = bool(answer["simulated"])
        windows = [_window(each, simulated) for each in answer["windows"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        windows = []
    if len(windows) != count:
        raise EagentError("the agent's answer cannot be read: is it another version of eagent?")
    return windows


def _window(told: dict[str, Any], simulated: bool) -> Joules:
    devices = tuple(_device(each) for each in told["devices"])
    why = str(told["why"] or "") or "; ".join(f"{each.device}: {each.why}" for each in devices if each.why)
    if not devices and not why:
        raise ValueError("neither joules nor a reason")
    return Joules(devices, simulated, why)


def _device(told: dict[str, Any]) -> DeviceJoules:
    energy_j = told["energy_j"]
    return DeviceJoules(
        device=str(told["device"]),
        uuid=str(told["uuid"]),
        energy_j=None if energy_j is None else float(energy_j),
        half_width_j=float(told["half_width_j"]),
        gain_j=float(told["gain_j"]),
        source=str(told["source"]),
        flags=tuple(str(flag) for flag in told["flags"]),
        others=int(told["others"]),
        why=str(told["why"] or "") or ("" if energy_j is not None else "too little is known"),
    )
