from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.envelope import limit_mw, safe_caps_w
from eagent.config import Config
from eagent.model import Device, Knob


@pytest.fixture(scope="module")
def gpu(new_device: Any) -> Device:
    made: Device = new_device(0, writable=False)
    return made


@pytest.fixture(scope="module")
def package(new_package: Any) -> Device:
    made: Device = new_package(0, power_limit=Knob(False, "read-only"))
    return made


@given(st.floats(125, 250))
def test_a_limit_is_never_above_what_was_asked_for(gpu: Device, package: Device, limit_w: float) -> None:
    assert limit_w * 1000 - 1 < limit_mw(gpu, limit_w) <= limit_w * 1000 + 0.0005
    assert limit_w * 1000 - 1000 < limit_mw(package, limit_w) <= limit_w * 1000 + 0.0005
    assert limit_mw(package, limit_w) % 1000 == 0


def test_a_gpu_that_can_t_be_set_now_has_its_safe_cap_all_the_same_and_a_package_has_none(
    gpu: Device, package: Device
) -> None:
    both = (gpu, package)
    assert safe_caps_w(both, Config(safe_cap_w=150.0, cpu_safe_cap_w=100.0)) == {gpu.uuid: 150.0}
    assert safe_caps_w(both, Config()) == {gpu.uuid: gpu.min_limit_w}
    assert safe_caps_w(both, Config(), 9000.0) == {gpu.uuid: gpu.max_limit_w}, "which counts for no more"
    assert safe_caps_w((replace(gpu, min_limit_w=0.0, max_limit_w=0.0),), Config(safe_cap_w=150.0)) == {}
