"""When the warden is asked again."""

from __future__ import annotations

import pytest

from eagent.agent.questions import LEAST_NS, MOST_NS, Questions

NOW_NS = 5_000_000_000


@pytest.fixture
def questions() -> Questions:
    """One was answered at NOW_NS, when the ring had told of seven changes."""
    made = Questions()
    made.asked(7, NOW_NS)
    return made


def test_who_has_never_asked_asks() -> None:
    assert Questions().are_due(0, 0)


def test_a_change_is_asked_for_and_not_more_than_once_a_second(questions: Questions) -> None:
    assert not questions.are_due(8, NOW_NS + LEAST_NS - 1)
    assert questions.are_due(8, NOW_NS + LEAST_NS)


def test_where_nothing_has_changed_it_is_asked_now_and_then(questions: Questions) -> None:
    assert not questions.are_due(7, NOW_NS + MOST_NS - 1)
    assert questions.are_due(7, NOW_NS + MOST_NS)


def test_a_ring_that_tells_nothing_or_is_another_one_leaves_each_second(questions: Questions) -> None:
    assert questions.are_due(None, NOW_NS + LEAST_NS)
    assert questions.are_due(0, NOW_NS + LEAST_NS)
    questions.asked(None, NOW_NS)
    assert questions.are_due(None, NOW_NS + LEAST_NS)


def test_what_is_to_be_asked_is_asked_at_once(questions: Questions) -> None:
    questions.ask()
    assert questions.are_due(7, NOW_NS)
