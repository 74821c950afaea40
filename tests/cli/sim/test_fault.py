"""`eagent sim fault`: injecting, listing and clearing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.sim import faults
from eagent.sim._faults import Faults

Run = Callable[..., Any]

# What each kind needs to be told, beyond its name.
NEEDED = {"outside-limit": ("--watts", "200"), "foreign-limit": ("--watts", "200"), "foreign-lock": ("--max", "900")}


@pytest.fixture
def lab(sim: Run, tmp_path: Path) -> Run:
    """`eagent sim fault lab` on a host of four GPUs that stands still, so that what is left of a fault does."""
    described = tmp_path / "lab.toml"
    described.write_text('host = {clock = "virtual"}\ngpu = {count = 4}\n')
    sim("create", "lab", "--from", str(described))
    return lambda *words: sim("fault", "lab", *words)


def test_the_help_explains_every_kind_in_a_line(sim: Run) -> None:
    shown = " ".join(sim("fault", "--help").out.split())
    for name, kind in faults.KINDS.items():
        assert f"{name} {kind.summary}" in shown
    assert "--watts" in sim("fault", "lab", "outside-limit", "--help").out


@pytest.mark.parametrize("kind", faults.KINDS)
def test_every_kind_can_be_injected_listed_and_cleared(lab: Run, kind: str) -> None:
    said = lab(kind, *NEEDED.get(kind, ()))
    assert (said.code, said.err) == (0, "")
    once = faults.KINDS[kind].strikes
    assert (kind in lab("list").out) is not once
    assert lab("clear").code == 0
    assert lab("list").out == "lab has no fault.\n"


def test_faults_of_some_parts_are_listed_with_what_is_to_come_of_them(lab: Run) -> None:
    assert lab("gpu-lost", "--gpu", "0,2-3").out.splitlines() == [
        "gpu-lost: gpu 0 of lab, fault 1.",
        "gpu-lost: gpu 2 of lab, fault 2.",
        "gpu-lost: gpu 3 of lab, fault 3.",
    ]
    lab("stuck-power", "--gpu", "1", "--watts", "46.19", "--for", "2h")
    lab("foreign-limit", "--watts", "200", "--in", "3h", "--every", "10s", "--for", "1h")
    lab("sysfs-write", "--package", "1", "--error", "EBUSY")
    assert [" ".join(line.split()) for line in lab("list").out.splitlines()] == [
        "1 gpu-lost gpu 0",
        "2 gpu-lost gpu 2",
        "3 gpu-lost gpu 3",
        "4 stuck-power gpu 1 power, clock; at 46.19 W, ends in 2h",
        "5 foreign-limit host 200 W, in 3h, every 10s, ends in 4h",
        "6 sysfs-write package 1 EBUSY",
    ]


def test_faults_are_cleared_by_number_by_kind_or_all_at_once(lab: Run) -> None:
    lab("gpu-lost", "--gpu", "0-1")
    lab("no-permission")
    lab("slow-calls")
    assert lab("clear", "1").out == "Fault 1 of lab has ended.\n"
    assert lab("clear", "no-permission").out == "lab has no no-permission any more.\n"
    assert [line.split()[0] for line in lab("list").out.splitlines()] == ["2", "4"]
    assert lab("clear").out == "lab has no fault any more.\n"
    assert lab("list").out == "lab has no fault.\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("gpu-lost", "--gpu", "2-4"), "gpu-lost: the host has no gpu 4"),
        (("gpu-lost", "--gpu", "first"), "is not a list of gpus"),
        (("foreign-limit", "--watts", "9"), "watts within the GPU's limits"),
        (("foreign-limit", "--watts", "200", "--for", "9s"), "strikes once: --for needs --every"),
        (("stuck-power", "--what", "power,lid"), "--what 'lid': must be of power, time, energy, clock"),
        (("not-supported", "--share", "2"), "it takes a share"),
        (("clear", "7"), "no fault has the number 7"),
        (("clear", "9" * 20), f"no fault has the number {'9' * 20}"),
        (("clear", "bugs"), "neither a fault's number nor a kind"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_and_injects_nothing(
    lab: Run, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    said = lab(*words)
    assert said.code == 1
    assert complaint in said.err
    assert said.err.count("\n") == 1
    with Faults(tmp_path / "s/lab/plant") as opened:
        assert opened.all() == ()


def test_an_unknown_kind_is_refused_with_those_that_there_are(lab: Run) -> None:
    said = lab("gremlins")
    assert said.code == 2
    assert "stuck-power" in said.err
