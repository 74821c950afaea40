"""Simulated hosts as directories."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from eagent.errors import DriverError, EagentError, InputError, RefusedError
from eagent.sim import host
from eagent.sim._bmc import Bmc
from eagent.sim._driver import Driver
from eagent.sim._plant import Host
from eagent.sim.description import file
from eagent.sim.description.description import Description


def test_a_host_has_what_a_client_of_the_driver_needs(tmp_path: Path) -> None:
    made = host.create(tmp_path, "box", gpus=3, seed=5, permission="root", clock="virtual")
    assert {name for name in ("libnvidia-ml.so.1", "libnvidia-ml.so") if (made.lib / name).resolve().is_file()} == {
        "libnvidia-ml.so.1",
        "libnvidia-ml.so",
    }
    assert made.run.is_dir()
    assert made.state.is_dir()
    with Host(made.plant) as opened:
        assert (opened.gpu_count, opened.permission, opened.clock) == (3, "root", "virtual")


def test_hosts_are_found_by_name_and_listed_in_order(tmp_path: Path) -> None:
    assert host.hosts(tmp_path / "nowhere") == ()
    for name in ("b", "a"):
        host.create(tmp_path, name, gpus=1)
    assert [one.name for one in host.hosts(tmp_path)] == ["a", "b"]
    assert host.find(tmp_path, "b").plant == tmp_path / "b" / "plant"
    host.delete(tmp_path, "b")
    with pytest.raises(InputError, match="no simulated host 'b'; there are: a"):
        host.find(tmp_path, "b")


@pytest.mark.parametrize("name", ["", ".", "..", "-x", "a/b", "a b", "x" * 65, "a\n"])
def test_a_bad_name_is_refused_by_every_verb(tmp_path: Path, name: str) -> None:
    for verb in (host.create, host.find, host.delete):
        with pytest.raises(InputError, match="bad host name"):
            verb(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"gpus": 0}, r"\[gpu\] count = 0: must be a whole number from 1 to 16"),
        ({"gpus": 17}, r"\[gpu\] count = 17: must be"),
        ({"seed": -1}, r"\[host\] seed = -1: must be"),
        ({"gpu_model": "a100-sxm4-80"}, r"no GPU model 'a100-sxm4-80' \(did you mean 'a100-sxm4-80gb'\?\)"),
        ({"permission": "me"}, "permission = 'me': must be one of anyone, root, nobody"),
        ({"cpu_model": "z80"}, "no processor model 'z80'; there are: epyc-7543, xeon-platinum-8358"),
        ({"powercap": "dtpm"}, "powercap = 'dtpm': must be one of intel-rapl, intel-rapl-mmio, amd"),
        ({"clock": "sand"}, "clock = 'sand': must be one of wall, virtual"),
        ({"boots_s": 3}, r"\[supply\] unknown key 'boots_s' \(did you mean 'boot_s'\?\)"),
    ],
)
def test_what_cannot_be_made_leaves_nothing_behind(tmp_path: Path, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        host.create(tmp_path, "box", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


DESCRIBED = """
[host]
name = "box"
clock = "virtual"
[gpu]
count = 3
[gpu.override.power]
deep_idle_w = 70
[[set]]
gpus = "1"
power_limit_w = 200
lock_mhz = [210, 900]
persistence = false
[[load]]
kind = "square"
gpus = "0"
[[load]]
kind = "serving"
gpus = "1-2"
at_s = 2
"""


def test_a_division_that_the_gpus_do_not_know_names_no_file_that_is_gone(tmp_path: Path) -> None:
    text = '[gpu]\nmodel = "rtx-3090"\n[[mig]]\ninstances = 2\nslices = 3\nmemory_b = 1\n[host]\nname = "box"'
    with pytest.raises(InputError) as caught:
        host.make(tmp_path, file.parse(text, "x", tmp_path))
    assert str(caught.value) == "[[mig]] 1: gpu 0: 2 instances of 3 slices and 1 bytes: this kind of GPU has no MIG"
    assert list(tmp_path.iterdir()) == []


def test_a_host_is_made_as_it_is_described(tmp_path: Path) -> None:
    made = host.make(tmp_path, file.parse(DESCRIBED, "x", tmp_path))
    with Host(made.plant) as opened:
        assert (opened.gpu_count, opened.clock) == (3, "virtual")
        views = [opened.view(gpu) for gpu in range(3)]
        assert [view["limit_requested_mw"] for view in views] == [400_000, 200_000, 400_000]
        assert [view["locked_max_mhz"] for view in views] == [0, 900, 0]
        assert [view["persistence_mode"] for view in views] == [1, 0, 1]
        assert [(load["kind"], load["gpus"], load["start_s"]) for load in opened.progress()] == [
            ("square", (0,), 0.0),
            ("serving", (1, 2), 2.0),
        ]
        opened.advance(1.0)
        assert opened.power_log()[5][2] == pytest.approx(70, rel=0.1)  # nothing runs on it yet


def test_gpus_are_divided_as_it_is_described(tmp_path: Path) -> None:
    text = '[host]\nname = "box"\n[gpu]\ncount = 2\n[[mig]]\ngpus = "1"\ninstances = 3\nslices = 2\nmemory_b = 1000\n'
    with Driver(host.make(tmp_path, file.parse(text, "x", tmp_path)).plant) as driver:
        assert [driver.mig(gpu)["instances"] for gpu in range(2)] == [0, 3]
        assert (driver.mig(1)["slices"], driver.mig(1)["memory_b"]) == (2, 1000)
    old = text.replace('"box"', '"old"') + "[gpu.override.identity]\ncompute_capability = [7, 0]\n"
    with pytest.raises(InputError, match=r"^\[\[mig\]\] 1: .*this kind of GPU has no MIG"):
        host.make(tmp_path, file.parse(old, "x", tmp_path))
    assert [one.name for one in host.hosts(tmp_path)] == ["box"]


def test_a_host_keeps_what_it_was_made_from(tmp_path: Path) -> None:
    described = file.parse(DESCRIBED, "x", tmp_path)
    assert file.read(str(host.make(tmp_path, described).description)) == described
    created = host.create(tmp_path, "other", gpus=2, seed=7, boot_s=3.0, cpu_model="epyc-7543")
    kept = file.read(str(created.description))
    assert (kept.name, kept.seed, kept.gpu.count, kept.cpu.model, kept.supply) == (
        "other",
        7,
        2,
        "epyc-7543",
        {"boot_s": 3.0},
    )


def test_what_a_host_was_made_from_makes_it_again_to_the_last_digit(tmp_path: Path) -> None:
    first = host.make(tmp_path, file.parse(DESCRIBED, "x", tmp_path))
    kept = first.description.read_text()
    second = host.make(tmp_path, replace(file.parse(kept, "kept", tmp_path), name="twin"))
    lived = []
    for made in (first, second):
        with Host(made.plant) as opened, Bmc(made.plant) as bmc:
            opened.advance(20.0)
            views = [opened.view(gpu) for gpu in range(3)]
            lived.append((views, opened.power_log(), opened.progress(), opened.served(), bmc.power_w))
    assert lived[0] == lived[1]
    assert max(row[0] for row in lived[0][1]) > 200  # it has worked


def test_a_description_without_a_name_is_no_host_yet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a name"):
        host.make(tmp_path, Description())


def test_a_load_that_cannot_begin_leaves_nothing_behind(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    text = f'{DESCRIBED}trace = "{trace}"\n'
    with pytest.raises(InputError, match=r"^\[\[load\]\] 2: trace .*trace\.csv: cannot be read"):
        host.make(tmp_path / "hosts", file.parse(text, "x", tmp_path))
    line = "2023-11-16 18:15:46.6805900,374,44\n"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + line * 300_000)  # more than a host's file holds
    with pytest.raises(DriverError, match="tables are full"):
        host.make(tmp_path / "hosts", file.parse(text, "x", tmp_path))
    assert list((tmp_path / "hosts").iterdir()) == []


def test_a_name_that_is_taken_is_refused_and_its_host_kept(tmp_path: Path) -> None:
    made = host.create(tmp_path, "box", gpus=1)
    before = made.plant.stat()
    with pytest.raises(InputError, match="'box' exists already"):
        host.create(tmp_path, "box", gpus=2)
    assert made.plant.stat().st_ino == before.st_ino


def test_a_directory_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long for a socket by"):
        host.create(tmp_path / ("x" * 100), "box")


@pytest.mark.parametrize("lock", ["agent.lock", "warden.lock"])
def test_a_host_in_use_is_not_deleted(tmp_path: Path, lock: str) -> None:
    made = host.create(tmp_path, "box", gpus=1)
    with (made.run / lock).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match=f"in use: {lock}"):
            host.delete(tmp_path, "box")
    host.delete(tmp_path, "box")
    assert not made.path.exists()


def test_what_is_left_of_a_host_without_its_plant_can_be_deleted_by_name(tmp_path: Path) -> None:
    made = host.create(tmp_path, "box", gpus=1)
    made.plant.unlink()
    with pytest.raises(InputError, match="no simulated host 'box'"):
        host.find(tmp_path, "box")
    with (made.run / "warden.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="in use"):
            host.delete(tmp_path, "box")
    host.delete(tmp_path, "box")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parts", [(), ("lib",), ("lib", "run", "state"), ("lib", "run", "state", "kernel")])
def test_what_a_maker_that_died_has_left_is_found_and_can_be_deleted(tmp_path: Path, parts: tuple[str, ...]) -> None:
    host.create(tmp_path, "whole", gpus=1)
    for part in ("", *parts):
        (tmp_path / "box" / part).mkdir()
    assert [left.name for left in host.remains(tmp_path)] == ["box"]
    with pytest.raises(InputError, match="'box' exists already"):
        host.create(tmp_path, "box", gpus=1)
    host.delete(tmp_path, "box")
    assert host.remains(tmp_path) == ()
    host.create(tmp_path, "box", gpus=1)


@pytest.mark.parametrize("part", ["lib", "bin", "run", "state", "kernel", "host.toml"])
def test_what_a_deleter_that_died_has_left_is_found_and_can_be_deleted(tmp_path: Path, part: str) -> None:
    made = host.create(tmp_path, "box", gpus=1)
    made.plant.rename(made.path / "plant.new")
    gone = made.path / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert [left.name for left in host.remains(tmp_path)] == ["box"]
    host.delete(tmp_path, "box")
    assert list(tmp_path.iterdir()) == []


def test_of_two_who_delete_a_host_at_once_one_does_and_the_other_finds_none(tmp_path: Path) -> None:
    def delete(_: int) -> str:
        try:
            host.delete(tmp_path, "box")
        except InputError as none:
            return str(none)
        return "deleted"

    for _ in range(20):
        host.create(tmp_path, "box", gpus=1)
        with ThreadPoolExecutor(2) as both:
            assert sorted(both.map(delete, range(2))) == ["deleted", "no simulated host 'box'; there are: none"]


def test_a_host_of_another_version_can_be_deleted_by_name(tmp_path: Path) -> None:
    made = host.create(tmp_path, "box", gpus=1)
    with made.plant.open("r+b") as file:
        file.seek(8)
        file.write(b"\6\0\0\0")
    assert [one.name for one in host.hosts(tmp_path)] == ["box"]
    host.delete(tmp_path, "box")
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_what_looks_like_a_host_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "lib").mkdir(parents=True)
    (tmp_path / "box").symlink_to(tmp_path / "elsewhere")
    assert "box" not in [left.name for left in host.remains(tmp_path)]
    with pytest.raises(InputError, match="no simulated host 'box'"):
        host.delete(tmp_path, "box")
    assert (tmp_path / "elsewhere/lib").is_dir()


@pytest.mark.parametrize("parts", [(), ("lib",), ("lib", "run"), ("run", "state"), ("lib", "state", "kernel")])
def test_a_directory_that_is_no_host_is_not_deleted(tmp_path: Path, parts: tuple[str, ...]) -> None:
    for part in ("", *parts):
        (tmp_path / "box" / part).mkdir()
    (tmp_path / "box/precious").write_text("")
    with pytest.raises(InputError, match="no simulated host 'box'; there are: none"):
        host.delete(tmp_path, "box")
    assert (tmp_path / "box/precious").exists()


def test_the_environment_names_the_host_and_keeps_the_rest(tmp_path: Path) -> None:
    made = host.create(tmp_path, "box", gpus=1)
    assert made.environment({"HOME": "/x", "LD_LIBRARY_PATH": "/y", "PATH": "/z"}) == {
        "HOME": "/x",
        "LD_LIBRARY_PATH": f"{made.lib}:/y",
        "PATH": f"{made.bin}:/z",
        "EAGENT_SIM_HOST": str(made.plant),
        "EAGENT_RUN_DIR": str(made.run),
        "EAGENT_STATE_DIR": str(made.state),
        "EAGENT_SYSFS": f"{made.path}/kernel/sys",
        "EAGENT_PROC": f"{made.path}/kernel/proc",
    }
    assert made.environment({})["LD_LIBRARY_PATH"] == str(made.lib)
    assert made.environment({})["PATH"] == f"{made.bin}:{os.defpath}"


@pytest.mark.parametrize("before", [{"PATH": "/z"}, {"PATH": "/z", "LD_LIBRARY_PATH": "/y"}])
def test_the_shell_lines_say_the_same_as_the_environment(tmp_path: Path, before: dict[str, str]) -> None:
    made = host.create(tmp_path / "a $b", "box", gpus=1)
    script = "\n".join([*made.shell_lines(), "/usr/bin/env -0"])
    shown = subprocess.run(["/bin/sh", "-c", script], env=before, check=True, capture_output=True, text=True).stdout
    assert made.environment(before).items() <= dict(line.split("=", 1) for line in shown.split("\0") if line).items()


def test_hosts_live_where_the_environment_says(tmp_path: Path) -> None:
    assert host.root({"EAGENT_SIM_DIR": str(tmp_path), "XDG_RUNTIME_DIR": "/run/x"}) == tmp_path
    assert host.root({"XDG_RUNTIME_DIR": "/run/x"}) == Path("/run/x/eagent-sim")
    assert host.root({}).parent == Path("/tmp")


def test_a_directory_that_may_not_be_opened_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "box").symlink_to("box")
    with pytest.raises(DriverError) as caught:
        host.delete(tmp_path, "box")
    assert str(caught.value) == f"cannot remove {tmp_path}/box: Too many levels of symbolic links"


def test_a_directory_that_may_not_be_made_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EagentError) as caught:
        host.create(tmp_path / "file", "box")
    assert "\n" not in str(caught.value)
