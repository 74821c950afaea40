"""Hosts made, listed and deleted, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_a_host_is_made_listed_loaded_and_deleted(sim: Run) -> None:
    assert "eval" in sim("create", "lab", "--gpus", "4").out
    listed = sim("list").out
    assert listed.startswith("lab ")
    assert "4 x NVIDIA A100" in listed
    assert "load: none" in listed
    assert sim("load", "lab", "square", "--gpus", "0,2-3", "--period", "2s", "--duty", "0.25").code == 0
    assert "square on 0,2-3" in sim("list").out
    assert sim("load", "lab", "none").code == 0
    assert "load: none" in sim("list").out
    assert sim("delete", "lab").code == 0
    assert "No simulated host" in sim("list").out


def test_hosts_that_cannot_be_used_are_listed_with_the_reason_and_deleted_by_name(sim: Run, tmp_path: Path) -> None:
    for name in ("ancient", "broken", "whole"):
        sim("create", name, "--gpus", "1")
    with (tmp_path / "s/ancient/plant").open("r+b") as file:
        file.seek(8)  # the version
        file.write(b"\6\0\0\0")
    (tmp_path / "s/broken/plant").unlink()
    first, second, third = sim("list").out.splitlines()
    assert first.startswith("ancient ")
    assert "made by another version of eagent (file version 6, this is 9): delete it and make it anew" in first
    assert second.startswith("whole ")
    assert third == "broken           has no plant: all that can be done is to delete it"
    for name in ("ancient", "broken", "whole"):
        assert sim("delete", name).out == f"Simulated host {name} is gone.\n"
    assert "No simulated host" in sim("list").out


@pytest.mark.parametrize("words", [("env", "lab"), ("delete", "lab"), ("load", "lab", "none"), ("create", "-x")])
def test_what_is_not_there_is_one_line(sim: Run, words: tuple[str, ...]) -> None:
    said = sim(*words)
    assert said.code in (1, 2)
    assert said.err.startswith("eagent: ")
    assert said.err.count("\n") == 1
