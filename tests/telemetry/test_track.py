from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.telemetry.track import DAY_NS, FINE_NS, SECOND_NS, Track

MS = 1_000_000


def filled(seconds: float, period_ms: int, keep_ns: int = DAY_NS) -> Track:
    """A track of 100 W from second 1 on."""
    track = Track(keep_ns)
    for i in range(round(seconds * 1000 / period_ms) + 1):
        track.add(SECOND_NS + i * period_ms * MS, i * period_ms * 100_000, MS)
    return track


def test_the_last_ten_minutes_are_kept_whole_and_older_ones_once_a_second() -> None:
    track = filled(1500, 100)
    track.tidy(track.times[-1])
    fine = [time_ns for time_ns in track.times if time_ns > track.times[-1] - FINE_NS]
    coarse = [time_ns for time_ns in track.times if time_ns <= track.times[-1] - FINE_NS]
    assert len(fine) == 6000
    assert len(coarse) == 901
    assert all(later - earlier == SECOND_NS for earlier, later in pairwise(coarse))
    assert track.between_uj(10 * SECOND_NS, 1000 * SECOND_NS) == 99_000_000_000


@pytest.mark.parametrize("period_ms", [20, 100, 1000])
def test_what_waits_to_be_tidied_is_little_at_any_time(period_ms: int) -> None:
    track, most = Track(FINE_NS), 0
    for i in range(3000 * 1000 // period_ms):
        track.add(SECOND_NS + i * period_ms * MS, i, MS)
        most = max(most, len(track))
    assert most <= 1.13 * FINE_NS / (period_ms * MS) + 256


def test_what_is_too_old_is_forgotten() -> None:
    track = filled(1500, 100, keep_ns=1000 * SECOND_NS)
    track.tidy(track.times[-1])
    assert track.times[0] > track.times[-1] - 1000 * SECOND_NS
    assert track.reach_ns(0, 100 * SECOND_NS) == 0


@given(
    gaps_ms=st.lists(st.integers(1, 200_000), min_size=2, max_size=200),
    powers_w=st.lists(st.integers(0, 700), min_size=200, max_size=200),
)
def test_tidying_at_any_time_changes_no_total_that_it_keeps(gaps_ms: list[int], powers_w: list[int]) -> None:
    plain, tidied = Track(10**18), Track(10**18)
    time_ns, total_uj = SECOND_NS, 0
    for gap_ms, power_w in zip(gaps_ms, powers_w, strict=False):
        time_ns, total_uj = time_ns + gap_ms * MS, total_uj + gap_ms * power_w * 1000
        plain.add(time_ns, total_uj, MS)
        tidied.add(time_ns, total_uj, MS)
        tidied.tidy(time_ns)
    totals = dict(zip(plain.times, plain.totals_uj, strict=True))
    assert all(totals[at_ns] == kept for at_ns, kept in zip(tidied.times, tidied.totals_uj, strict=True))
    assert list(tidied.times) == sorted(tidied.times)
    assert (tidied.times[0], tidied.times[-1]) == (plain.times[0], plain.times[-1])
    fine = [at_ns for at_ns in plain.times if at_ns > time_ns - FINE_NS]
    assert list(tidied.times)[-len(fine) :] == fine
    assert all(later - earlier >= SECOND_NS for earlier, later in _pairs(tidied, time_ns - FINE_NS))


def _pairs(track: Track, before_ns: int) -> list[tuple[int, int]]:
    coarse = [at_ns for at_ns in track.times if at_ns <= before_ns]
    return list(pairwise(coarse))
