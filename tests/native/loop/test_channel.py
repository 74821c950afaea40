"""The learning of a sensor's times, on sensors whose times are known: none is lost, and every age is right."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

LEARNING, TRACKING, FREE = range(3)
LEARNING_LOOKS = 400  # more of them, to learn a period anew
STEP_S, FREE_S = 0.004, 0.05


class _Sensor(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_double) for name in ("period_s", "phase_s", "jitter", "drift", "jump_at_s", "jump_s", "repeats")
    )


class _Wakes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_double) for name in ("late_s", "very_late_s", "very_late"))


class _Story(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_uint64)
            for name in ("published", "caught", "missed", "looks", "untracked", "begun", "skipped")
        ),
        *((name, ctypes.c_double) for name in ("tracking_since_s", "age_p95_s", "age_error_p95_s", "period_s")),
        ("mode", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    )


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor that publishes by its own clock; shares of a period unless the name says otherwise."""

    period_s: float
    phase_s: float = 0.013
    jitter: float = 0.01
    drift: float = 0.0  # of the period, a second
    jump_at_s: float = 0.0
    jump_s: float = 0.0
    repeats: float = 0.0  # of its publications, that show what the one before did


Play = Callable[..., Any]


@pytest.fixture(scope="session")
def play(compiled: Callable[..., Path]) -> Play:
    """Let a channel look at a sensor for so long; counts begin after three seconds."""
    c = ctypes.CDLL(str(compiled("channel_player.c", "channel")))
    d = ctypes.c_double
    c.play.argtypes = (ctypes.c_void_p, ctypes.c_void_p, d, d, d, d, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p)

    def run(
        sensor: Sensor,
        until_s: float = 120.0,
        late: tuple[float, float, float] = (1e-4, 0.0, 0.0),
        step_s: float = STEP_S,
        skip: int = 0,
        seed: int = 1,
    ) -> Any:
        story = _Story()
        given_sensor = _Sensor(*(getattr(sensor, name) for name, _ in _Sensor._fields_))
        c.play(
            ctypes.byref(given_sensor),
            ctypes.byref(_Wakes(*late)),
            *(step_s, FREE_S, 3.0, until_s, skip, seed, ctypes.byref(story)),
        )
        return story

    return run


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.015, 0.15), st.floats(0, 0.15), st.integers(1, 2**32))
@example(0.01815115440498345, 0.025, 1248031)  # learns anew at 120 s
@example(0.05743780564181159, 0.05743780564181159, 434572)  # likewise, before 10 s
def test_whatever_period_and_phase_no_publication_is_lost_and_few_looks_are_wasted(
    play: Play, period_s: float, phase_s: float, seed: int
) -> None:
    story = play(Sensor(period_s, phase_s), seed=seed)
    assert story.tracking_since_s < 3
    assert story.caught >= story.published - 1
    # In one of a thousand such stories wake-ups come late several times in a row, and it learns the period anew.
    assert story.looks <= 1.2 * story.published + LEARNING_LOOKS
    assert story.age_p95_s <= 0.015
    assert story.age_error_p95_s <= 0.001 + 0.02 * period_s


@pytest.mark.parametrize("period_s", [0.02023, 0.1])
@pytest.mark.parametrize("drift", [-1e-5, 1e-5])
def test_a_period_that_drifts_is_followed(play: Play, period_s: float, drift: float) -> None:
    story = play(Sensor(period_s, drift=drift), until_s=300)
    assert story.caught >= 0.999 * story.published
    assert story.period_s == pytest.approx(period_s * (1 + drift * 300), rel=2e-3)
    assert story.age_error_p95_s <= 0.001 + 0.02 * period_s


@pytest.mark.parametrize("jump_s", [0.006, 0.043, 0.09])
def test_a_sensor_that_begins_at_another_phase_is_learnt_again(play: Play, jump_s: float) -> None:
    story = play(Sensor(0.1, jump_at_s=60, jump_s=jump_s))
    assert story.mode == TRACKING
    assert story.caught >= story.published - 2
    assert story.age_p95_s <= 0.015


def test_wake_ups_that_come_late_now_and_then_lose_only_what_passed_meanwhile(play: Play) -> None:
    story = play(Sensor(0.02023), late=(2e-4, 0.008, 0.02))
    assert story.caught == story.published
    story = play(Sensor(0.02023), until_s=300, late=(1e-4, 0.03, 0.01))
    lost = story.published - story.caught
    assert 0 < lost < 0.02 * story.published
    assert story.missed == pytest.approx(lost, rel=0.1), "what was not seen is counted"


def test_readings_that_repeat_themselves_do_not_lose_the_phase(play: Play) -> None:
    story = play(Sensor(0.1, repeats=0.05))
    assert story.mode == TRACKING
    assert story.begun == 0
    assert story.age_p95_s <= 0.015


@pytest.mark.parametrize("sensor", [Sensor(0.002), Sensor(1.0), Sensor(0.1, jitter=0.3), Sensor(0.1, repeats=0.95)])
def test_of_a_sensor_without_a_period_that_can_be_learnt_nothing_is_claimed(play: Play, sensor: Sensor) -> None:
    story = play(sensor)
    assert story.mode != TRACKING
    assert story.looks <= 120 * (1 / FREE_S + 0.3 / STEP_S), "and it is not looked at as often as while learning"


def test_who_is_woken_too_rarely_to_tell_a_period_does_not_claim_one(play: Play) -> None:
    story = play(Sensor(0.1), late=(0.045, 0.0, 0.0))
    assert story.mode != TRACKING
    assert story.caught >= 0.9 * story.published


@pytest.mark.parametrize("skip", [1, 3, 31])
@pytest.mark.parametrize("period_s", [0.02023, 0.1])
def test_who_passes_publications_over_keeps_the_phase(play: Play, period_s: float, skip: int) -> None:
    story = play(Sensor(period_s), until_s=600, skip=skip)
    assert story.mode == TRACKING
    assert story.begun == 0
    assert story.age_p95_s <= 0.015
    assert story.age_error_p95_s <= 0.001 + 0.03 * period_s  # it sees less of it
    assert story.caught + story.skipped == pytest.approx(story.published, rel=0.02)
    assert story.looks <= 1.3 * story.published / (1 + skip) + 600 / 0.2
