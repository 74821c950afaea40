"""A command that a sweep runs: its lines, its end, and nothing left of it."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

import pytest

from eagent.cli.sweep import command

PYTHON = [sys.executable, "-c"]


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody reaps has."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def run(script: str, timeout_s: float | None = None) -> tuple[command.Ended, list[str], int]:
    lines: list[str] = []
    ticks: list[float] = []
    ended = command.run([*PYTHON, script], lines.append, lambda: ticks.append(time.monotonic()), timeout_s)
    return ended, lines, len(ticks)


def test_lines_come_as_they_are_printed_and_the_exit_code_is_its_own() -> None:
    ended, lines, ticks = run(
        "import sys; print('a', 1); print('b\\rc', file=sys.stderr); print('d', end=''); sys.exit(7)"
    )
    assert (ended.code, sorted(lines)) == (7, ["a 1", "b", "c", "d"])
    assert ended.last_lines[-1] in lines
    assert ticks


def test_a_line_is_told_long_before_the_end() -> None:
    seen: list[float] = []
    command.run([*PYTHON, "import time; print('go'); time.sleep(0.5)"], lambda _: seen.append(time.monotonic()), int)
    assert time.monotonic() - seen[0] > 0.4, "a pipe would buffer what Python prints"


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    place = tmp_path / "pid"
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    keep = f"open({str(place)!r}, 'w').write(str(child.pid))"
    script = f"import subprocess, sys, time; child = {child}; {keep}; time.sleep(60)"
    ended, _, _ = run(script, 1.0)
    assert ended.code is None
    deadline = time.monotonic() + 5
    while not is_gone(int(place.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_gone(int(place.read_text()))


def test_whatever_is_raised_meanwhile_ends_it(tmp_path: Path) -> None:
    place = tmp_path / "pid"

    def tick() -> None:
        if place.exists() and place.read_text():
            raise KeyboardInterrupt

    script = f"import os, time; open({str(place)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        command.run([*PYTHON, script], lambda _: None, tick)
    with pytest.raises(ProcessLookupError):
        os.kill(int(place.read_text()), 0)


def test_what_it_leaves_running_is_not_waited_for() -> None:
    begun_s = time.monotonic()
    ended, lines, _ = run(
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print('left')"
    )
    assert (ended.code, lines) == (0, ["left"])
    assert time.monotonic() - begun_s < 30


def test_what_is_no_text_and_a_line_without_end_do_no_harm() -> None:
    log = io.BytesIO()
    lines: list[str] = []
    script = "import sys; sys.stdout.buffer.write(b'\\xff\\n' + b'x' * 300_000)"
    command.run([*PYTHON, script], lines.append, lambda: None, None, log)
    assert lines[0] == "\ufffd"
    assert len(lines) == 2
    assert len(log.getvalue()) == 300_002


def test_a_signal_is_told_as_shells_do() -> None:
    ended, _, _ = run("import os; os.kill(os.getpid(), 9)")
    assert ended.code == 137
