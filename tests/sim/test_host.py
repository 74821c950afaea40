"""Simulated hosts as directories."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from eagent.errors import EagentError, InputError, RefusedError
from eagent.sim import host
from eagent.sim._plant import Host


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
        ({"gpus": 0}, "gpus 0: must be 1 to 16"),
        ({"gpus": 17}, "gpus 17: must be 1 to 16"),
        ({"seed": -1}, "seed -1"),
        ({"gpu_model": "a100-sxm4-80"}, r"no GPU model 'a100-sxm4-80' \(did you mean 'a100-sxm4-80gb'\?\)"),
        ({"permission": "me"}, "permission 'me'"),
        ({"cpu_model": "z80"}, "no processor model 'z80'; there are: epyc-7543, xeon-platinum-8358"),
        ({"powercap": "dtpm"}, "powercap 'dtpm': must be one of intel-rapl, intel-rapl-mmio, amd"),
        ({"clock": "sand"}, "clock 'sand'"),
    ],
)
def test_what_cannot_be_made_leaves_nothing_behind(tmp_path: Path, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        host.create(tmp_path, "box", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


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


def test_a_directory_that_may_not_be_made_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EagentError) as caught:
        host.create(tmp_path / "file", "box")
    assert "\n" not in str(caught.value)
