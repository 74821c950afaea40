import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.cli.sim import format_gpus, parse_gpus
from eagent.errors import InputError

Run = Callable[..., Any]


@pytest.fixture
def sim(eagent: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`eagent sim` with hosts under tmp_path/s."""
    monkeypatch.setenv("EAGENT_SIM_DIR", str(tmp_path / "s"))
    return lambda *words: eagent("sim", *words)


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
    assert "made by another version of eagent (file version 6, this is 7): delete it and make it anew" in first
    assert second.startswith("whole ")
    assert third == "broken           has no plant: all that can be done is to delete it"
    for name in ("ancient", "broken", "whole"):
        assert sim("delete", name).out == f"Simulated host {name} is gone.\n"
    assert "No simulated host" in sim("list").out


@pytest.mark.usefixtures("fuse")
def test_the_hosts_sys_is_served_until_the_host_is_deleted(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "1", "--cpu-model", "epyc-7543", "--powercap", "intel-rapl-mmio")
    kernel = tmp_path / "s/lab/kernel"
    assert f"export EAGENT_SYSFS={kernel}/sys\n" in sim("env", "lab").out
    assert f"export EAGENT_PROC={kernel}/proc\n" in sim("env", "lab").out
    assert [path.name for path in kernel.iterdir()] == ["proc"]  # with the id of the boot, and no more
    assert not (kernel / "proc/stat").exists()
    assert sim("sysfs", "lab").out.startswith(f"{kernel} is served by pid ")
    assert (kernel / "sys/class/powercap/intel-rapl-mmio:0").exists()
    assert (kernel / "proc/stat").exists()
    again = sim("sysfs", "lab")
    assert (again.code, "is served already" in again.err) == (1, True)
    assert sim("delete", "lab").code == 0
    assert not kernel.parent.exists()


def test_a_gang_takes_all_gpus_unless_told_and_a_second_load_is_refused(sim: Run) -> None:
    sim("create", "lab", "--gpus", "2")
    assert "gpus 0-1 of lab" in sim("load", "lab", "gang", "--step", "0.2s").out
    said = sim("load", "lab", "square", "--gpus", "1")
    assert said.code == 1
    assert "a load already" in said.err


def test_serving_takes_generated_requests_or_those_of_a_trace(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "2")
    assert "generated" in sim("load", "lab", "serving", "--gpus", "1", "--for", "1m", "--rate", "2").out
    assert "serving on 1" in sim("list").out
    sim("load", "lab", "none")
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n")
    assert sim("load", "lab", "serving", "--trace", str(trace)).out.startswith("1 requests")


def test_options_of_generated_requests_do_not_go_with_a_trace(sim: Run) -> None:
    sim("create", "lab", "--gpus", "1")
    said = sim("load", "lab", "serving", "--trace", "/none", "--rate", "2")
    assert said.code == 1
    assert "do not go with --trace" in said.err


def test_env_prints_only_what_a_shell_evaluates(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "1")
    lines = sim("env", "lab").out.splitlines()
    assert all(shlex.split(line)[0] == "export" for line in lines)
    assert f"export EAGENT_RUN_DIR={tmp_path}/s/lab/run" in lines


@pytest.mark.parametrize("words", [("env", "lab"), ("delete", "lab"), ("load", "lab", "none"), ("create", "-x")])
def test_what_is_not_there_is_one_line(sim: Run, words: tuple[str, ...]) -> None:
    said = sim(*words)
    assert said.code in (1, 2)
    assert said.err.startswith("eagent: ")
    assert said.err.count("\n") == 1


@given(st.sets(st.integers(0, 15), min_size=1))
def test_a_list_of_gpus_is_shown_and_read_back(gpus: set[int]) -> None:
    assert parse_gpus(format_gpus(sorted(gpus)), 16) == sorted(gpus)


def test_no_list_is_all_gpus() -> None:
    assert parse_gpus(None, 3) == [0, 1, 2]


@pytest.mark.parametrize("text", ["", ",", "x", "3-1", "1-", "-1", "0-99999", "8", "0-8", "٣", "1.5"])
def test_what_is_no_list_of_the_hosts_gpus_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_gpus(text, 8)


# ---- power -----------------------------------------------------------------------------------------------------------


def test_a_host_is_switched_and_asked_as_by_its_bmc(sim: Run) -> None:
    sim(
        "create", "lab", "--gpus", "2", "--boot-time", "1h", "--boot-w", "700", "--standby-w", "12.5", "--rest-w", "500"
    )
    assert (sim("power", "lab").out, sim("power", "lab", "status").out) == ("on\n", "on\n")
    idle_w = 500 + 2 * 52 + 2 * (65 + 12)
    assert sim("power", "lab", "watts").out == f"{idle_w:.1f}\n"
    assert sim("power", "lab", "off").out == "lab is off.\n"
    assert sim("power", "lab", "off").code == 0
    assert sim("power", "lab").out == "off\n"
    assert sim("power", "lab", "watts").out == "12.5\n"
    assert "2 x NVIDIA A100-SXM4-80GB, off for " in sim("list").out
    assert sim("power", "lab", "on").out == "lab boots; that takes 1h.\n"
    assert sim("power", "lab").out == "on\n"  # to a BMC
    assert sim("power", "lab", "watts").out == "700.0\n"
    assert "booting for " in sim("list").out


def test_a_host_that_is_on_again_is_as_it_was_made(sim: Run) -> None:
    sim("create", "lab", "--gpus", "1", "--boot-time", "0.01s")
    sim("load", "lab", "gang")
    sim("power", "lab", "off")
    refused = sim("load", "lab", "gang")
    assert (refused.code, "the host is not on" in refused.err) == (1, True)
    assert sim("power", "lab", "on").code == 0
    while "booting" in (listed := sim("list").out):
        pass
    assert ", up " in listed
    assert "load: none" in listed
    assert sim("power", "lab", "on").out == "lab is on.\n"
    assert sim("load", "lab", "gang").code == 0


def test_what_is_no_power_of_a_host_is_told_in_one_line(sim: Run) -> None:
    assert sim("power", "nowhere", "off").code == 1
    sim("create", "lab", "--gpus", "1")
    assert sim("power", "lab", "cycle").code == 2
    assert sim("create", "other", "--standby-w", "-3").code == 2
    nothing = sim("boot", "lab")
    assert (nothing.code, "what to run" in nothing.err) == (1, True)


def test_the_id_of_a_hosts_boot_is_where_its_kernel_would_show_it(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "1")
    shown = tmp_path / "s/lab/kernel/proc/sys/kernel/random/boot_id"
    first = shown.read_text()
    sim("power", "lab", "off")
    sim("power", "lab", "on")
    assert shown.read_text() != first
