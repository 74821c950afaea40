from __future__ import annotations

from pathlib import Path

import pytest

from eagent.asking import ask, clock_offset_ns, socket_path
from eagent.errors import UnavailableError


def listening(run: Path) -> Path:
    socket = run / "jobs/ask.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    return socket


def test_the_socket_is_that_of_the_named_directory_even_if_nobody_is_there(tmp_path: Path) -> None:
    listening(tmp_path / "system")
    environ = {"EAGENT_RUN_DIR": str(tmp_path / "own")}
    assert socket_path(environ, tmp_path / "system") == tmp_path / "own/jobs/ask.sock"


def test_the_hosts_agent_comes_before_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 1000)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    own, system = tmp_path / "eagent", tmp_path / "system"
    assert socket_path(environ, system) == system / "jobs/ask.sock"
    of_user = listening(own)
    assert socket_path(environ, system) == of_user
    of_system = listening(system)
    assert socket_path(environ, system) == of_system


@pytest.mark.parametrize(
    ("text", "offset_ns"),
    [
        ("monotonic           0         0\nboottime            0         0\n", 0),
        ("monotonic      86400         5\nboottime            7         0\n", 86_400_000_000_005),
        ("monotonic         -1 500000000\nboottime            0         0\n", -500_000_000),
        ("boottime            7         0\n", 0),
    ],
)
def test_a_time_namespace_shows_in_its_offset(tmp_path: Path, text: str, offset_ns: int) -> None:
    (tmp_path / "timens_offsets").write_text(text)
    assert clock_offset_ns(tmp_path / "timens_offsets") == offset_ns


def test_a_kernel_without_time_namespaces_has_one_clock(tmp_path: Path) -> None:
    assert clock_offset_ns(tmp_path / "none") == 0


def test_a_path_that_no_socket_can_have_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot reach the agent"):
        ask([(0, 1)], path=tmp_path / ("x" * 120))
