"""Attributes read and written, and errors that say what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import DriverError
from eagent.hardware import sysfs
from eagent.hardware.sysfs import AttributeMissingError


def test_a_number_is_read_without_its_newline(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("42\n")
    assert sysfs.read(tmp_path / "a") == "42"
    assert sysfs.read_whole(tmp_path / "a") == 42


@given(content=st.binary(max_size=60))
def test_any_content_is_a_number_or_a_one_line_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    if re.fullmatch(rb"\s*[0-9]+\s*", content):
        assert sysfs.read_whole(path) == int(content)
    else:
        with pytest.raises(DriverError, match=re.escape(str(path))) as caught:
            sysfs.read_whole(path)
        assert "\n" not in str(caught.value)


def test_what_is_not_there_is_told_apart_and_never_made(tmp_path: Path) -> None:
    for call in (lambda: sysfs.read(tmp_path / "a"), lambda: sysfs.write(tmp_path / "a", "1")):
        with pytest.raises(AttributeMissingError, match=f"{tmp_path}/a: No such file"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_kernel_is_named_with_what_was_written() -> None:
    with pytest.raises(DriverError, match=r"^cannot write 'x' to /dev/full: No space left on device$"):
        sysfs.write(Path("/dev/full"), "x")
