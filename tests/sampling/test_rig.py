"""How a window's account is told: from the simulator's counts at both its ends."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sampling.rig import GPUS, Account, between, described, mean_call_s, precise_cpu_s, quantile, rig

KINDS = ("power", "clock", "utilisation", "memory", "temperature", "other", "set")
PUBLISHED_S = dict.fromkeys(KINDS, 1e-5)


def account(time_s: float, last: int, ages: list[int], power: tuple[int, float, float], cpu_s: float) -> Account:
    """Of one GPU and one process."""
    calls: dict[str, Any] = dict.fromkeys(KINDS, (0, 0.0, 0.0))
    shown = ({"published": last, "last": last, "ages": ages, "age_s": 0.0},)
    return Account(time_s, shown, {**calls, "power": power}, {7: cpu_s})


def test_a_windows_shares_are_differences_over_its_length() -> None:
    before = account(10.0, 100, [5, 0, 0], (1000, 1.0, 0.5), 3.0)
    seen = between(before, account(12.0, 110, [5, 8, 0], (1400, 1.3, 0.502), 3.1), PUBLISHED_S)
    assert (seen.refreshes, seen.caught) == (10, 0.8)
    assert 1 < seen.age_p95_ms < 2
    assert seen.power == seen.nvml == pytest.approx((400 * 1e-5 + 0.002) / 2)
    assert seen.held == pytest.approx(0.15)
    assert seen.cpu == pytest.approx(0.05)
    assert seen.calls == 400


def test_who_saw_nothing_caught_nothing() -> None:
    still = account(10.0, 100, [5, 0, 0], (1000, 1.0, 0.5), 3.0)
    seen = between(still, account(11.0, 100, [5, 0, 0], (1000, 1.0, 0.5), 3.0), PUBLISHED_S)
    assert (seen.refreshes, seen.caught, seen.age_p95_ms, seen.nvml) == (0, 0.0, 0.0, 0.0)


@given(values=st.lists(st.floats(0, 19.99), min_size=1, max_size=200), share=st.floats(0.01, 1.0))
def test_a_quantile_of_counts_is_within_one_of_the_values(values: list[float], share: float) -> None:
    counts = [sum(1 for value in values if int(value) == place) for place in range(20)]
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    assert abs(quantile(counts, share) - exact) <= 1.0


@pytest.mark.parametrize("slowness", [1.0, 10.0])
def test_a_slower_driver_is_the_same_host_with_longer_calls(slowness: float) -> None:
    calls = described("a100-sxm4-80gb", slowness).gpu.numbers()["calls"]
    took_s = mean_call_s(calls)
    assert set(took_s) == set(KINDS)
    assert took_s["power"] == pytest.approx(slowness * 2.2e-6, rel=0.05)
    assert took_s["temperature"] == took_s["other"]
    assert took_s["set"] == pytest.approx(slowness * 3.5e-3)


def test_the_kernels_clock_of_a_process_is_that_which_it_sees_itself() -> None:
    before_s = time.process_time()
    seen_s = precise_cpu_s(os.getpid())
    assert before_s <= seen_s <= time.process_time()


def test_all_gpus_of_the_host_have_work_and_it_is_gone_afterwards() -> None:
    with rig("v100-pcie-16gb") as rigged:
        assert sorted(gpu for load in rigged.plant.progress() for gpu in load["gpus"]) == list(range(GPUS))
        assert rigged.watch(0.01, os.getpid()).refreshes == 0
        place = rigged.made.path
    assert not place.exists()
