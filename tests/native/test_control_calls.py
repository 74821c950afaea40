"""Each control call of NVML, as rows: arguments and permission, the code, and the effect seen through another call."""

from typing import Any

import pytest

from tests.native.control import board, clocks, events, mig, modes, newer, power, processes, reasons, samples
from tests.native.control.runner import Row, run

THEMES = (power, clocks, modes, reasons, samples, events, processes, mig, newer, board)
ROWS: list[Row] = [row for theme in THEMES for row in theme.ROWS]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Those of all rows."""
    return run(ROWS, tmp_path_factory.mktemp("rows"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_call_answers_and_acts_as_its_row_says(answers: dict[str, dict[str, Any]], row: Row) -> None:
    assert answers[row.name] == row.expected()


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
