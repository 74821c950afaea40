"""The verdict on growth."""

import pytest

from tests.soak.growth import fit


def test_noise_is_no_growth() -> None:
    found = fit("noise", [(t, 100.0 + (t * 7919 % 13) / 13) for t in range(1000)], 200, 0.5)
    assert found.is_bounded
    assert abs(found.growth) < 0.1
    assert found.most < 101


def test_a_slow_leak_in_noise_is_found() -> None:
    found = fit("leak", [(t, 100.0 + (t * 7919 % 13) / 13 + t / 1000) for t in range(1000)], 200, 0.5)
    assert not found.is_bounded
    assert found.growth == pytest.approx(0.8, abs=0.1)
    assert "GROWS" in str(found)


def test_what_grows_in_the_warm_up_alone_does_not_count() -> None:
    assert fit("cache", [(t, float(min(t, 200))) for t in range(1000)], 250, 0.5).growth == 0.0


def test_steps_count_as_growth() -> None:
    assert not fit("steps", [(t, float(t // 300)) for t in range(1000)], 100, 1.0).is_bounded


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit("few", [(t, 1.0) for t in range(10)], 5, 1.0)
