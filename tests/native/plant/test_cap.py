"""The software power cap: where it holds the mean, how soon, how steadily."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from eagent.errors import InputError
from eagent.sim.workload import Square

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

GEMM = Square(period_s=1e5, duty=1.0)
STREAM = Square(period_s=1e5, duty=1.0, compute=0.4, memory=1.0, compute_fraction=0.05)


def second_means(host: Host, from_s: float, to_s: float) -> list[float]:
    """The mean watts of every whole second within the stretch, ten a second."""
    watts = [row[0] for row in host.power_log()[round(from_s * 10) : round(to_s * 10)]]
    return [sum(watts[i - 10 : i]) / 10 for i in range(10, len(watts) + 1)]


def tick_watts(host: Host, ticks: int) -> list[float]:
    """True watts of each of the next 5 ms."""
    watts, start_s = [], host.time_s
    for tick in range(1, ticks + 1):
        before = host.energy_true_j(0)
        host.advance(start_s + tick * 0.005)
        watts.append((host.energy_true_j(0) - before) / 0.005)
    return watts


@pytest.mark.parametrize("load", [GEMM, STREAM], ids=["gemm", "stream"])
@pytest.mark.parametrize("cap_w", [100, 125, 150, 175, 200])
@pytest.mark.parametrize("deep_idle_w", [52.0, 10.0], ids=["shipped", "steep"])
def test_a_binding_cap_holds_the_mean_just_below_the_limit(
    lab: Lab, load: Square, cap_w: float, deep_idle_w: float
) -> None:
    host = lab(power={"deep_idle_w": deep_idle_w})
    host.set_power_limit(0, cap_w)
    load.start(host, [0], at_s=1.0)
    host.advance(30.0)
    assert all(0.978 <= watts / cap_w <= 0.990 for watts in second_means(host, 4.0, 30.0))
    assert host.view(0)["event_reasons"] == 4


@pytest.mark.parametrize("cap_w", [100, 200, 300, 400])
def test_no_second_goes_far_beyond_the_limit_even_when_work_starts(lab: Lab, cap_w: float) -> None:
    host = lab()
    host.set_power_limit(0, cap_w)
    GEMM.start(host, [0], at_s=1.0)
    host.advance(10.0)
    assert max(second_means(host, 0.0, 10.0)) < 1.06 * cap_w


@pytest.mark.parametrize(("before_w", "after_w"), [(400, 300), (400, 150), (300, 100), (100, 250), (150, 180)])
def test_a_second_and_a_half_after_a_change_the_mean_is_at_the_new_limit(lab: Lab, before_w: int, after_w: int) -> None:
    host = lab()
    host.set_power_limit(0, before_w)
    GEMM.start(host, [0])
    host.advance(10.0)
    host.set_power_limit(0, after_w)
    host.advance(30.0)
    assert all(0.97 < watts / after_w < 1.0 for watts in second_means(host, 10.5, 30.0))
    assert all(0.978 <= watts / after_w <= 0.990 for watts in second_means(host, 13.0, 30.0))


def test_a_new_limit_acts_after_20_to_100_ms(lab: Lab) -> None:
    for seed in range(20):
        host = lab(seed=seed)
        GEMM.start(host, [0])
        host.advance(10.0)
        host.set_power_limit(0, 150.0)
        delay_s = 0.005 * next(tick for tick, watts in enumerate(tick_watts(host, 40)) if watts < 300)
        assert 0.02 <= delay_s <= 0.115  # and up to three ticks until the fast clamp has answered


@pytest.mark.parametrize("every_s", [0.005, 0.05])
def test_who_sets_a_limit_and_a_lock_more_often_than_they_act_is_obeyed_too(lab: Lab, every_s: float) -> None:
    slow = {"cap": {"delay_s": [0.2, 1.0]}, "clocks": {"delay_s": [0.1, 0.5]}}
    host = lab(gpus=2, **slow)
    GEMM.start(host, [0, 1])
    while host.time_s < 5.0:
        host.set_power_limit(0, 150.0)
        host.lock_clocks(1, 210, 900)
        host.advance(host.time_s + every_s)
    assert max(second_means(host, 3.0, 5.0)) < 150.0
    assert host.view(1)["sm_clock_mhz"] == 900


def test_a_limit_that_was_due_while_a_gpu_slept_is_held_until_the_next_one_acts(lab: Lab) -> None:
    host = lab(cap={"delay_s": [1.0, 1.0]})
    host.set_power_limit(0, 150.0)
    host.advance(10.0)
    host.set_power_limit(0, 160.0)
    GEMM.start(host, [0])
    assert max(tick_watts(host, 40)[10:]) < 250


def test_the_fast_clamp_answers_within_10_ms(lab: Lab) -> None:
    host = lab()
    host.set_power_limit(0, 150.0)
    GEMM.start(host, [0], at_s=1.0)
    host.advance(1.0)
    watts = tick_watts(host, 20)
    # The tick that oversteps leaves the next an edge to fall: 10 % of it, at a rise of 0.8 ms
    overshoot = [tick for tick, drawn in enumerate(watts) if drawn > 1.5 * 150]
    assert overshoot
    assert all(late - early != 1 for early, late in itertools.pairwise(overshoot))


def test_a_load_below_the_limit_is_left_alone(lab: Lab) -> None:
    host = lab()
    STREAM.start(host, [0])
    host.advance(5.0)
    view = host.view(0)
    assert (view["sm_clock_mhz"], view["event_reasons"]) == (1410, 0)


def test_a_clock_lock_below_what_the_cap_allows_is_no_power_cap(lab: Lab) -> None:
    host = lab()
    GEMM.start(host, [0])
    host.lock_clocks(0, 210, 1000)
    host.advance(5.0)
    view = host.view(0)
    assert (view["sm_clock_mhz"], view["event_reasons"]) == (990, 0)
    assert (view["locked_min_mhz"], view["locked_max_mhz"]) == (210, 1000)
    host.reset_clocks(0)
    host.advance(10.0)
    assert host.view(0)["event_reasons"] == 4
    assert [entry[1:4] for entry in host.lock_log()] == [(0, 210, 1000), (0, 0, 0)]


@pytest.mark.parametrize("watts", [-1.0, 0.0, 99.999, 400.001, 5e6, float("inf"), float("nan")])
def test_a_limit_outside_the_range_is_refused_and_changes_nothing(lab: Lab, watts: float) -> None:
    host = lab()
    with pytest.raises(InputError, match="outside what the device takes"):
        host.set_power_limit(0, watts)
    assert host.view(0)["limit_requested_mw"] == 400_000
    assert host.limit_log() == []


@pytest.mark.parametrize(("low", "high"), [(900, 600), (0, 900), (210, 1425)])
def test_clocks_outside_the_range_are_refused(lab: Lab, low: int, high: int) -> None:
    with pytest.raises(InputError, match="outside what the device takes"):
        lab().lock_clocks(0, low, high)


def test_every_set_is_in_the_log_also_one_that_changes_nothing(lab: Lab) -> None:
    host = lab(gpus=2)
    host.set_power_limit(1, 300.0)
    host.advance(1.25)
    host.set_power_limit(1, 300.0)
    assert [entry[:4] for entry in host.limit_log()] == [(0.0, 1, 400.0, 300.0), (1.25, 1, 300.0, 300.0)]
