"""What several owners agree to: nobody is lowered further, or slowed more, than it asked for."""

from __future__ import annotations

from dataclasses import astuple, fields

from hypothesis import given
from hypothesis import strategies as st

from eagent.wish import Wish, agreed

number = st.none() | st.floats(0.01, 1000)
wishes = st.builds(Wish, *[number] * len(fields(Wish)))


@given(st.lists(wishes, min_size=1, max_size=5))
def test_nobody_is_lowered_further_or_slowed_more_than_it_asked_for(asked: list[Wish]) -> None:
    for each in fields(Wish):
        values, together = [getattr(wish, each.name) for wish in asked], getattr(agreed(asked), each.name)
        if None in values:
            assert together is None
        else:
            is_bound = each.name in ("limit_w", "clock_mhz")
            assert together == (max(values) if is_bound else min(values))


@given(wishes)
def test_bounds_are_what_is_left_without_goals(wish: Wish) -> None:
    assert astuple(wish.bounds) == (wish.limit_w, wish.clock_mhz, None, None, None)
    assert wish.is_empty == (set(astuple(wish)) == {None})
