"""How power follows a load's edge, and heat the power."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eagent.errors import InputError
from eagent.sim.workload import Square

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

STEP_S = 0.0001
GEMM = Square(period_s=1e5, duty=1.0)
UNCAPPED = Square(period_s=1e5, duty=1.0, compute=0.5)
COLD = {"leak_w_per_k": 0.0}


def rise(host: Host, seconds: float) -> list[float]:
    """True watts every 0.1 ms from the start of a load, which begins with a tick."""
    UNCAPPED.start(host, [0], at_s=host.time_s)
    start_s, watts = host.time_s, []
    for tick in range(round(seconds / 0.005)):
        host.advance(start_s + (tick + 1) * 0.005)
        watts += [host.power_true_w(0, start_s + tick * 0.005 + i * STEP_S) for i in range(50)]
    return watts


def rise_time_s(watts: list[float]) -> float:
    low, high = watts[0], watts[-1]
    over = [next(i for i, w in enumerate(watts) if w >= low + share * (high - low)) for share in (0.1, 0.9)]
    return (over[1] - over[0]) * STEP_S


@pytest.mark.parametrize("rise_s", [0.0008, 0.02, 0.15])
def test_power_takes_the_models_time_from_10_to_90_percent(lab: Lab, rise_s: float) -> None:
    host = lab(power={**COLD, "rise_s": rise_s})
    assert rise_time_s(rise(host, 10 * rise_s + 0.02)) == pytest.approx(rise_s, rel=0.02, abs=0.0002)


def test_without_a_rise_time_power_is_there_at_once(lab: Lab) -> None:
    host = lab(power={**COLD, "rise_s": 0.0})
    watts = rise(host, 0.02)
    assert watts[0] == watts[10] > 200


def test_the_truth_between_ticks_integrates_to_the_energy_of_the_ticks(lab: Lab) -> None:
    host = lab(power={"rise_s": 0.15})
    watts = rise(host, 1.0)
    assert sum(watts) * STEP_S == pytest.approx(host.energy_true_j(0), rel=1e-3)


def test_the_truth_of_another_time_is_refused(lab: Lab) -> None:
    host = lab()
    host.advance(1.0)
    assert host.power_true_w(0) == 52.0
    for time_s in (0.99, 1.01):
        with pytest.raises(InputError):
            host.power_true_w(0, time_s)


def test_a_gpu_that_is_too_hot_slows_down_says_so_and_recovers(lab: Lab) -> None:
    host = lab(heat={"slow_c": 45.0, "stop_c": 90.0})
    GEMM.start(host, [0])
    host.advance(200.0)
    view = host.view(0)
    assert view["event_reasons"] & 0x20
    assert view["sm_clock_mhz"] < 1410
    assert view["temperature_c"] in (44, 45, 46)
    assert [view["slow_c"], view["stop_c"]] == [45, 90]
    host.stop_load()
    host.advance(400.0)
    Square(period_s=1e5, duty=0.0).start(host, [0])
    host.advance(401.0)
    assert (host.view(0)["event_reasons"], host.view(0)["sm_clock_mhz"]) == (0, 1410)


def test_a_board_that_has_cooled_down_begins_at_full_clock(lab: Lab) -> None:
    host = lab(heat={"slow_c": 45.0, "stop_c": 90.0})
    GEMM.start(host, [0])
    host.advance(200.0)
    assert host.view(0)["sm_clock_mhz"] < 1410
    host.stop_load()
    host.advance(7200.0)  # nearly all of which it slept
    Square(period_s=1e5, duty=0.0).start(host, [0])
    host.advance(7200.005)
    assert (host.view(0)["event_reasons"], host.view(0)["sm_clock_mhz"]) == (0, 1410)


def test_a_gpu_at_its_last_threshold_runs_at_its_lowest_clock(lab: Lab) -> None:
    host = lab(heat={"slow_c": 40.0, "stop_c": 40.0})
    GEMM.start(host, [0])
    seen = set()
    while host.time_s < 60 and (210, 0x48) not in seen:
        host.advance(host.time_s + 0.005)
        view = host.view(0)
        seen.add((view["sm_clock_mhz"], view["event_reasons"] & 0x68))
    assert (210, 0x48) in seen


def test_a_clock_lock_acts_after_a_time_of_the_models_median(lab: Lab) -> None:
    delays_s = []
    for seed in range(60):
        host = lab(seed=seed, clocks={"delay_s": [0.1, 0.5]})
        GEMM.start(host, [0])
        host.advance(1.0)
        host.lock_clocks(0, 210, 900)
        while host.view(0)["sm_clock_mhz"] != 900:
            host.advance(host.time_s + 0.005)
        delays_s.append(host.time_s - 1.0)
    delays_s.sort()
    assert 0.075 <= delays_s[30] <= 0.14
    assert delays_s[-1] > 0.2
    assert delays_s[-1] < 1.5
