from typing import Any

import pytest

from eagent.cli import main
from eagent.cli.power import plan_lines, status_lines

HOST = {
    "host": "n1",
    "says": "awake",
    "age_s": 3.0,
    "told_w": 250.4,
    "devices": 4,
    "busy": 0,
    "asleep": False,
    "put_to_sleep_s": None,
    "state": None,
    "switching": None,
    "awaited": False,
    "wanted": None,
    "protected": False,
}
STATUS = {
    "name": "mgmt",
    "acts": True,
    "halted": None,
    "power_key": "0a",
    "failures": 0,
    "stopped": False,
    "unrecorded": 0,
    "hosts": [],
    "domains": [],
}
DOMAIN = {
    "domain": "rack",
    "epoch": 2,
    "complete": False,
    "waits_for": ["n2", "n3"],
    "certified_off": [],
    "awake": 1,
    "devices": 8,
    "busy": 3,
}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "n1: says awake, 3s ago, told 250 W"),
        ({"says": None, "age_s": None, "told_w": None}, "n1: not heard of"),
        ({"told_w": None}, "n1: says awake, 3s ago, its watts are not told"),
        ({"switching": "sleep"}, "n1: is being switched: sleep; says awake"),
        ({"awaited": True}, "n1: was woken, and is awaited; says awake"),
        ({"put_to_sleep_s": 1.0}, "its power is not known; says awake"),
        ({"put_to_sleep_s": 1.0, "state": "on"}, "its power is on; says awake"),
        ({"asleep": True, "put_to_sleep_s": 1.0}, "n1: ASLEEP since 19"),
        ({"wanted": "root", "protected": True}, "told 250 W; wanted awake by root; protected"),
    ],
)
def test_a_host_is_shown_as_it_is_known_and_no_better(changed: dict[str, Any], line: str) -> None:
    assert line in status_lines({**STATUS, "hosts": [{**HOST, **changed}]})[-1]


def test_what_an_operator_must_know_stands_first() -> None:
    wrong = {"halted": "storm", "stopped": True, "failures": 3, "unrecorded": 2}
    lines = status_lines({**STATUS, **wrong, "domains": [DOMAIN]})
    assert lines.pop(0) == "mgmt  switches hosts  power_key 0a"
    assert lines[0] == "HALTED: storm: nothing is switched; `eagent halt --end` on this host ends it"
    assert lines[1].startswith("STOPPED: 3 switchings in a row have failed")
    assert lines[2] == "ALARM: 2 entries could not be written into the record"
    assert lines[3] == "rack: table 2 waits for n2, n3; 1 hosts awake, 3 of 8 devices busy"


def test_a_plan_tells_the_watts_that_were_told_and_how_many_were_not() -> None:
    hosts = [
        {"host": "n1", "step": "sleep", "because": "it has yielded", "told_w": 250.0},
        {"host": "n2", "step": "sleep", "because": "it has yielded", "told_w": None},
        {"host": "n3", "step": "none", "because": "it says that it is awake", "told_w": 300.0},
    ]
    assert plan_lines({"acts": False, "halted": None, "hosts": hosts, "sleep_told_w": 250.0, "sleep_not_told": 1}) == [
        "n1: sleep (would, but only observes): it has yielded; told 250 W",
        "n2: sleep (would, but only observes): it has yielded; its watts are not told",
        "n3: stays as it is: it says that it is awake; told 300 W",
        "at stake: 250 W by what hosts told last, and 1 hosts have not told; what they draw asleep is not known",
    ]


def test_a_plan_under_a_halt_says_so() -> None:
    host = {"host": "n1", "step": "sleep", "because": "it has yielded", "told_w": 250.0}
    told = {"acts": True, "halted": "storm", "hosts": [host], "sleep_told_w": 250.0, "sleep_not_told": 0}
    lines = plan_lines(told)
    assert lines[0].startswith("HALTED: storm")
    assert lines[1] == "n1: sleep (would, but is halted): it has yielded; told 250 W"


@pytest.mark.parametrize(
    "words", [["power", "wake"], ["power", "sleep"], ["power", "walk"], ["power", "wake", "n1", "n2"]]
)
def test_what_is_not_understood_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("words", [["status"], ["plan", "--json"], ["wake", "n1"], ["sleep", "a/b ü"], ["resume"]])
def test_without_a_role_each_verb_says_how_to_start_one(
    words: list[str], tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--run-dir", str(tmp_path), "power", *words]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no power role runs here" in said
    assert "eagent power run" in said


def test_a_role_without_a_configuration_is_one_line(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", "run", "--config", str(tmp_path / "none.toml")]) == 1
    assert capsys.readouterr().err == f"eagent: {tmp_path}/none.toml: No such file or directory\n"
    (tmp_path / "power.toml").touch(0o600)
    assert main(["power", "--config", str(tmp_path / "power.toml")]) == 1
    assert "the section [mesh] is missing or empty" in capsys.readouterr().err
