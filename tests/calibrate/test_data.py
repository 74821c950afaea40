"""Where the data are, and what is said when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.calibrate import __main__ as entry
from benchmarks.calibrate import data
from eagent.errors import InputError

NAME = "zeus/summary_power_a40.csv"


def fill(folder: Path, but: str = "") -> None:
    for name in data.SOURCES:
        if name != but:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("a,b\n1,2\n3,4\n")


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["no/such/folder"]])
def test_without_a_folder_one_line_tells_all_that_is_wanted_and_from_where(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["calibrate", *arguments])
    assert entry.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("calibrate: ")
    assert all(name in said.err for name in (*data.SOURCES, *data.SOURCES.values()))


def test_a_file_that_is_missing_is_the_only_one_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, but=NAME)
    monkeypatch.setattr("sys.argv", ["calibrate", str(tmp_path)])
    assert entry.main() == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}: missing: {NAME} (from github.com/ml-energy/zeus)" in said
    assert not [name for name in data.SOURCES if name != NAME and name in said]


def test_columns_come_in_the_order_that_they_are_asked_for(tmp_path: Path) -> None:
    fill(tmp_path)
    assert data.columns(tmp_path, NAME, "b", "a") == [(2.0, 1.0), (4.0, 3.0)]


@pytest.mark.parametrize("text", ["a,b\n1,x\n", "a\n1\n", "a,b\n1\n"])
def test_what_was_not_published_so_is_told(tmp_path: Path, text: str) -> None:
    fill(tmp_path)
    (tmp_path / NAME).write_text(text)
    with pytest.raises(InputError, match=r"summary_power_a40\.csv: not as published"):
        data.columns(tmp_path, NAME, "a", "b")
