from __future__ import annotations

import math

import pytest

from eagent.telemetry.aliasing import Use, is_aliased
from eagent.telemetry.drawn import Drawn

SECOND = 1_000_000_000
WINDOW_NS = 25_000_000


def square_w(second: float, hertz: float, duty: float) -> float:
    return 300.0 if second * hertz % 1 < duty else 100.0


def seen(hertz: float, duty: float, period_s: float, window_ns: int) -> Drawn:
    """A square wave as a sensor sees it that averages the last `window_ns` of each period."""
    drawn, number = Drawn(window_ns), 1
    while number * period_s < 30:
        end_s, window_s = number * period_s, max(window_ns / SECOND, 1e-6)
        parts = [square_w(end_s - window_s * (i + 0.5) / 50, hertz, duty) for i in range(50)]
        drawn.read(round(end_s * SECOND), round(sum(parts) / 50 * 1000) + number % 3, 1_000_000)
        number += 1
    return drawn


def pausing(percent: int) -> Use:
    use = Use()
    for second in range(30):
        use.add(second * SECOND, percent)
    return use


NOTHING = Drawn(0)


@pytest.mark.parametrize("hertz", [10.0, 10.02, 9.95, 20.0])
def test_a_load_in_step_with_the_sensor_is_told_by_the_utilisation(hertz: float) -> None:
    drawn = seen(hertz, 0.5, 0.1, WINDOW_NS)
    assert is_aliased(drawn, NOTHING, pausing(50), 5 * SECOND, 25 * SECOND)


@pytest.mark.parametrize("hertz", [10.0, 10.02, 9.95, 20.0])
def test_a_load_in_step_with_the_sensor_is_told_by_the_buffer(hertz: float) -> None:
    drawn, sampled = seen(hertz, 0.5, 0.1, WINDOW_NS), seen(hertz, 0.5, 0.0167, 0)
    assert is_aliased(drawn, sampled, pausing(50), 5 * SECOND, 15 * SECOND)


def test_a_load_that_glides_past_sensor_and_buffer_is_told_by_what_they_differ() -> None:
    drawn, sampled = seen(50.5, 0.5, 0.02, 10_500_000), seen(50.5, 0.5, 0.01981, 0)
    assert is_aliased(drawn, sampled, pausing(50), 5 * SECOND, 25 * SECOND)


def test_readings_that_swing_fast_and_do_not_see_all_of_the_load_are_told_by_the_utilisation() -> None:
    drawn = Drawn(10_500_000)
    for number in range(1500):  # as of a sensor whose publications come early and late in turn
        drawn.read(number * 20_000_000, 36_000 + round(9_000 * math.sin(number / 4)), 0)
    assert is_aliased(drawn, NOTHING, pausing(20), 5 * SECOND, 25 * SECOND)
    assert not is_aliased(drawn, NOTHING, pausing(50), 5 * SECOND, 25 * SECOND)


def test_a_load_that_is_only_met_in_few_phases_is_told_by_its_exact_return() -> None:
    drawn = seen(7.5, 0.2, 0.1, WINDOW_NS)
    assert is_aliased(drawn, NOTHING, pausing(20), 5 * SECOND, 25 * SECOND)


@pytest.mark.parametrize("hertz", [0.31, 1.7, 3.3, 6.4, 8.7, 11.3, 13.1])
def test_a_load_of_another_rhythm_is_left_in_peace(hertz: float) -> None:
    drawn, sampled = seen(hertz, 0.5, 0.1, WINDOW_NS), seen(hertz, 0.5, 0.0167, 0)
    use = pausing(50 if hertz > 1 else 100)  # of a second, which is what the driver averages it over
    assert not is_aliased(drawn, sampled, use, 5 * SECOND, 25 * SECOND)
    assert not is_aliased(drawn, NOTHING, use, 5 * SECOND, 25 * SECOND)


def test_steady_power_of_a_busy_device_is_left_in_peace() -> None:
    drawn = seen(10, 1.0, 0.1, WINDOW_NS)
    assert not is_aliased(drawn, NOTHING, pausing(100), 5 * SECOND, 25 * SECOND)


def test_a_sensor_that_sees_all_of_the_time_beats_against_nothing() -> None:
    drawn = seen(10, 0.5, 0.1, 100_000_000)
    assert not is_aliased(drawn, NOTHING, pausing(50), 5 * SECOND, 25 * SECOND)


def test_of_a_short_window_nothing_is_said() -> None:
    drawn = seen(10, 0.5, 0.1, WINDOW_NS)
    assert not is_aliased(drawn, NOTHING, pausing(50), 5 * SECOND, 6 * SECOND)


def test_the_utilisation_of_the_last_quarter_of_an_hour_is_kept_and_little_more() -> None:
    use, most = Use(), 0
    for look in range(20_000):  # four a second, of a busy GPU
        use.add(look * SECOND // 4, 50)
        most = max(most, len(use.between(0, look * SECOND)))
        if look >= 3600:
            assert len(use.between((look - 3600) * SECOND // 4, look * SECOND // 4)) == 3600
    assert most < 4700
