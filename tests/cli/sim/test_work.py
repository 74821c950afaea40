"""`eagent sim work`, on a simulated host in wall time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eagent.cli.dispatch import main
from eagent.sim import host
from eagent.sim._plant import Host
from eagent.sim.workload import Square


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("EAGENT_SIM_DIR", str(tmp_path))
    return host.create(tmp_path, "lab", gpus=2)


def seconds(out: str) -> float:
    found = re.search(r"20 units in ([\d.]+) s, simulated", out)
    assert found, out
    return float(found[1])


def test_work_takes_as_long_as_its_gpus_clock_allows_and_ends(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "work", "lab", "--units", "20", "--gpus", "0-1"]) == 0
    at_full = seconds(capsys.readouterr().out)
    with Host(lab.plant) as opened:
        opened.lock_clocks(0, 210, 705)
    assert main(["sim", "work", "lab", "--units", "20", "--clock-bound", "1"]) == 0
    at_half = seconds(capsys.readouterr().out)
    assert at_full >= 0.19
    assert at_half >= 0.38, "half the clock, twice the time"
    with Host(lab.plant) as opened:
        assert [load["running"] for load in opened.progress()] == [False, False]


def test_work_of_a_process_that_was_killed_gives_way_and_other_work_does_not(
    lab: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with Host(lab.plant) as opened:
        Square().start(opened, [0], pid=dead.pid)
        Square().start(opened, [1])
    assert main(["sim", "work", "lab", "--units", "20"]) == 0
    assert main(["sim", "work", "lab", "--units", "20", "--gpus", "1"]) == 1
    assert "a GPU has a load already" in capsys.readouterr().err


@pytest.mark.usefixtures("lab")
def test_work_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--units", "0"], ["--units", "nan"], ["--units", "1", "--gpus", "7"]):
        assert main(["sim", "work", "lab", *words]) == 1
        assert capsys.readouterr().err.count("\n") == 1
