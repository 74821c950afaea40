import grp
import os
import pwd
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eagent.client import Client, NoAgentError
from eagent.errors import EagentError, UnavailableError


def refused(path: Path, **options: Any) -> EagentError:
    with pytest.raises(EagentError) as refusal:
        Client(path, **options).request("GET", "/v1/status")
    assert "\n" not in str(refusal.value)
    return refusal.value


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something that takes one request, sends `answer` and closes."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(5)
        assert not thread.is_alive()


def test_no_socket_is_no_agent_and_says_how_to_start_one(tmp_path: Path) -> None:
    problem = refused(tmp_path / "api.sock")
    assert isinstance(problem, NoAgentError)
    assert "no agent runs here" in str(problem)
    assert "`eagent up`" in str(problem)


def test_a_file_where_the_directory_should_be_is_no_agent(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    assert isinstance(refused(tmp_path / "run" / "api.sock"), NoAgentError)


def test_a_socket_that_a_dead_agent_left_says_so(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "api.sock"))
    stale.close()
    problem = refused(tmp_path / "api.sock")
    assert isinstance(problem, NoAgentError)
    assert "dead" in str(problem)
    assert "`eagent up`" in str(problem)


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes a user that may not open the socket")
def test_a_socket_one_may_not_open_names_who_may() -> None:
    root = f"user {pwd.getpwuid(0).pw_name} or in group {grp.getgrgid(0).gr_name}"
    path = Path(tempfile.mkdtemp()) / "api.sock"  # tmp_path lies behind a directory that only its owner may enter
    path.parent.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0o600)
        os.seteuid(65_534)
        try:
            problem = refused(path)
        finally:
            os.seteuid(0)
            path.unlink()
            path.parent.rmdir()
    assert isinstance(problem, UnavailableError)
    assert not isinstance(problem, NoAgentError)
    assert f"run as {root}" in str(problem)


def test_a_path_too_long_for_a_socket_is_one_line(tmp_path: Path) -> None:
    assert "too long" in str(refused(tmp_path / ("x" * 120)))


def test_an_agent_that_does_not_answer_in_time_says_so(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "api.sock"))
        listening.listen()
        assert "did not answer within 0.02 s" in str(refused(tmp_path / "api.sock", timeout_s=0.02))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not one of eagent's"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not one of eagent's"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "not one of eagent's"),
        (b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}", "not one of eagent's"),
        (b"HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "not one of eagent's"),
        (b"HTTP/1.1 418 no\r\nContent-Length: 2\r\n\r\n{}", "HTTP status 418"),
    ],
)
def test_what_is_not_a_whole_answer_of_an_agent_is_one_line(tmp_path: Path, answer: bytes, says: str) -> None:
    with answering(tmp_path / "api.sock", answer):
        assert says in str(refused(tmp_path / "api.sock"))


def test_a_refusal_sent_before_the_request_was_read_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b'HTTP/1.1 503 x\r\nContent-Length: 22\r\n\r\n{"error": "all taken"}')

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(EagentError, match="all taken"):
            Client(path).request("PUT", "/v1/budget", {"padding": "x" * 5_000_000})
        thread.join(5)
