from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.envelope import limit_mw, safe_cap_w, uncapped_w
from eagent.model import Budget, Device, Knob


@pytest.fixture(scope="module")
def gpu(new_device: Any) -> Device:
    made: Device = new_device(0, writable=False)
    return made


@pytest.fixture(scope="module")
def package(new_package: Any) -> Device:
    made: Device = new_package(0, power_limit=Knob(False, "read-only"))
    return made


def test_a_safe_cap_is_what_the_budget_says(gpu: Device, package: Device) -> None:
    budget = Budget(1000, 0, {gpu.uuid: 150, package.uuid: 140})
    assert (safe_cap_w(gpu, budget), safe_cap_w(package, budget)) == (150, 140)


def test_without_a_word_of_the_budget_a_gpu_falls_to_its_least_and_a_package_keeps_its_most(
    gpu: Device, package: Device
) -> None:
    budget = Budget(1000, 0, {})
    assert (safe_cap_w(gpu, budget), safe_cap_w(package, budget)) == (100, 250)


def test_what_cannot_be_capped_counts_at_its_most_but_a_package_in_the_fixed_draw(gpu: Device, package: Device) -> None:
    budget = Budget(1000, 0, {})
    assert (uncapped_w(gpu, budget), uncapped_w(package, budget)) == (400, 0)
    assert uncapped_w(package, replace(budget, safe_caps_w={package.uuid: 250})) == 250


@given(st.floats(125, 250))
def test_a_limit_is_never_above_what_was_asked_for(gpu: Device, package: Device, limit_w: float) -> None:
    assert limit_w * 1000 - 1 < limit_mw(gpu, limit_w) <= limit_w * 1000 + 0.0005
    assert limit_w * 1000 - 1000 < limit_mw(package, limit_w) <= limit_w * 1000 + 0.0005
    assert limit_mw(package, limit_w) % 1000 == 0
