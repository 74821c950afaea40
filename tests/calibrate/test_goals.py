"""Each goal on the published data, where they are; a few of Zeus's jobs stand for all. `make calibrate` takes all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.calibrate import acme, cap, grid, square, step, zeus
from benchmarks.figures import Figure

FOLDER = os.environ.get("EAGENT_CALIBRATION_DATA")
data = pytest.mark.skipif(FOLDER is None, reason="EAGENT_CALIBRATION_DATA names no folder with the published data")


def missed(figures: list[Figure]) -> list[Figure]:
    assert figures
    return [figure for figure in figures if figure.holds is False]


@pytest.fixture
def folder() -> Path:
    assert FOLDER is not None
    return Path(FOLDER)


@data
@pytest.mark.parametrize("goal", [grid, square, step, acme], ids=["grid", "square", "step", "acme"])
def test_the_plant_agrees_with_what_was_measured(goal: object, folder: Path) -> None:
    assert missed(goal.judge(folder)) == []


@data
@pytest.mark.parametrize("board", zeus.BOARDS)
def test_a_job_that_is_known_at_two_limits_is_known_at_all(board: str, folder: Path) -> None:
    assert missed(zeus.judged(board, zeus.read(folder, board)[::6])) == []


def test_caps_hold_what_was_published() -> None:
    assert missed(cap.judge(Path())) == []
