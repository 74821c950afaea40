"""What the sensors show, against the truth that they measure."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from eagent.errors import InputError
from eagent.sim import _maker, model
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


def test_a_reading_is_the_mean_of_25_ms_up_to_5_ms_before_it(lab: Lab) -> None:
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
        (watts, (energy_at(time_s - 0.005) - energy_at(time_s - 0.03)) / 0.025)
        for time_s, watts in readings
        if time_s > 0.05
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


def looks(seconds: float) -> Iterator[None]:
    """As many as find room in that time."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        yield


def test_by_the_wall_clock_a_publication_keeps_its_time_however_often_it_is_looked_at(lab: Lab) -> None:
    host = lab(clock="wall", sensor={"noise_w": 0.0})
    Square(period_s=0.03).start(host, [0])
    times: dict[int, set[int]] = {}
    for _ in looks(0.4):
        view = host.view(0)
        times.setdefault(view["energy_mj"], set()).add(view["sensor_time_us"])
    assert len(times) > 2
    assert all(len(different) == 1 for different in times.values()), times


def test_by_the_wall_clock_no_sample_is_handed_out_twice(lab: Lab) -> None:
    host = lab(clock="wall")
    Square(period_s=0.03).start(host, [0])
    last_us, times = 0, []
    for _ in looks(0.4):
        fresh = host.samples(0, last_us)
        times += [sample["time_us"] for sample in fresh]
        last_us = times[-1] if times else 0
    gaps = [late - early for early, late in itertools.pairwise(times)]
    assert len(gaps) > 10
    assert min(gaps) >= 16_699


# --- The longer average, and the sample buffer ---

AVERAGING = {**PERFECT, "average_window_s": 1.0, "plain": "average"}


@pytest.mark.parametrize("duty", [0.3, None], ids=["busy", "asleep"])
def test_the_average_is_the_mean_of_the_second_before_its_publication(lab: Lab, duty: float | None) -> None:
    host = lab(sensor=AVERAGING)
    if duty is not None:
        Square(period_s=0.7, duty=duty).start(host, [0], at_s=3.0)
    energies = [0.0]
    for tick in range(1, 1600):
        host.advance(tick * 0.005)
        energies.append(host.energy_true_j(0))
        if tick < 220:
            continue
        view = host.view(0)
        end, share = divmod((view["sensor_time_us"] * 1e-6 - 1767225600) / 0.005, 1)
        last = energies[int(end)] + share * (energies[min(int(end) + 1, tick)] - energies[int(end)])
        first = energies[int(end) - 200] + share * (energies[int(end) - 199] - energies[int(end) - 200])
        # Between publications the truth is taken for a straight line: up to a tenth of a square wave's height off.
        assert view["power_average_mw"] * 1e-3 == pytest.approx(last - first, abs=35 if duty else 0.01)
        assert view["power_plain_mw"] == view["power_average_mw"]


def test_the_average_of_a_host_just_made_reaches_back_to_when_it_was_idle(lab: Lab) -> None:
    host = lab(sensor=AVERAGING, power={"leak_w_per_k": 0.0, "rise_s": 0.0})
    Square(period_s=1e5, duty=1.0, compute=0.5).start(host, [0])
    host.advance(0.01)
    busy_w = host.power_true_w(0)
    for tick in range(20, 300):
        host.advance(tick * 0.005)
        view = host.view(0)
        share = min(1.0, view["sensor_time_us"] * 1e-6 - 1767225600 - 0.005)
        assert view["power_average_mw"] * 1e-3 == pytest.approx(52.0 + (busy_w - 52.0) * share, abs=1.0)


def test_an_average_over_more_publications_than_are_remembered_is_refused(lab: Lab) -> None:
    with pytest.raises(InputError):
        lab(sensor={**AVERAGING, "period_s": 0.02, "window_s": 0.01})


def test_a_board_without_an_average_says_so(lab: Lab) -> None:
    view = lab().view(0)
    assert (view["has_average"], view["power_plain_mw"]) == (0, view["power_instant_mw"])


def test_the_sample_buffer_holds_the_last_two_seconds_of_power_clock_and_use(lab: Lab) -> None:
    host = lab(sensor=PERFECT)
    Square(period_s=1.0, duty=0.5, compute=0.6).start(host, [0], at_s=2.0)
    host.advance(4.5)
    samples = host.samples(0)
    assert len(samples) == 120
    assert 1.95 < (samples[-1]["time_us"] - samples[0]["time_us"]) / 1e6 < 2.0
    busy = [sample for sample in samples if sample["busy_pct"]]
    assert 0.45 < len(busy) / 120 < 0.55
    assert all(sample["power_mw"] > 240_000 and sample["clock_mhz"] == 1410 for sample in busy[1:])
    assert all(sample["power_mw"] < 120_000 for sample in samples if not sample["busy_pct"])
    middle = samples[60]["time_us"]
    assert host.samples(0, middle) == samples[61:]


def test_the_sample_buffer_of_a_sleeping_gpu_is_idle_and_begins_with_its_boot(lab: Lab) -> None:
    host = lab(sensor={**PERFECT, "sample_period_s": 0.02})
    host.advance(1.0)
    assert [sample["power_mw"] for sample in host.samples(0)] == [52_000] * 50
    Square(duty=1.0).start(host, [0], at_s=1.0)
    host.advance(2.0)
    assert [sample["power_mw"] > 60_000 for sample in host.samples(0)] == [False] * 50 + [True] * 50
    host.stop_load()
    host.advance(10.0)
    assert [sample["power_mw"] for sample in host.samples(0)] == [52_000] * 120


def test_samples_stay_what_they_were_when_a_gpu_that_slept_wakes(lab: Lab) -> None:
    host = lab(sensor=PERFECT)
    for begin_s in (10.0, 20.0, 21.5):
        host.advance(begin_s)
        Square(duty=1.0).start(host, [0])
        host.advance(begin_s + 0.2)
        host.stop_load()
        host.advance(begin_s + 1.45)  # it sleeps since a moment
        before = {sample["time_us"]: sample for sample in host.samples(0)}
        Square(duty=1.0).start(host, [0])
        host.advance(begin_s + 1.5)
        after = {sample["time_us"]: sample for sample in host.samples(0)}
        both = before.keys() & after.keys()
        assert len(both) > 100
        assert [after[time_us] for time_us in both] == [before[time_us] for time_us in both]
        host.stop_load()


# --- A recorded truth ---


def test_a_recorded_truth_is_sensed_as_the_plant_senses_its_own(lab: Lab) -> None:
    numbers = {"gain": [1.03, 1.03], "offset_w": [-2.0, -2.0], "noise_w": 0.0, "jitter": 0.0, "average_window_s": 1.0}
    host = lab(sensor=numbers)
    Square(period_s=0.37, duty=0.4).start(host, [0])
    energies = [0.0]
    seen: dict[float, tuple[float, float]] = {}
    for tick in range(1, 1000):
        host.advance(tick * 0.005)
        energies.append(host.energy_true_j(0))
        view = host.view(0)
        seen[round(view["sensor_time_us"] * 1e-6 - 1767225600, 5)] = (
            view["power_instant_mw"],
            view["power_average_mw"],
        )
    watts = [(late - early) / 0.005 for early, late in itertools.pairwise(energies)]
    shipped = model.load("a100-sxm4-80gb")
    description = {**shipped, "sensor": {**shipped["sensor"], **numbers}}
    phase_s = max(seen) % 0.1
    readings = _maker.sense(description, {"gain": 1.03, "offset_w": -2.0, "phase_s": phase_s}, watts, 0.005)
    assert len(readings) > 35
    for time_s, instant_w, average_w in readings:
        assert average_w is not None
        if time_s < 4.9:
            assert instant_w == pytest.approx(seen[round(time_s, 5)][0] * 1e-3, abs=0.1)
            assert average_w == pytest.approx(seen[round(time_s, 5)][1] * 1e-3, abs=20.0)


def test_a_truth_without_length_or_step_is_refused() -> None:
    shipped = model.load("a100-sxm4-80gb")
    assert _maker.sense(shipped, 1, [], 0.001) == []
    with pytest.raises(InputError):
        _maker.sense(shipped, 1, [100.0] * 1000, -1.0)
