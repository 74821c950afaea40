"""`eagent sim create --from` and `eagent sim describe`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.cli.sim import create
from eagent.sim import model, processor
from eagent.sim.description import description

Run = Callable[..., Any]

LAB = '[host]\nname = "lab"\n[gpu]\ncount = 4\n[supply]\nboot_s = 3\n[[load]]\nkind = "gang"\ngpus = "2-3"\n'


@pytest.fixture
def lab(tmp_path: Path) -> str:
    path = tmp_path / "lab.toml"
    path.write_text(LAB)
    return str(path)


def test_a_file_says_what_is_made_and_its_name(sim: Run, lab: str) -> None:
    assert sim("create", "--from", lab).out.startswith("Simulated host lab is made.")
    listed = sim("list").out
    assert listed.startswith("lab ")
    assert "4 x NVIDIA A100" in listed
    assert "gang on 2-3" in listed


def test_what_the_command_line_says_wins(sim: Run, lab: str) -> None:
    words = ("--gpus", "5", "--seed", "9", "--permission", "root", "--boot-time", "7s", "--cpu-model", "epyc-7543")
    assert sim("create", "other", "--from", lab, *words).code == 0
    assert "5 x NVIDIA" in sim("list").out
    told = sim("describe", "other").out
    for line in ('name = "other"', "seed = 9", 'permission = "root"', "boot_s = 7.0", 'model = "epyc-7543"'):
        assert f"{line}\n" in told


def test_what_a_host_was_made_from_makes_its_twin(sim: Run, lab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sim("create", "--from", lab)
    told = sim("describe", "lab").out
    sim("delete", "lab")
    monkeypatch.setattr("sys.stdin", io.StringIO(told))
    assert sim("create", "--from", "-").code == 0
    assert sim("describe", "lab").out == told


def test_a_model_may_be_a_file_of_ones_own(sim: Run, tmp_path: Path) -> None:
    text = (model.MODELS / "a100-sxm4-80gb.toml").read_text()
    (tmp_path / "my.toml").write_text(text.replace("NVIDIA A100-SXM4-80GB", "My own"))
    assert sim("create", "lab", "--gpus", "1", "--model", str(tmp_path / "my.toml")).code == 0
    assert "1 x My own" in sim("list").out


@pytest.mark.parametrize(
    ("text", "words", "complaint"),
    [
        ("[gpu]\ncount = 2\n", (), "a simulated host needs a name: `eagent sim create NAME`"),
        (LAB, ("--gpus", "3"), "[[load]] 1: no gpu 3: the host has 3"),
        (LAB + "[[load]]\nkind = 'serving'\ngpus = '1'\ntrace = 'no.csv'\n", (), "[[load]] 2: trace "),
        (LAB + "[[lod]]\n", (), "lab.toml: unknown section [lod] (did you mean 'load'?)"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_no_host(
    sim: Run, tmp_path: Path, text: str, words: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "lab.toml").write_text(text)
    said = sim("create", "--from", str(tmp_path / "lab.toml"), *words)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert complaint in said.err
    assert sim("list").out.startswith("No simulated host")


def test_the_file_that_ships_can_be_made(sim: Run) -> None:
    shipped = Path(__file__).parents[3] / "config" / "sim-host.toml"
    assert sim("create", "--from", str(shipped)).code == 0
    assert "gang on 0-3, serving on 4-6, square on 7" in sim("list").out


def test_the_words_that_options_take_are_those_of_a_description() -> None:
    assert (create.PERMISSIONS, create.POWERCAPS) == (description.PERMISSIONS, processor.POWERCAPS)
    assert set(create.SUPPLY) <= set(description.SUPPLY)


def test_a_host_without_a_description_is_one_line(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "1")
    (tmp_path / "s/lab/host.toml").unlink()
    said = sim("describe", "lab")
    assert (said.code, said.out) == (1, "")
    assert said.err == "eagent: simulated host 'lab' has no host.toml: delete it and make it anew to have one\n"
