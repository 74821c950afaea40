"""What an agent leaves to its successor, through the environment as it does it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eagent import handover
from eagent.agent.successor import Successor
from eagent.policy.goals import Pin

PINS = [Pin("GPU-00", 250.0, 7), Pin("GPU-01", None, None, 1200.0)]


def heir(monkeypatch: pytest.MonkeyPatch, left: dict[str, Any]) -> dict[str, Pin]:
    monkeypatch.setenv(handover.NAME, json.dumps(left))
    return Successor(lambda: None).pins()


def test_pins_of_limits_and_of_clocks_reach_the_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Successor(lambda: None)
    before.leave(PINS)
    assert heir(monkeypatch, before._leaves) == {pin.uuid: pin for pin in PINS}


def test_a_pin_of_a_version_without_clocks_is_taken_over_and_one_of_an_unknown_kind_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{"uuid": "GPU-00", "limit_w": 250.0, "until_ns": 7}, {"uuid": "GPU-01", "limit_w": 250.0, "fan": 3}]
    assert heir(monkeypatch, {"pins": rows}) == {"GPU-00": PINS[0]}
