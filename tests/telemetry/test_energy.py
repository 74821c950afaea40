from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.model import Channel, Device, DeviceKind, Knob, Status
from eagent.telemetry.energy import Energy, Meter
from eagent.telemetry.fold import Fold

MS = 1_000_000
SECOND = 1_000_000_000
PERIOD = 100 * MS
GPU = Device("GPU-1", 0, "a GPU", "0000:07:00.0", 100.0, 400.0, 400.0, 0.025, 0.1, Knob(True))
PACKAGE = Device("CPU-0", 0, "a CPU", "", 0, 250.0, 250.0, 0.1, 0.001, Knob(False), kind=DeviceKind.CPU)

Power = Callable[[float], float]  # true watts at a second

INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-10, 10**6)


def steady(power_w: float) -> Power:
    return lambda _: power_w


def feed(
    meter: Meter, power_w: Power, begin_s: float, end_s: float, *, counted_j: float = 0.0, only: str = ""
) -> float:
    """Refreshes of a board that draws `power_w`, read 3 ms later. Returns what its counter stands at."""
    time_ns = round(begin_s * SECOND)
    while time_ns <= round(end_s * SECOND):
        if only != "power":
            meter.add(time_ns + 3 * MS, round(counted_j * 1000) % 2**64, Channel.ENERGY_MJ, Status.OK, 3 * MS)
        if only != "counter":
            reading_mw = round(power_w(time_ns / SECOND - 0.01) * 1000)
            meter.add(time_ns + 3 * MS, reading_mw, Channel.POWER_INSTANT_MW, Status.OK, 3 * MS)
        parts_w = [power_w((time_ns + (i + 0.5) * PERIOD / 100) / SECOND) for i in range(100)]
        counted_j += sum(parts_w) / 100 * PERIOD / SECOND
        time_ns += PERIOD
    return counted_j


def at(second: float) -> int:
    return round(second * SECOND)


def covers(energy: Energy, truth_j: float) -> bool:
    return energy.energy_j is not None and abs(energy.energy_j - truth_j) <= energy.half_width_j


@pytest.mark.parametrize(("only", "source"), [("", "counter"), ("power", "power")])
def test_steady_power_gives_its_joules_by_either_source(only: str, source: str) -> None:
    meter = Meter(GPU)
    feed(meter, steady(300), 1, 21, only=only)
    energy = meter.energy(at(2.05), at(12.05))
    assert energy.source == source
    assert energy.energy_j == pytest.approx(3000, rel=1e-3)
    assert covers(energy, 3000)
    assert 0 < energy.half_width_j < 5
    assert energy.flags == ()


def test_a_board_without_a_counter_is_less_sure_of_its_gain() -> None:
    counter, power = Meter(GPU), Meter(GPU)
    feed(counter, steady(300), 1, 21)
    feed(power, steady(300), 1, 21, only="power")
    assert counter.energy(at(5), at(15)).gain_share == 0.01
    assert power.energy(at(5), at(15)).gain_share == pytest.approx(math.hypot(0.13, 24 / 300), rel=0.01)


@given(step_s=st.floats(4.0, 5.0), low_w=st.floats(50, 150), high_w=st.floats(200, 400), edge_s=st.floats(4.0, 5.0))
@settings(max_examples=60, deadline=None)
def test_a_step_between_two_refreshes_is_placed_where_it_was(
    step_s: float, low_w: float, high_w: float, edge_s: float
) -> None:
    meter = Meter(GPU)
    feed(meter, lambda s: high_w if s >= step_s else low_w, 1, 9)
    truth_j = low_w * max(0, step_s - edge_s) + high_w * (8.05 - max(step_s, edge_s))
    energy = meter.energy(at(edge_s), at(8.05))
    assert energy.energy_j == pytest.approx(truth_j, abs=0.02 * high_w * 0.1 + 0.01)


def test_what_nobody_saw_is_no_number() -> None:
    meter = Meter(GPU)
    feed(meter, steady(300), 1, 6)
    energy = meter.energy(at(100), at(110))
    assert energy.energy_j is None
    assert energy.flags == ("gap",)
    assert Meter(GPU).energy(0, SECOND).energy_j is None


def test_a_window_of_no_length_draws_nothing() -> None:
    assert Meter(GPU).energy(at(3), at(3)).energy_j == 0


def test_a_pause_in_reading_is_bridged_by_the_counter_and_widens_edges_that_lie_in_it() -> None:
    meter = Meter(GPU)
    counted_j = feed(meter, steady(300), 1, 11)
    feed(meter, steady(300), 31, 41, counted_j=counted_j + 300 * 19.9)
    around = meter.energy(at(5), at(35))
    assert covers(around, 9000)
    assert around.half_width_j < 5
    assert around.flags == ()
    inside = meter.energy(at(20), at(35))
    assert covers(inside, 4500)
    assert inside.half_width_j > 1000
    assert inside.flags == ("gap",)


def test_without_a_counter_a_pause_is_unknown_and_told() -> None:
    meter = Meter(GPU)
    feed(meter, steady(300), 1, 11, only="power")
    feed(meter, steady(300), 16, 26, only="power")
    energy = meter.energy(at(2), at(24))
    assert energy.flags == ("gap",)
    assert covers(energy, 22 * 300)
    assert energy.half_width_j > 1000
    assert meter.energy(at(11), at(16)).energy_j is None


def test_a_reset_keeps_what_is_known_on_both_sides() -> None:
    meter = Meter(GPU)
    feed(meter, steady(300), 1, 11, counted_j=5_000_000)
    feed(meter, steady(300), 13, 23, counted_j=100)
    energy = meter.energy(at(5), at(20))
    assert energy.flags == ("reset",)
    assert covers(energy, 4500)
    assert energy.half_width_j < 1000
    assert meter.energy(at(15), at(20)).flags == ()


@given(begin_mj=st.integers(0, 2**64 - 1), drops=st.lists(st.booleans(), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_no_wrap_or_reset_makes_joules_negative_or_more_than_a_board_draws(begin_mj: int, drops: list[bool]) -> None:
    meter, now_s, counted_j = Meter(GPU), 1.0, begin_mj / 1000
    for drop in drops:
        counted_j = feed(meter, steady(250), now_s, now_s + 5, counted_j=0.0 if drop else counted_j)
        now_s += 5.1
    for begin_s, end_s in ((2.0, now_s - 1), (3.3, 4.4), (now_s - 3, now_s - 0.7)):
        energy = meter.energy(at(begin_s), at(end_s))
        assert energy.energy_j is not None
        assert 0 <= energy.energy_j <= 1.2 * 250 * (end_s - begin_s)


def test_an_idle_board_that_is_read_once_a_second_has_windows_too() -> None:
    meter = Meter(GPU)
    for second in range(1, 30):
        meter.add(at(second), second * 75_000, Channel.ENERGY_MJ, Status.OK, -1)
    assert meter.resolved_until_ns() > at(28)
    energy = meter.energy(at(5.5), at(20.5))
    assert covers(energy, 75 * 15)
    assert 0 < energy.half_width_j < 15


def test_a_window_is_resolved_when_what_follows_its_end_has_been_seen() -> None:
    meter = Meter(GPU)
    feed(meter, steady(300), 1, 11)
    assert meter.resolved_until_ns() == at(10.9)
    assert Meter(GPU).resolved_until_ns() == 0


def test_a_zero_reading_is_none() -> None:
    meter = Meter(GPU)
    feed(meter, steady(300), 1, 11, only="power")
    meter.add(at(5.55), 0, Channel.POWER_INSTANT_MW, Status.OK, 0)
    assert covers(meter.energy(at(3), at(9)), 1800)


def test_duplicates_and_failed_reads_change_nothing() -> None:
    plain, disturbed = Meter(GPU), Meter(GPU)
    feed(plain, steady(300), 1, 11)
    counted_j = feed(disturbed, steady(300), 1, 6)
    disturbed.add(at(6.01), round(counted_j * 1000), Channel.ENERGY_MJ, Status.SAME, 10 * MS)
    disturbed.add(at(6.02), 0, Channel.ENERGY_MJ, Status.TIMED_OUT, -1)
    feed(disturbed, steady(300), 6.1, 11, counted_j=counted_j)
    assert disturbed.energy(at(3), at(9)) == plain.energy(at(3), at(9))


def test_a_counter_and_power_that_contradict_each_other_for_long_are_told() -> None:
    meter = Meter(GPU)
    feed(meter, lambda s: 300.0 + s % 1, 1, 120, only="counter")
    wrong = Meter(GPU)
    counted_j = 0.0
    for i in range(1200):
        now_ns = at(1) + i * PERIOD
        wrong.add(now_ns, round(counted_j * 1000), Channel.ENERGY_MJ, Status.OK, 0)
        wrong.add(now_ns, 150_000 + i % 7, Channel.POWER_INSTANT_MW, Status.OK, 0)
        counted_j += 30.0
    assert wrong.flags(at(120.9)) == ("disagreement",)
    assert wrong.energy(at(90), at(110)).flags == ("disagreement",)
    assert meter.flags(at(120.9)) == ()


def test_a_sensor_that_falls_silent_is_a_gap_now() -> None:
    meter = Meter(GPU)
    feed(meter, steady(300), 1, 11)
    assert meter.flags(at(11.1)) == ()
    assert meter.flags(at(20)) == ("gap",)


def test_a_stuck_power_sensor_without_a_counter_makes_no_joules() -> None:
    meter = Meter(GPU)
    for i in range(600):
        now_ns = at(1) + i * PERIOD
        meter.add(now_ns, 46_190, Channel.POWER_INSTANT_MW, Status.SAME if i else Status.OK, -1)
        if i % 10 == 0:
            meter.add(now_ns, 0 if i < 200 else 99, Channel.GPU_UTILISATION_PCT, Status.OK, -1)
    assert "stuck" in meter.flags(at(60))
    energy = meter.energy(at(30), at(50))
    assert energy.energy_j is None
    assert "stuck" in energy.flags


def test_the_buffer_fills_in_what_the_sensor_does_not_see() -> None:
    def square(second: float) -> float:
        return 300.0 if second * 10 % 1 < 0.5 else 100.0  # in step with the sensor, which reads its lower half for ever

    blind, filled = Meter(GPU), Meter(GPU)
    feed(blind, square, 1, 21, only="power")
    feed(filled, square, 1, 21, only="power")
    for i in range(1200):
        now_ns = at(1) + i * 16_700_000
        filled.add(now_ns, round(square(now_ns / SECOND) * 1000), Channel.POWER_SAMPLE_MW, Status.OK, 0)
    assert abs((blind.energy(at(5), at(15)).energy_j or 0) - 2000) > 500
    energy = filled.energy(at(5), at(15))
    assert energy.flags == ("aliasing",)
    assert covers(energy, 2000)


def test_a_package_counts_without_a_sensor_of_its_own() -> None:
    meter = Meter(PACKAGE)
    for i in range(100):
        meter.add(at(1) + i * PERIOD, i * 20_000, Channel.ENERGY_MJ, Status.OK, -1)
    energy = meter.energy(at(2.05), at(8.05))
    assert covers(energy, 1200)
    assert energy.half_width_j < 2
    assert energy.gain_share == 0.05


@given(st.lists(st.tuples(st.integers(1, 2**31), st.sampled_from(Channel), st.sampled_from(Status), INT64, INT64)))
def test_no_number_that_a_driver_makes_up_ends_the_agent(
    made_up: list[tuple[int, Channel, Status, int, int]],
) -> None:
    meter, fold, now_ns = Meter(GPU), Fold([GPU]), 0
    for later_ns, channel, status, value, age_ns in made_up:
        now_ns += later_ns
        meter.add(now_ns, value, channel, status, age_ns)
        fold.add([(now_ns, value, 0, channel, status, age_ns)])
        state = fold.states(now_ns)[0]
        assert not state.power_w.ok or 0 < (state.power_w.value or 0) <= 100_000
    meter.energy(0, now_ns)
