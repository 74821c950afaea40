"""Blocks are made of counters that may do anything, and noise is what blocks differ by."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.policy.search.trial import Look, Noise, between

looks = st.builds(
    Look, units=st.floats(), at_ns=st.integers(0, 10**12), joules=st.floats(), energy_ns=st.integers(0, 10**12)
)


@given(looks, looks)
def test_a_block_has_work_time_and_energy_or_there_is_none(begin: Look, end: Look) -> None:
    block = between(begin, end)
    if block is not None:
        assert block.seconds > 0
        assert block.energy_s > 0
        assert block.rate >= 0
        assert block.power_w > 0


def test_noise_is_found_and_a_single_outlier_hardly_counts() -> None:
    rng, noise = random.Random(1), Noise(3 * 0.05**2)
    for _ in range(150):
        noise = noise.add(rng.gauss(0, 0.01), 3.0)
    assert noise.over(3.0) == pytest.approx(0.01, rel=0.25)
    assert noise.add(1.0, 3.0).over(3.0) < 1.1 * noise.over(3.0)


def test_over_a_longer_time_it_is_less() -> None:
    assert Noise(3 * 0.02**2).over(100.0) == pytest.approx(0.002)
