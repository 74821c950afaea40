"""What the sensors show, against the truth that they measure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from eagent.sim.workload import Square

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

PERFECT = {"gain": [1.0, 1.0], "offset_w": [0.0, 0.0], "noise_w": 0.0, "energy_gain": [1.0, 1.0]}


def publications(host: Host, seconds: float) -> list[tuple[float, float]]:
    """What a client sees that looks every 5 ms: (time of publication in seconds, watts)."""
    seen: list[tuple[float, float]] = []
    start_s = host.time_s
    for tick in range(1, round(seconds / 0.005)):
        host.advance(start_s + tick * 0.005)
        view = host.view(0)
        reading = (view["sensor_time_us"] * 1e-6 % 1e5, view["power_instant_mw"] * 1e-3)
        if not seen or seen[-1] != reading:
            seen.append(reading)
    return seen


@pytest.mark.parametrize("duty", [None, 0.5], ids=["asleep", "busy"])
def test_the_sensor_publishes_every_100_ms_give_or_take_a_few(lab: Lab, duty: float | None) -> None:
    host = lab()
    if duty is not None:
        Square(duty=duty).start(host, [0])
    times = [time_s for time_s, _ in publications(host, 20.0)]
    gaps = [late - early for early, late in itertools.pairwise(times)]
    assert 198 <= len(times) <= 202
    assert all(0.098 <= gap <= 0.102 for gap in gaps)
    assert len(set(gaps)) > 100


def test_the_phase_of_a_sensor_is_its_boards_own(lab: Lab) -> None:
    host = lab(gpus=8)
    assert len({host.view(gpu)["sensor_time_us"] for gpu in range(8)}) == 8


def test_a_reading_is_the_mean_of_the_25_ms_before_it(lab: Lab) -> None:
    host = lab(sensor=PERFECT)
    Square(period_s=0.17).start(host, [0])
    energies, readings = [host.energy_true_j(0)], []
    for tick in range(1, 1000):
        host.advance(tick * 0.005)
        energies.append(host.energy_true_j(0))
        view = host.view(0)
        readings.append((view["sensor_time_us"] * 1e-6 - 1767225600, view["power_instant_mw"] * 1e-3))

    def energy_at(time_s: float) -> float:
        tick, share = divmod(time_s / 0.005, 1)
        return energies[int(tick)] + share * (energies[int(tick) + 1] - energies[int(tick)])

    windows = [
        (watts, (energy_at(time_s) - energy_at(time_s - 0.025)) / 0.025) for time_s, watts in readings if time_s > 0.05
    ]
    assert all(read == pytest.approx(true, abs=0.2) for read, true in windows)
    assert max(read for read, _ in windows) - min(read for read, _ in windows) > 200


@pytest.mark.parametrize("duty", [None, 0.0, 1.0], ids=["asleep", "quiet", "steady"])
def test_no_two_readings_in_a_row_agree(lab: Lab, duty: float | None) -> None:
    host = lab(sensor={"noise_w": 0.0})
    if duty is not None:
        Square(period_s=1e5, duty=duty, compute=0.3).start(host, [0])
    watts = [reading for _, reading in publications(host, 10.0)]
    assert all(early != late for early, late in itertools.pairwise(watts))


def test_boards_differ_in_gain_and_offset_within_their_ranges(lab: Lab) -> None:
    host = lab(gpus=16, sensor={"noise_w": 0.0})
    host.advance(5.0)
    watts = [host.view(gpu)["power_instant_mw"] * 1e-3 for gpu in range(16)]
    assert all(52 * 0.97 - 2.01 <= reading <= 52 * 1.03 + 2.01 for reading in watts)
    assert max(watts) - min(watts) > 1


def test_the_energy_counter_follows_the_truth_within_a_percent_and_never_falls(lab: Lab) -> None:
    host = lab(gpus=4)
    Square(period_s=0.7).start(host, [0, 1], at_s=2.0)
    counters: list[tuple[int, ...]] = []
    for tick in range(1, 1200):
        if tick == 600:
            host.stop_load()
        host.advance(tick * 0.0113)
        counters.append(tuple(host.view(gpu)["energy_mj"] for gpu in range(4)))
    assert all(
        early <= late
        for before, after in itertools.pairwise(counters)
        for early, late in zip(before, after, strict=True)
    )
    host.advance(500.0)
    for gpu in range(4):
        assert host.view(gpu)["energy_mj"] * 1e-3 == pytest.approx(host.energy_true_j(gpu), rel=0.01)


def test_utilisation_is_the_share_of_the_last_second_in_which_a_kernel_ran(lab: Lab) -> None:
    host = lab()
    Square(period_s=0.1, duty=0.3, memory=0.5).start(host, [0], at_s=1.0)
    host.advance(5.0)
    view = host.view(0)
    assert (view["gpu_utilisation_pct"], view["memory_utilisation_pct"]) == (30, 15)
    host.stop_load()
    host.advance(6.1)
    assert host.view(0)["gpu_utilisation_pct"] == 0


def test_the_power_log_is_the_true_energy(lab: Lab) -> None:
    host = lab(gpus=2)
    Square(period_s=0.33).start(host, [1], at_s=0.73)
    host.advance(7.0)
    host.stop_load()
    host.advance(20.0)
    rows = host.power_log()
    assert len(rows) == 200
    for gpu in range(2):
        assert sum(row[gpu] for row in rows) * 0.1 == pytest.approx(host.energy_true_j(gpu))


def test_a_log_that_is_full_says_so(lab: Lab) -> None:
    host = lab()
    host.advance(14_400.0)
    before = host.full_logs
    host.advance(14_400.1)
    assert (before, host.full_logs) == ((), ("power",))
    assert len(host.power_log()) == 144_000
