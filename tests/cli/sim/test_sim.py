"""Hosts made, listed and deleted, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
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


@pytest.mark.parametrize("words", [("env", "lab"), ("delete", "lab"), ("load", "lab", "none"), ("create", "-x")])
def test_what_is_not_there_is_one_line(sim: Run, words: tuple[str, ...]) -> None:
    said = sim(*words)
    assert said.code in (1, 2)
    assert said.err.startswith("eagent: ")
    assert said.err.count("\n") == 1
