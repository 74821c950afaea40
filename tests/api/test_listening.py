import os
import socket
import stat
from pathlib import Path

import pytest

from eagent.api.listening import bind, listen
from eagent.errors import UnavailableError


def test_the_socket_is_made_no_wider_than_0660_and_not_narrowed_after(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with socket.socket(socket.AF_UNIX) as unbound:
            bind(unbound, tmp_path / "s")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


def test_the_group_may_connect_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        listen(tmp_path / "s").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


def test_a_socket_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="too long for a socket's name"):
        listen(tmp_path / ("x" * 100) / "api.sock")
    with pytest.raises(UnavailableError, match="No such file or directory"):
        listen(tmp_path / "none" / "api.sock")
