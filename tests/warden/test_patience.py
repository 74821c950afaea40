"""Calls that hang keep nobody waiting, and what they end with is not lost. A call hangs while a test holds an event."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from eagent.errors import DriverError, RefusedError
from eagent.model import HANGS_AFTER_NS
from eagent.warden.patience import Call, Patience, hangs

SECOND_NS = 1_000_000_000


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What a hanging call waits for."""
    event = threading.Event()
    yield event
    event.set()


def test_a_call_that_ends_has_its_answer_or_raises_what_it_raised() -> None:
    answered = Call(lambda: 7, "answers")
    assert answered.wait(10)
    assert answered.answer() == 7

    def fail() -> int:
        raise DriverError("no usable driver")

    failed = Call(fail, "fails")
    assert failed.wait(10)
    with pytest.raises(DriverError, match="no usable driver"):
        failed.answer()


def test_a_call_that_hangs_is_not_waited_for_without_end(released: threading.Event) -> None:
    hanging = Call(released.wait, "hangs")
    assert not hanging.wait(0.0)
    assert not hanging.ended
    released.set()
    assert hanging.wait(10)


def test_while_one_call_hangs_all_others_are_refused_at_once_and_after_it_they_are_asked(
    released: threading.Event,
) -> None:
    asked: list[int] = []

    def hang() -> int:
        released.wait()
        return 250_000

    def ask() -> int:
        asked.append(1)
        return 300_000

    patience = Patience()  # no request has begun, so there is no time to wait
    with pytest.raises(RefusedError, match="the driver does not answer within 1 s"):
        patience.ask(hang)
    patience.begin()
    with pytest.raises(RefusedError, match="a call of the driver hangs"):
        patience.ask(ask)
    assert asked == []
    released.set()
    assert patience._hanging is not None
    assert patience._hanging.wait(10)
    patience.begin()
    assert patience.ask(ask) == 300_000
    assert patience.ask(lambda: None) is None


@pytest.mark.parametrize(
    ("beats_ns", "hung"),
    [
        ((0, 0), False),  # not begun
        ((10 * SECOND_NS, 10 * SECOND_NS), False),
        ((10 * SECOND_NS - HANGS_AFTER_NS - 1, 10 * SECOND_NS), True),
        ((10 * SECOND_NS, 10 * SECOND_NS - HANGS_AFTER_NS - 1), True),
        ((10 * SECOND_NS - HANGS_AFTER_NS, 0), False),
    ],
)
def test_a_loop_hangs_when_one_of_its_halves_does(beats_ns: tuple[int, int], hung: bool) -> None:
    assert hangs(beats_ns, 10 * SECOND_NS) is hung
