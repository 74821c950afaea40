from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.envelope import limit_mw
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
