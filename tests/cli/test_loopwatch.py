"""How long a loop hangs by its ring, over looks at times of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.cli.loopwatch import GAP_MOST_S, LoopWatch
from tests.telemetry.conftest import make_writer, writer, writer_library

__all__ = ["make_writer", "writer", "writer_library"]

PID = os.getpid()


@pytest.fixture
def ring(writer: Any) -> Any:
    """A ring whose loop has begun."""
    writer.set_stats(1, 10)
    writer.set_actuator_beat(10)
    return writer


def looks(watch: LoopWatch, begin_s: float, end_s: float, pid: int = PID) -> float:
    """One each half second; what the last one says."""
    silent_s = 0.0
    for half in range(round(begin_s * 2), round(end_s * 2) + 1):
        silent_s = watch.silent_s(pid, half / 2)
    return silent_s


def test_a_loop_that_goes_on_is_never_silent(ring: Any) -> None:
    watch = LoopWatch(ring.path)
    for second in range(1, 10):
        ring.set_stats(1, 10 + second)
        ring.set_actuator_beat(10 + second)
        assert looks(watch, second, second + 0.5) <= 0.5
    watch.close()


@pytest.mark.parametrize("half", ["reading", "writing"])
def test_one_half_that_stands_still_is_counted_while_the_other_goes_on(ring: Any, half: str) -> None:
    watch = LoopWatch(ring.path)
    for second in range(1, 11):
        if half == "reading":
            ring.set_actuator_beat(10 + second)
        else:
            ring.set_stats(1, 10 + second)
        silent_s = looks(watch, second, second + 0.5)
    assert silent_s == 9.5
    watch.close()


def test_what_is_read_within_a_slow_turn_is_a_sign_of_life(ring: Any) -> None:
    watch = LoopWatch(ring.path)
    for second in range(1, 11):
        ring.push(1)
        ring.set_actuator_beat(10 + second)
        assert looks(watch, second, second + 0.5) <= 0.5
    watch.close()


def test_time_in_which_nobody_looked_counts_against_nobody(ring: Any) -> None:
    watch = LoopWatch(ring.path)
    looks(watch, 1, 2)
    assert watch.silent_s(PID, 1000.0) == 1.0 + GAP_MOST_S, "we stood still ourselves"
    watch.close()


def test_the_ring_of_another_process_and_none_say_nothing(ring: Any, tmp_path: Path) -> None:
    watch = LoopWatch(ring.path)
    assert looks(watch, 1, 60, pid=PID + 1) == 0
    watch.close()
    assert looks(LoopWatch(tmp_path / "none"), 1, 60) == 0


def test_a_new_ring_begins_anew(ring: Any, make_writer: Callable[[], Any]) -> None:
    watch = LoopWatch(ring.path)
    assert looks(watch, 1, 10) == 9
    make_writer()
    assert looks(watch, 10.5, 20) == 0, "its loop has not begun"
    watch.close()
