from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.model import Status
from eagent.telemetry.windows import SECOND_NS, Sensor, Series

MS = 1_000_000
HOLD_NS = 1_500 * MS
AGE_LIMIT_NS = 2 * SECOND_NS
SENSOR = Sensor("nvml instant", 1e-3, 0.025, HOLD_NS, AGE_LIMIT_NS)
KEEP_NS = 11 * SECOND_NS


def series_of(*looks: tuple[float, int | None], keep_ns: int = KEEP_NS) -> Series:
    """A series of looks at (seconds, milliwatts); None is a look that failed."""
    series = Series(SENSOR, keep_ns)
    for at_s, value in looks:
        series.add(int(at_s * SECOND_NS), value or 0, Status.FAILED if value is None else Status.OK)
    return series


def steady(watts: float, begin_s: float, end_s: float, period_s: float = 0.1) -> list[tuple[float, int | None]]:
    count = round((end_s - begin_s) / period_s)
    return [(begin_s + i * period_s, round(watts * 1000)) for i in range(count)]


def test_the_latest_look_says_sensor_window_and_age() -> None:
    reading = series_of((1.0, 250_000)).latest(int(1.25 * SECOND_NS))
    assert reading.ok
    assert (reading.value, reading.sensor, reading.window_s, reading.age_s) == (250.0, "nvml instant", 0.025, 0.25)


def test_what_was_never_read_is_missing() -> None:
    empty = Series(SENSOR)
    for reading in (empty.latest(SECOND_NS), empty.mean(SECOND_NS), empty.total(SECOND_NS)):
        assert (reading.status, reading.value) == (Status.MISSING, None)


def test_a_look_that_is_too_old_is_stale_and_has_no_value() -> None:
    series = series_of((1.0, 250_000))
    assert series.latest(SECOND_NS + AGE_LIMIT_NS).ok
    late = series.latest(SECOND_NS + AGE_LIMIT_NS + 1)
    assert (late.status, late.value) == (Status.STALE, None)
    assert late.age_s > 2


def test_a_failed_look_is_its_status_and_not_the_value_before() -> None:
    series = series_of((1.0, 250_000))
    series.add(int(1.1 * SECOND_NS), 0, Status.GPU_LOST)
    reading = series.latest(int(1.2 * SECOND_NS))
    assert (reading.status, reading.value) == (Status.GPU_LOST, None)


def test_a_sensor_that_never_was_there_does_not_grow_stale() -> None:
    series = Series(SENSOR)
    series.add(SECOND_NS, 0, Status.NOT_SUPPORTED)
    assert series.latest(100 * SECOND_NS).status is Status.NOT_SUPPORTED
    assert series.mean(100 * SECOND_NS).status is Status.NOT_SUPPORTED


def test_a_sensor_that_was_there_and_says_not_supported_grows_stale() -> None:
    series = series_of((1.0, 250_000))
    series.add(2 * SECOND_NS, 0, Status.NOT_SUPPORTED)
    assert series.latest(2 * SECOND_NS).status is Status.NOT_SUPPORTED
    assert series.latest(5 * SECOND_NS).status is Status.STALE


def test_a_status_of_a_newer_warden_is_a_failure() -> None:
    series = Series(SENSOR)
    series.add(SECOND_NS, 5, 77)
    assert series.latest(SECOND_NS).status is Status.FAILED


def test_a_mean_is_weighted_by_time_and_not_by_looks() -> None:
    # 100 W for 0.8 s read once, 300 W for 0.2 s read twenty times
    series = series_of((0.0, 100_000), *((0.8 + i * 0.01, 300_000) for i in range(20)))
    assert series.mean(SECOND_NS).value == pytest.approx(140.0)


def test_a_mean_of_too_short_a_past_is_missing() -> None:
    series = series_of(*steady(200, 0.0, 0.6))
    assert series.mean(400 * MS).status is Status.MISSING
    assert series.mean(600 * MS).value == pytest.approx(200.0)


def test_a_mean_forgives_a_failed_look_but_not_a_failing_sensor() -> None:
    series = series_of(*steady(200, 0.0, 0.7), (0.7, None), (0.8, 200_000), (0.9, 200_000))
    assert series.mean(SECOND_NS).value == pytest.approx(200.0)
    failing = series_of(*steady(200, 0.0, 0.3), *((0.3 + 0.1 * i, None) for i in range(7)))
    assert failing.mean(SECOND_NS).status is Status.FAILED


def test_a_silent_sensor_ends_as_stale_and_never_as_its_last_value() -> None:
    series = series_of(*steady(200, 0.0, 2.0))
    statuses = [series.mean(2 * SECOND_NS + late * 100 * MS).status for late in range(40)]
    assert statuses[0] is Status.OK
    assert statuses[-1] is Status.STALE
    first_gone = next(i for i, status in enumerate(statuses) if status is not Status.OK)
    assert first_gone <= 20, "the last value passed for a mean for more than two seconds"
    assert all(status is not Status.OK for status in statuses[first_gone:])


def test_a_long_window_does_not_hide_that_its_end_was_not_seen() -> None:
    series = series_of(*steady(400, 0.0, 10.0))
    assert series.mean(11 * SECOND_NS, 10 * SECOND_NS).value == pytest.approx(400.0)
    late = series.mean(13 * SECOND_NS, 10 * SECOND_NS)
    assert (late.status, late.value, late.window_s) == (Status.STALE, None, 10.0)


def test_looks_that_were_taken_before_are_dropped() -> None:
    looks = [*steady(100, 0.0, 1.0), *steady(300, 1.0, 2.0)]
    once, twice = series_of(*looks), series_of(*looks)
    for at_s, value in looks:
        twice.add(int(at_s * SECOND_NS), value or 0, Status.OK)
    assert twice.total(2 * SECOND_NS) == once.total(2 * SECOND_NS)
    assert twice.mean(2 * SECOND_NS) == once.mean(2 * SECOND_NS)


def test_a_total_is_energy_and_leaves_out_what_nobody_saw() -> None:
    series = series_of((0.0, 100_000), (1.0, 200_000), (10.0, 100_000), (10.5, 100_000))
    # 1 s of 100 W, 1.5 s of 200 W until it no longer holds, then 0.5 s of 100 W
    assert series.total(int(10.5 * SECOND_NS)).value == pytest.approx(100 + 300 + 50)


looks_strategy = st.lists(
    st.tuples(st.integers(1, 2_500 * MS), st.one_of(st.none(), st.integers(1, 3), st.integers(1, 700_000))),
    min_size=1,
    max_size=40,
)


def told_at(looks: list[tuple[int, int | None]], time_ns: int) -> int | None:
    """The value that a series tells for one instant, said plainly."""
    before = [look for look in looks if look[0] <= time_ns]
    if not before or before[-1][1] is None or time_ns - before[-1][0] >= HOLD_NS:
        return None
    return before[-1][1]


def plain_mean(looks: list[tuple[int, int | None]], begin_ns: int, end_ns: int) -> float | None:
    """The mean over known time, from first principles: between two edges nothing changes."""
    edges = {begin_ns, end_ns, *(at for at, _ in looks), *(at + HOLD_NS for at, _ in looks)}
    steps = pairwise(sorted(edge for edge in edges if begin_ns <= edge <= end_ns))
    known = [(told, until - at) for at, until in steps if (told := told_at(looks, at)) is not None]
    known_ns = sum(held for _, held in known)
    if known_ns < (end_ns - begin_ns) / 2:
        return None
    return sum(told * held for told, held in known) / known_ns


@given(looks_strategy, st.integers(0, 3 * SECOND_NS), st.sampled_from([SECOND_NS, 10 * SECOND_NS]))
def test_a_mean_is_what_first_principles_say(gaps: list[tuple[int, int | None]], late_ns: int, window_ns: int) -> None:
    series, looks, now_ns = Series(SENSOR, KEEP_NS), [], 0
    for gap_ns, value in gaps:
        now_ns += gap_ns
        looks.append((now_ns, value))
        series.add(now_ns, value or 0, Status.TIMED_OUT if value is None else Status.OK)
    newest_ns, now_ns = now_ns, now_ns + late_ns
    mean = plain_mean(looks, now_ns - window_ns, now_ns)
    reading = series.mean(now_ns, window_ns)
    if now_ns - newest_ns > AGE_LIMIT_NS:
        assert (reading.status, reading.value) == (Status.STALE, None)
    elif mean is None:
        assert reading.value is None
        assert reading.status is (Status.TIMED_OUT if looks[-1][1] is None else Status.MISSING)
    else:
        assert reading.value == pytest.approx(mean * 1e-3)
        assert reading.ok


@given(looks_strategy, st.integers(0, 3 * SECOND_NS), st.sampled_from([SECOND_NS, 10 * SECOND_NS]))
def test_a_peak_is_the_greatest_look_of_a_window_that_has_a_mean(
    gaps: list[tuple[int, int | None]], late_ns: int, window_ns: int
) -> None:
    series, looks, now_ns = Series(SENSOR, KEEP_NS), [], 0
    for gap_ns, value in gaps:
        now_ns += gap_ns
        looks.append((now_ns, value))
        series.add(now_ns, value or 0, Status.TIMED_OUT if value is None else Status.OK)
    now_ns += late_ns
    inside = [value for at_ns, value in looks if at_ns > now_ns - window_ns and value is not None]
    mean, peak = series.mean(now_ns, window_ns), series.peak(now_ns, window_ns)
    assert peak.ok == (mean.ok and bool(inside))
    if peak.ok:
        assert peak.value == pytest.approx(max(inside) * 1e-3)
    else:
        assert peak.value is None
        assert peak.status is (Status.MISSING if mean.ok else mean.status)


def test_an_old_past_is_forgotten_and_takes_nothing_with_it() -> None:
    series = Series(SENSOR, KEEP_NS)
    for i in range(20_000):
        series.add(i * 50 * MS, 100_000 + i % 2 * 200_000, Status.OK)
    now_ns = 19_999 * 50 * MS
    assert len(series._runs) < 600
    assert series.mean(now_ns).value == pytest.approx(200.0)
    assert series.total(now_ns).value == pytest.approx(200.0 * now_ns / 1e9, rel=1e-3)


@pytest.mark.parametrize("period_s", [0.02, 0.1, 1.0, 60.0])
def test_a_series_holds_little_more_than_its_windows_reach(period_s: float) -> None:
    series, most = Series(SENSOR, KEEP_NS), 0
    for i in range(2000):
        series.add(int(i * period_s * SECOND_NS), i, Status.OK)
        most = max(most, len(series))
    assert most <= 1.25 * (KEEP_NS + HOLD_NS) / SECOND_NS / period_s + 18
