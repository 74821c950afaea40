"""What is said of the halves of the warden's loop, by their last signs of life."""

from __future__ import annotations

from typing import Any

import pytest

from eagent.agent.pulse import READING, UNKNOWN, WRITING, Half, pulse
from eagent.model import HANGS_AFTER_NS

SECOND_NS = 1_000_000_000


def stats(**told: int) -> Any:
    return {"started_ns": SECOND_NS, "heartbeat_ns": 0, "actuator_beat_ns": 0, **told}


def test_a_loop_that_was_never_started_has_no_pulse() -> None:
    assert pulse(None, 0, SECOND_NS) == UNKNOWN
    assert pulse(stats(started_ns=0), 0, SECOND_NS) == UNKNOWN
    assert [half.problem(warden_answers=True) for half in UNKNOWN.halves] == [None, None]


def test_before_its_first_turn_a_half_is_as_old_as_the_loop() -> None:
    found = pulse(stats(), 0, 4 * SECOND_NS)
    assert [half.silent_ns for half in found.halves] == [3 * SECOND_NS] * 2
    assert all(half.hangs for half in found.halves)


def test_each_half_is_judged_by_its_own_sign_of_life() -> None:
    found = pulse(stats(heartbeat_ns=9 * SECOND_NS, actuator_beat_ns=5 * SECOND_NS), 0, 9 * SECOND_NS)
    assert (found.reading.hangs, found.writing.hangs) == (False, True)
    found = pulse(stats(heartbeat_ns=5 * SECOND_NS, actuator_beat_ns=9 * SECOND_NS), 0, 9 * SECOND_NS)
    assert (found.reading.hangs, found.writing.hangs) == (True, False)


def test_a_half_hangs_a_turn_of_the_agent_before_two_seconds_are_over() -> None:
    assert HANGS_AFTER_NS + SECOND_NS // 4 < 2 * SECOND_NS
    assert not Half(READING, HANGS_AFTER_NS).hangs
    assert Half(READING, HANGS_AFTER_NS + 1).hangs


@pytest.mark.parametrize(("name", "means"), [(READING, "readings are missing"), (WRITING, "knobs stay where they")])
def test_the_alarm_says_which_half_hangs_since_when_and_what_it_means(name: str, means: str) -> None:
    line = Half(name, 12 * SECOND_NS).problem(warden_answers=True)
    assert line is not None
    assert f"the warden's {name} half hangs in a call of the driver for 12 s" in line
    assert means in line


def test_of_a_warden_that_is_gone_no_call_is_said_to_hang_and_it_is_said_once() -> None:
    gone = [Half(name, 12 * SECOND_NS).problem(warden_answers=False) for name in (READING, WRITING)]
    assert gone == ["the warden's loop is silent for 12 s: the warden is gone, or stands still", None]
