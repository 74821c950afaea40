"""What the loop makes of a lease that does not fit the envelope any more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eagent.hardware._loop import scaled

MOST_MW = 2**32 - 1


@st.composite
def vectors(draw: st.DrawFn, most_mw: int = MOST_MW) -> tuple[list[int], list[int], int]:
    """Leased limits, safe caps, and an envelope that the safe caps fit into."""
    count = draw(st.integers(1, 64))
    one = st.integers(0, most_mw)
    leased = draw(st.lists(one, min_size=count, max_size=count))
    safe = draw(st.lists(one, min_size=count, max_size=count))
    return leased, safe, sum(safe) + draw(st.integers(0, most_mw * count))


@given(vectors())
def test_a_scaled_vector_never_sums_above_the_envelope_and_leaves_less_than_a_milliwatt_each(
    vector: tuple[list[int], list[int], int],
) -> None:
    leased, safe, envelope_mw = vector
    found = scaled(leased, safe, envelope_mw)
    assert sum(found) <= envelope_mw
    if sum(leased) > envelope_mw:
        assert sum(found) > min(sum(leased), envelope_mw) - len(leased) or found == safe


@given(vectors())
def test_no_limit_is_raised_and_none_is_lowered_below_its_safe_cap(vector: tuple[list[int], list[int], int]) -> None:
    leased, safe, envelope_mw = vector
    for before, after, cap in zip(leased, scaled(leased, safe, envelope_mw), safe, strict=True):
        assert min(before, cap) <= after <= before


@given(vectors())
def test_a_vector_that_fits_stays_and_so_does_a_scaled_one(vector: tuple[list[int], list[int], int]) -> None:
    leased, safe, envelope_mw = vector
    once = scaled(leased, safe, envelope_mw)
    if sum(leased) <= envelope_mw:
        assert once == leased
    assert scaled(once, safe, envelope_mw) == once


@given(vectors(), st.integers(0, MOST_MW))
def test_a_greater_envelope_lowers_no_limit(vector: tuple[list[int], list[int], int], more_mw: int) -> None:
    leased, safe, envelope_mw = vector
    less, more = scaled(leased, safe, envelope_mw), scaled(leased, safe, envelope_mw + more_mw)
    assert all(a <= b for a, b in zip(less, more, strict=True))


@given(vectors())
def test_who_had_more_above_its_safe_cap_has_no_less_after(vector: tuple[list[int], list[int], int]) -> None:
    leased, safe, envelope_mw = vector
    found = scaled(leased, safe, envelope_mw)
    above = sorted(
        (max(before - cap, 0), max(after - cap, 0)) for before, after, cap in zip(leased, found, safe, strict=True)
    )
    assert [after for _, after in above] == sorted(after for _, after in above)


def test_what_is_above_the_safe_caps_shrinks_by_one_factor() -> None:
    leased, safe = [700_000, 500_000, 250_000, 300_000, 0], [300_000, 300_000, 300_000, 300_000, 0]
    assert scaled(leased, safe, 1_300_000) == [400_000, 350_000, 250_000, 300_000, 0]  # a quarter of 400 W and 200 W


def test_where_the_safe_caps_do_not_fit_none_is_above_its_own() -> None:
    assert scaled([700_000, 100_000], [300_000, 300_000], 50_000) == [300_000, 100_000]
