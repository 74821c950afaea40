"""A child that hangs is ended, by force if need be, and what can't be ended is said. Times are the test's own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eagent.cli.child import END_S, Child
from eagent.cli.dispatch import Context
from eagent.paths import Paths

DEAF = "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {path}.touch(); time.sleep(600)"
BEGUN_S = 30.0  # an interpreter, on a machine that runs other tests


class OnTest(Child):
    """A child that runs a script instead of one of ours."""

    def __init__(self, context: Context, path: Path, script: str) -> None:
        super().__init__("warden", context, path, socket.SOCK_STREAM)
        self._command = [sys.executable, "-c", script]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[[str], OnTest]]:
    made: list[OnTest] = []

    def make(script: str) -> OnTest:
        made.append(OnTest(Context(Paths(tmp_path, tmp_path)), tmp_path / "socket", script))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()


def test_one_that_ends_when_told_is_not_killed_and_another_is_started(
    child: Callable[[str], OnTest], capsys: pytest.CaptureFixture[str]
) -> None:
    one = child("import time; time.sleep(600)")
    first = one.pid
    one.replace(100.0, "its loop has hung in a call of the driver for 30 s")
    one.replace(100.0, "and again")
    assert one.process.wait(BEGUN_S) == -signal.SIGTERM
    one.keep_alive(101.0)
    one.keep_alive(200.0)
    assert one.alive
    assert one.pid != first
    said = capsys.readouterr().err
    assert said.count("is ended and replaced: its loop has hung in a call of the driver for 30 s") == 1
    assert "can't end" not in said


def test_one_that_does_not_end_when_told_is_killed(child: Callable[[str], OnTest], tmp_path: Path) -> None:
    is_deaf = tmp_path / "deaf"
    one = child(DEAF.format(path=f"pathlib.{is_deaf!r}"))
    begun_s = time.monotonic()
    while not is_deaf.exists():
        assert time.monotonic() < begun_s + BEGUN_S
        time.sleep(0.01)
    one.replace(100.0, "it hangs")
    one.keep_alive(100.0 + END_S / 2)
    assert one.alive
    one.keep_alive(100.0 + END_S)
    assert one.process.wait(BEGUN_S) == -signal.SIGKILL


def test_one_that_the_kernel_can_not_end_is_said_once_and_no_other_is_started_beside_it(
    child: Callable[[str], OnTest], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child("import time; time.sleep(600)")
    for call in ("terminate", "kill"):  # as in a call of the driver that can't be interrupted
        monkeypatch.setattr(one.process, call, lambda: None)
    one.replace(100.0, "it hangs")
    for now in (105.0, 109.0, 111.0, 200.0, 300.0):
        one.keep_alive(now)
        one.replace(now, "it hangs")
    said = capsys.readouterr().err
    assert said.count("the kernel can't end the warden") == 1
    assert "Nothing is governed until that call ends" in said
    monkeypatch.undo()
    one.process.kill()
    one.process.wait()
    one.keep_alive(301.0)
    one.keep_alive(400.0)
    assert one.alive, "when it is gone at last, another takes its place"
