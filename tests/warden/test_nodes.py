"""Whether a device node is open in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eagent.warden.nodes import is_open

BUS_ID = "00000000:0A:00.0"
DEV_NULL = Path("/dev/null")
NULL = DEV_NULL.stat().st_rdev


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc that says that /dev/null is the GPU's node."""
    directory = tmp_path / "driver/nvidia/gpus/0000:0a:00.0"
    directory.mkdir(parents=True)
    (directory / "information").write_text(
        f"Model: \t\t NVIDIA H100 80GB HBM3\nDevice Minor: \t {os.minor(NULL)}\nGPU Excluded:\t No\n"
    )
    return tmp_path


def test_a_node_is_open_from_its_opening_to_its_closing(proc: Path, tmp_path: Path) -> None:
    fds = tmp_path / "fd"
    fds.mkdir()
    (fds / "3").symlink_to(tmp_path)
    (fds / "4").symlink_to(tmp_path / "closed since")
    assert not is_open(BUS_ID, proc, os.major(NULL), fds)
    (fds / "5").symlink_to(DEV_NULL)
    assert is_open(BUS_ID, proc, os.major(NULL), fds)
    assert not is_open(BUS_ID, proc, os.major(NULL) + 1, fds)


def test_this_processs_own_descriptors_are_looked_at(proc: Path) -> None:
    with DEV_NULL.open("rb"):
        assert is_open(BUS_ID, proc, os.major(NULL))


def test_without_the_kernels_word_nothing_is_said_to_be_open(tmp_path: Path) -> None:
    with DEV_NULL.open("rb"):
        assert not is_open(BUS_ID, tmp_path, os.major(NULL))
