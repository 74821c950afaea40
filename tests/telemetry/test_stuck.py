from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.sampling import stuck as recorded
from eagent.telemetry.stuck import Watch

SECOND = 1_000_000_000


class Board:
    """A board that is looked at once a second; its power stays 46 W to the last digit unless it is told."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.now_s = 0

    def passes(
        self, seconds: int, *, celsius: float = 32, warming: float = 0, percent: int | None = None, mhz: int = 0
    ) -> bool:
        """Whether the reading is thought stuck after so many seconds."""
        for i in range(seconds):
            self.now_s += 1
            now_ns = self.now_s * SECOND
            self.watch.power(now_ns, 46_190)
            self.watch.temperature(now_ns, round(celsius + warming * i))
            if percent is not None:
                self.watch.use(now_ns, percent)
            if mhz:
                self.watch.clock(now_ns, mhz)
        return self.watch.power_stuck.open


def test_an_idle_board_whose_reading_never_moves_is_left_in_peace() -> None:
    assert not Board().passes(24 * 3600, percent=0, mhz=210)


def test_a_reading_that_stays_while_the_board_warms_is_stuck_within_seconds() -> None:
    board = Board()
    board.passes(60)
    assert board.passes(15, warming=0.7)


def test_warmth_that_creeps_in_is_the_room() -> None:
    board = Board()
    board.passes(60)
    assert not board.passes(600, warming=0.03)


def test_a_board_that_does_nothing_may_be_warmed_by_its_neighbours() -> None:
    board = Board()
    board.passes(60, percent=0)
    assert not board.passes(15, warming=0.7, percent=0)


def test_a_reading_that_stays_while_work_begins_is_stuck() -> None:
    board = Board()
    board.passes(60, percent=0)
    assert board.passes(5, percent=98)


def test_a_reading_that_stays_while_the_clock_changes_is_stuck() -> None:
    board = Board()
    board.passes(60, mhz=210)
    assert board.passes(5, mhz=1410)


def test_a_reading_that_moved_with_the_work_and_stays_since_is_not_stuck() -> None:
    board = Board()
    board.passes(60, percent=0)
    board.watch.power(board.now_s * SECOND + 1, 300_000)
    assert not board.passes(1, percent=98)
    assert not board.passes(60, percent=98, warming=0)


def test_a_stuck_reading_that_moves_again_is_well_and_the_time_is_remembered() -> None:
    board = Board()
    board.passes(60, percent=0)
    assert board.passes(10, percent=98)
    board.watch.power(80 * SECOND, 300_000)
    assert not board.watch.power_stuck.open
    assert 15 * SECOND <= board.watch.power_stuck.overlap_ns(0, 1000 * SECOND) <= 21 * SECOND


def test_a_counter_that_stands_while_power_is_read_is_stuck() -> None:
    watch = Watch()
    for second in range(20):
        watch.power(second * SECOND, 300_000 + second)
        watch.energy(second * SECOND, min(second, 8) * 300_000_000)
    assert watch.counter_stuck.open
    watch.energy(21 * SECOND, 4_000_000_000)
    assert not watch.counter_stuck.open


def test_a_reading_that_stays_while_the_counter_tells_of_more_is_stuck() -> None:
    watch = Watch()
    for second in range(30):
        watch.power(second * SECOND, 46_190)
        watch.energy(second * SECOND, second * (46_190_000 if second < 5 else 300_000_000))
    assert watch.power_stuck.open


@pytest.mark.skipif(recorded.RECORDING not in os.environ, reason=f"{recorded.RECORDING} does not say where it is")
def test_the_recorded_failure_is_noticed_within_half_a_minute() -> None:
    rows = list(recorded.recording(Path(os.environ[recorded.RECORDING])))
    found_s = recorded.flagged_s(rows)
    assert found_s is not None
    assert 0 <= found_s - recorded.onset_s(rows) <= 30


def test_a_short_quiet_day_of_a_simulated_host_flags_nothing() -> None:
    assert all(figure.value == 0 for figure in recorded.a_day(seconds=1800))
