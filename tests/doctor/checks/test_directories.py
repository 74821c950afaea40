import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.doctor.checks import directories
from eagent.doctor.host import Host
from eagent.paths import Paths

Tell = Callable[[Any], list[tuple[str, str, str]]]


def test_directories_of_our_own_are_ok(host: Host, tell: Tell) -> None:
    uid = os.getuid()
    mine = replace(host, user=replace(host.user, uid=uid))
    assert tell(directories.check(mine)) == [
        ("ok", str(path), f"belongs to user {uid}, with space") for path in (host.paths.run, host.paths.state)
    ]


def test_directories_that_eagent_would_refuse_are_problems(host: Host, tmp_path: Path, tell: Tell) -> None:
    host.paths.run.chmod(0o777)
    (tmp_path / "file").touch()
    seen = replace(
        host,
        paths=Paths(run=host.paths.run, state=tmp_path / "file"),
        user=replace(host.user, uid=os.getuid()),
    )
    assert tell(directories.check(seen)) == [
        ("problem", str(host.paths.run), "anyone may write into it, and so replace eagent's sockets and journal"),
        ("problem", str(tmp_path / "file"), "not a directory"),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_a_problem_unless_eagent_runs_in_it(
    host: Host, status: Callable[..., Any], tell: Tell
) -> None:
    os.chown(host.paths.run, 4711, 4711)
    assert tell(directories.check(host))[0][0] == "problem"
    assert tell(directories.check(replace(host, status=status())))[0][0] == "ok"


def test_directories_that_are_not_there_yet_are_noted_and_not_made(host: Host, tmp_path: Path, tell: Tell) -> None:
    absent = Paths(run=tmp_path / "a" / "run", state=tmp_path / "a" / "state")
    assert [severity for severity, _, _ in tell(directories.check(replace(host, paths=absent)))] == ["note", "note"]
    assert not (tmp_path / "a").exists()


def test_a_run_directory_too_long_for_a_socket_is_a_problem(host: Host, tell: Tell) -> None:
    long = Paths(run=Path("/" + "x" * 120), state=host.paths.state)
    assert "too long for a socket's name" in tell(directories.check(replace(host, paths=long)))[0][2]
