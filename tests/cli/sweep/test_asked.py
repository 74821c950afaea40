"""What `eagent sweep` takes, what it refuses in a line, and what it says that it will do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def ready(agent: Any) -> Any:
    """An agent whose GPU can be set, and that nobody has pinned."""
    device = agent.said["devices"][0]
    device["gpu_clock"] = {**device.get("gpu_clock", {}), "min_mhz": 210, "max_mhz": 1410, "writable": True, "why": ""}
    device["power_limit"] |= {"min_w": 100, "max_w": 400, "writable": True}
    agent.said["devices"] = [device]
    return agent


def test_a_dry_run_tells_the_order_and_runs_nothing(eagent: Run, ready: Any, tmp_path: Path) -> None:
    said = eagent("sweep", "--dry-run", "--repeat", "1", "--", "touch", str(tmp_path / "touched"))
    assert said.code == 0, said.err
    assert "6 runs of the command, each setting once, on gpu0" in said.err
    assert "1269, 1128, 987, 846 MHz first" in said.err
    lines = [line.strip() for line in said.out.splitlines()]
    assert (lines[0], lines[-1]) == ("no knob set", "no knob set")
    assert sorted(lines[1:-1]) == ["1128 MHz", "1269 MHz", "846 MHz", "987 MHz"]
    assert not (tmp_path / "touched").exists()
    assert not any(each[0] == "set_pin" for each in ready.asked)


@pytest.mark.usefixtures("ready")
def test_all_that_is_named_is_crossed(eagent: Run) -> None:
    words = ["--clocks", "1005,1200", "--caps", "200", "--vary", "batch=8,16", "--repeat", "1"]
    said = eagent("sweep", "--gpu", "gpu0", "--dry-run", *words, "--", "train", "--batch={batch}")
    assert said.code == 0, said.err
    tried = {line.strip() for line in said.out.splitlines()}
    knobs = ("no knob set", "1005 MHz", "1200 MHz", "200 W")
    assert tried == {f"{knob}, batch={batch}" for knob in knobs for batch in (8, 16)}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--clocks", "1005"], "nothing to run: eagent sweep --gpu gpu0 -- COMMAND [ARGUMENTS]"),
        (["--clocks", "fast", "--", "x"], "--clocks: 'fast' is not a number of MHz"),
        (["--clocks", "1500", "--", "x"], "--clocks 1500: gpu0 takes 210 to 1410 MHz"),
        (["--caps", "50", "--", "x"], "--caps 50: gpu0 takes 100 to 400 W"),
        (["--gpu", "gpu9", "--", "x"], "no device 'gpu9'; known are gpu0"),
        (["--vary", "a=1", "--", "x"], "{a} stands nowhere in the command"),
        (["--repeat", "0", "--", "x"], "--repeat 0: from 1 to 100"),
        (["--units", "0", "--", "x"], "--units 0: must be more than 0"),
        (["--units-from", "x", "--", "x"], "it needs one group, around the number"),
        (["--begin", "(", "--", "x"], "--begin '(': missing )"),
        (["--units", "1", "--units-from", "(x)", "--", "x"], "give one of them"),
        (["--max", "3", "--", "x"], "5 settings, 2 times each, the default in between: 11 runs, more than --max 3"),
        (["--resume", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["--resume", "nowhere.json", "--", "x"], "--resume takes command and settings from its file"),
        (["--by", "hint", "--gpu", "gpu0", "--", "x"], "give --clocks or --caps"),
        (["--by", "hint", "--clocks", "1005", "--", "x"], "which GPUs?"),
        (["--log", "/nowhere/log", "--", "x"], "/nowhere/log: No such file or directory"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_1(eagent: Run, ready: Any, words: list[str], why: str) -> None:
    said = eagent("sweep", *words)
    assert (said.code, said.out) == (1, "")
    last = said.err.splitlines()[-1]
    assert last.startswith("eagent: ")
    assert why in last
    assert not any(each[0] == "set_pin" for each in ready.asked)


def test_a_file_of_something_else_is_not_gone_on_with(eagent: Run, tmp_path: Path) -> None:
    for text, why in (
        ("{}", "it was not written by"),
        ("{", "it is no JSON"),
        (json.dumps([1]), "it was not written by"),
    ):
        (tmp_path / "x.json").write_text(text)
        said = eagent("sweep", "--resume", str(tmp_path / "x.json"))
        assert (said.code, said.out) == (1, "")
        assert why in said.err


def test_without_an_agent_nothing_is_run(eagent: Run, tmp_path: Path) -> None:
    said = eagent("sweep", "--gpu", "gpu0", "--", "touch", str(tmp_path / "touched"))
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert not (tmp_path / "touched").exists()


def test_on_a_halted_host_nothing_is_run(eagent: Run, ready: Any) -> None:
    ready.said["halted"] = "halted by root: maintenance"
    said = eagent("sweep", "--", "x")
    assert (said.code, said.out) == (1, "")
    assert "halted by root: maintenance; `eagent halt --end` ends that" in said.err
