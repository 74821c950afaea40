"""Files that are no host of this version: each is refused, and told apart from the others."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.errors import DriverError
from eagent.sim._bmc import Bmc
from eagent.sim._driver import Driver
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim._watch import Watch

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab

VERSION_AT, SIZE_AT, LOCK_AT = 8, 16, 64  # after the magic number; after version and index; after the boot's id
LOCK_KIND_AT = LOCK_AT + 16


def write(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


@pytest.fixture
def plant(lab: Lab, tmp_path: Path) -> Path:
    """A host's file that nobody has open."""
    path = tmp_path / "plant"
    lab(gpus=2, path=path).close()
    return path


def refusal(path: Path) -> str:
    """What all faces of the plant say of the file."""
    said = set()
    for face in (Host, Bmc, Driver, Faults, Watch):
        with pytest.raises(DriverError) as caught:
            face(path)
        said.add(str(caught.value))
    (line,) = said
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize("version", [0, 1, 7, 10, 2**32 - 1])
def test_a_file_of_another_version_is_refused_with_both_versions(plant: Path, version: int) -> None:
    mine = struct.unpack("<I", plant.read_bytes()[VERSION_AT : VERSION_AT + 4])[0]
    write(plant, VERSION_AT, struct.pack("<I", version))
    assert refusal(plant) == (
        f"made by another version of eagent (file version {version}, this is {mine}): delete it and make it anew"
    )


def test_a_file_of_another_version_is_so_whatever_its_size(plant: Path) -> None:
    write(plant, VERSION_AT, struct.pack("<I", 6))
    os.truncate(plant, 4096)
    assert refusal(plant).startswith("made by another version of eagent (file version 6,")


def test_a_file_of_the_same_version_in_another_layout_is_of_another_build(plant: Path) -> None:
    size = plant.stat().st_size
    os.truncate(plant, size + 64)
    write(plant, SIZE_AT, struct.pack("<Q", size + 64))
    assert refusal(plant) == (
        f"made by another build of eagent (file of {size + 64} bytes, this is {size}): delete it and make it anew"
    )


@pytest.mark.parametrize("size", [24, 4096, -1])
def test_a_file_cut_short_is_damaged(plant: Path, size: int) -> None:
    os.truncate(plant, size if size > 0 else plant.stat().st_size - 1)
    assert refusal(plant) == "a simulated host whose file is damaged: delete it and make it anew"


@pytest.mark.parametrize("at", [18500, 22000, 26000])  # well within it
def test_a_description_of_which_a_byte_has_changed_is_damage(plant: Path, at: int) -> None:
    before = plant.read_bytes()[at]
    write(plant, at, bytes([before ^ 0x10]))
    assert "is damaged" in refusal(plant)
    write(plant, at, bytes([before]))
    Host(plant).close()


@pytest.mark.parametrize("kind", [0, 0x20, 0x91, 0xFFFFFFFF])
def test_a_lock_of_another_kind_is_damage(plant: Path, kind: int) -> None:
    write(plant, LOCK_KIND_AT, struct.pack("<I", kind))  # the C library aborts over some of these
    assert "is damaged" in refusal(plant)


@pytest.mark.parametrize("size", [0, 23])
def test_what_is_too_short_for_a_header_is_no_host(plant: Path, size: int) -> None:
    os.truncate(plant, size)
    assert refusal(plant) == "not a simulated host"


def test_a_host_whose_maker_died_before_it_was_finished_is_no_host(plant: Path) -> None:
    write(plant, 0, bytes(8))  # the magic number is written last
    assert refusal(plant) == "not a simulated host"


def test_what_is_no_file_is_no_host(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "not a simulated host"
    assert refusal(tmp_path) == "Is a directory"
    assert refusal(tmp_path / "none") == "No such file or directory"
