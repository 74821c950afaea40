"""GPUs behind NVML: what they are, and which of their knobs can be written here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eagent.hardware._loop import Loop
from eagent.model import Device, Knob

if TYPE_CHECKING:
    from eagent.hardware._loop import Facts


@dataclass(frozen=True, slots=True)
class Sensor:
    """How a generation's instant power field works: each reading is the mean of the last `window_s`."""

    period_s: float
    window_s: float


# Measured per generation by Yang, Adamek and Armour, "Part-time Power Measurements" (arXiv 2312.02741). The keys are
# NVML's architecture numbers. A generation that is not here is taken for the slowest that is known.
SENSORS = {
    4: Sensor(0.100, 0.100),  # Pascal consumer boards; the P100 is as fast as Volta
    5: Sensor(0.020, 0.010),  # Volta
    6: Sensor(0.100, 0.100),  # Turing
    7: Sensor(0.100, 0.025),  # Ampere: A100; consumer boards see all of the time
    9: Sensor(0.100, 0.025),  # Hopper
}
UNKNOWN_SENSOR = Sensor(0.100, 0.100)


def describe(loop: Loop, i: int) -> tuple[Device, Facts]:
    """One device, without knowing yet whether its limit can be written.

    Returns:
        The device, its `power_limit` writable unless the driver tells no limits at all, and the driver's facts.

    Raises:
        DriverError: the driver does not answer for it.
    """
    facts = loop.describe(i)
    low, high, current = facts["min_limit_mw"], facts["max_limit_mw"], facts["limit_mw"]
    known = low is not None and high is not None and current is not None
    sensor = SENSORS.get(facts["architecture"] or 0, UNKNOWN_SENSOR)
    device = Device(
        uuid=facts["uuid"],
        index=loop.numbers[i],
        name=facts["name"],
        pci_bus_id=facts["pci_bus_id"],
        min_limit_w=(low or 0) / 1000,
        max_limit_w=(high or 0) / 1000,
        default_limit_w=(facts["default_limit_mw"] or high or 0) / 1000,
        power_window_s=sensor.window_s,
        power_period_s=sensor.period_s,
        power_limit=Knob(True) if known else Knob(False, "the device has no power limit that can be read"),
        clocks_mhz=tuple(facts["clocks_mhz"]),
    )
    return device, facts
