from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagent.doctor.checks import timekeeping
from eagent.doctor.host import Host
from eagent.doctor.timer import Timer

Tell = Callable[[Any], list[tuple[str, str, str]]]


@pytest.mark.parametrize(
    ("timer", "found"),
    [
        (Timer(1e-9, "tsc", synchronised=True), ["ok", "ok"]),
        (Timer(1e-9, "hpet", synchronised=True), ["warning", "ok"]),
        (Timer(0.004, "tsc", synchronised=False), ["warning", "note"]),
        (Timer(1e-9), ["ok"]),
    ],
)
def test_the_kernels_time_is_judged(host: Host, tell: Tell, timer: Timer, found: list[str]) -> None:
    assert [severity for severity, _, _ in tell(timekeeping.check(replace(host, timer=timer)))] == found
