"""What a budget makes of devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eagent.model import Budget, Device, DeviceKind, Knob

NO = Knob(False, "read-only")


@pytest.fixture
def gpu() -> Device:
    return Device("GPU-1", 0, "GPU", "", 100, 400, 400, 0.025, 0.1, NO)


@pytest.fixture
def package() -> Device:
    return Device("CPU-0", 0, "CPU", "", 125, 250, 250, 0.1, 0.001, NO, kind=DeviceKind.CPU)


def test_a_safe_cap_is_what_the_budget_says(gpu: Device, package: Device) -> None:
    budget = Budget(1000, 0, {gpu.uuid: 150, package.uuid: 140})
    assert (budget.safe_cap_w(gpu), budget.safe_cap_w(package)) == (150, 140)


def test_without_a_word_of_the_budget_a_gpu_falls_to_its_least_and_a_package_keeps_its_most(
    gpu: Device, package: Device
) -> None:
    budget = Budget(1000, 0, {})
    assert (budget.safe_cap_w(gpu), budget.safe_cap_w(package)) == (100, 250)


def test_what_cannot_be_capped_counts_at_its_most_but_a_package_in_the_fixed_draw(gpu: Device, package: Device) -> None:
    budget = Budget(1000, 0, {})
    assert (budget.uncapped_w(gpu), budget.uncapped_w(package)) == (400, 0)
    assert replace(budget, safe_caps_w={package.uuid: 250}).uncapped_w(package) == 250
    assert replace(budget, safe_caps_w={package.uuid: 250}).uncapped_w(replace(package, power_limit=Knob(True))) == 0
