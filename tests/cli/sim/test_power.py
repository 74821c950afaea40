"""`eagent sim power`: switching hosts, and asking their BMC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eagent.sim._bmc import Bmc

Run = Callable[..., Any]


def test_a_host_is_switched_and_asked_as_by_its_bmc(sim: Run, tmp_path: Path) -> None:
    sim(
        "create", "lab", "--gpus", "2", "--boot-time", "1h", "--boot-w", "700", "--standby-w", "12.5", "--rest-w", "500"
    )
    assert (sim("power", "lab").out, sim("power", "lab", "status").out) == ("on\n", "on\n")
    with Bmc(tmp_path / "s/lab/plant") as bmc:
        assert bmc.power_w > 500 + 2 * 52 + 2 * (65 + 12)  # with fans and losses
        assert sim("power", "lab", "watts").out == f"{bmc.power_w:.1f}\n"
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
