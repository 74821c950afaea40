"""What a cap holds and lets through, as the calibration looks at it."""

from __future__ import annotations

import pytest

from benchmarks.calibrate import cap
from eagent.sim import model

A100 = model.load("a100-sxm4-80gb")


def test_a_binding_cap_is_seen_to_hold_its_target_and_a_loose_one_nothing() -> None:
    held = cap.watch(A100, cap.KERNELS["dense"], 240.0, seconds=8.0)
    assert held.mean == pytest.approx(A100["cap"]["target"], abs=0.005)
    assert held.mean <= held.worst_second <= 1.0
    free = cap.watch(A100, cap.BURSTS, 400.0, seconds=8.0)
    assert free.mean < 0.5


def test_a_burst_is_the_worse_the_shorter_the_look() -> None:
    seen = cap.watch(A100, cap.BURSTS, 200.0, seconds=8.0)
    assert seen.worst_second < 1 < seen.worst_50ms < seen.worst_5ms


def test_a_controller_that_aims_beyond_the_limit_is_told() -> None:
    wrong = {**A100, "cap": {**A100["cap"], "target": 1.0}}
    assert cap.watch(wrong, cap.KERNELS["dense"], 240.0, seconds=8.0).worst_second > 1.0
