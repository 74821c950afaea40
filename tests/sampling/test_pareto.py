"""The verdict on a table of what everybody caught and spent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.sampling.pareto import Slow, Table, better, better_at_power, judge
from benchmarks.sampling.rig import Seen

OURS = Seen(
    refreshes=4000, caught=0.997, age_p95_ms=6.0, nvml=0.0016, power=0.0009, held=0.002, cpu=0.006, cpu_s=0.07,
    inside_s=0.02, window_s=12.0, calls=6000,
)  # fmt: skip
POLLING = replace(OURS, caught=1.0, nvml=0.0018, power=0.0018)
MISSING = replace(OURS, caught=0.4, nvml=0.0004, power=0.0004)
SLOW = Slow(replace(OURS, caught=0.6, nvml=0.009), shed=1600, says_so=True)


def table(**peers: Seen) -> Table:
    return Table(OURS, OURS, SLOW, peers)


def test_who_catches_more_for_more_or_less_for_less_is_not_better() -> None:
    beside = table(polling=POLLING, missing=MISSING)
    assert better(beside) == better_at_power(beside) == {}
    assert all(figure.holds is not False for figure in judge("v100-pcie-16gb", beside))


def test_who_catches_more_for_less_is_better() -> None:
    cheap = replace(POLLING, nvml=0.0015, power=0.0008)
    beside = table(cheap=cheap, polling=POLLING)
    assert better(beside) == better_at_power(beside) == {"cheap": cheap}
    assert sum(figure.holds is False for figure in judge("v100-pcie-16gb", beside)) == 2


def test_who_spends_less_only_because_it_reads_power_alone_is_told_apart() -> None:
    narrow = replace(POLLING, nvml=0.0015, power=0.0015)
    assert (list(better(table(narrow=narrow))), better_at_power(table(narrow=narrow))) == (["narrow"], {})


@pytest.mark.parametrize(
    ("slow", "holds"),
    [
        (SLOW, True),
        (replace(SLOW, says_so=False), False),  # it sheds and does not say so
        (replace(SLOW, shed=100), False),  # it says less than it misses
        (replace(SLOW, seen=replace(OURS, caught=0.999), shed=0, says_so=False), True),  # it need not
    ],
)
def test_what_is_missed_on_a_slow_driver_must_be_said(slow: Slow, holds: bool) -> None:
    *_, said = judge("v100-pcie-16gb", replace(table(), slow=slow))
    assert said.holds is holds
