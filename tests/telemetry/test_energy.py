from __future__ import annotations

import pytest

from eagent.model import Channel, Device, Knob, Status
from eagent.telemetry.energy import Energy, Meter

MS = 1_000_000
SECOND = 1_000_000_000
GPU = Device("GPU-1", 0, "a GPU", "0000:07:00.0", 100.0, 400.0, 400.0, 0.025, 0.1, Knob(True))


def fed(power_w: float, seconds: float, *, counter: bool = True, power: bool = True) -> Meter:
    """A meter that has seen steady power, refreshed every 100 ms, from second 1 on."""
    meter = Meter(GPU)
    for i in range(round(seconds * 10) + 1):
        now_ns = SECOND + i * 100 * MS
        if counter:
            meter.add(now_ns + 3 * MS, round(power_w * i * 100), Channel.ENERGY_MJ, Status.OK, 3 * MS)
        if power:
            meter.add(now_ns + 3 * MS, round(power_w * 1000), Channel.POWER_INSTANT_MW, Status.OK, 3 * MS)
    return meter


def covers(energy: Energy, truth_j: float) -> bool:
    return energy.energy_j is not None and abs(energy.energy_j - truth_j) <= energy.half_width_j


@pytest.mark.parametrize(("counter", "power", "source"), [(True, True, "counter"), (False, True, "power")])
def test_steady_power_gives_its_joules_by_either_source(counter: bool, power: bool, source: str) -> None:
    meter = fed(300.0, 20, counter=counter, power=power)
    energy = meter.energy(int(2.05 * SECOND), int(12.05 * SECOND))
    assert energy.source == source
    assert energy.energy_j == pytest.approx(3000, rel=1e-3)
    assert covers(energy, 3000)
    assert energy.half_width_j < 3
    assert energy.flags == ()


def test_what_nobody_saw_is_no_number() -> None:
    energy = fed(300.0, 5).energy(100 * SECOND, 110 * SECOND)
    assert energy.energy_j is None
    assert energy.flags == ("gap",)
    assert Meter(GPU).energy(0, SECOND).energy_j is None
