"""What is played to several hosts, and what is told of it; the play itself is tests/integration/test_rack_demo.py."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagent.demo import together
from eagent.demo.rack import RackHost, Watts
from eagent.demo.together import QUIET_SHARE, night, run
from eagent.errors import InputError, UnavailableError
from eagent.mesh import signer
from eagent.sim.trace import Request, Trace, generate
from tests.demo.conftest import RackMaker

TRACE = generate(600.0, 1)
THIRDS = 3


@pytest.fixture
def place() -> Iterator[Path]:
    """Where simulated hosts are put: a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="eagent-rack-") as path:
        yield Path(path)


def per_third(trace: Trace) -> list[int]:
    third_s = trace.duration_s / THIRDS
    return [
        sum(third * third_s <= each.arrival_s < (third + 1) * third_s for each in trace.requests)
        for third in range(THIRDS)
    ]


@pytest.mark.parametrize("hosts", [2, 3, 8])
def test_the_middle_third_is_a_night_and_the_rest_is_as_busy_as_there_are_hosts(hosts: int) -> None:
    before, middle, after = per_third(night(TRACE, 120.0, hosts))
    assert middle < 2 * QUIET_SHARE * min(before, after)
    assert before + after == pytest.approx(2 * 40.0 * 6.5 * 0.45 * hosts, rel=0.3)


def test_the_night_of_a_short_play_is_long_enough_to_sleep() -> None:
    found = night(TRACE, 45.0, 2)
    in_the_night = [each for each in found.requests if 5.0 <= each.arrival_s < 40.0]
    assert len(in_the_night) < 2 * QUIET_SHARE * 35.0 * (len(found.requests) - len(in_the_night)) / 10.0
    assert "its middle 35 s x 0.06" in found.source


def test_a_night_is_the_same_each_time() -> None:
    assert night(TRACE, 120.0, 3) == night(TRACE, 120.0, 3)


def test_requests_of_a_night_are_in_order_and_within_it() -> None:
    found = night(TRACE, 120.0, 3)
    arrivals_s = [each.arrival_s for each in found.requests]
    assert arrivals_s == sorted(arrivals_s)
    assert 0.0 <= arrivals_s[0] <= arrivals_s[-1] <= found.duration_s == 120.0


def test_a_window_without_time_to_sleep_is_refused() -> None:
    with pytest.raises(InputError, match=r"busiest 44 s .*: there is no time to sleep in 44 s: must be at least 45 s"):
        night(TRACE, 44.0, 2)


def test_a_trace_that_is_too_short_is_refused() -> None:
    with pytest.raises(InputError, match=r"^short.*in 5 s"):
        night(Trace((Request(0.0, 1, 1), Request(5.0, 1, 1)), 5.0, "short"), 120.0, 2)


def test_a_night_of_which_nothing_is_left_is_refused() -> None:
    lonely = Trace((Request(50.0, 1, 1),), 120.0, "one request at midnight")
    with pytest.raises(InputError, match=r"one request at midnight.*: no request is left for 2 hosts"):
        night(lonely, 120.0, 2)


def test_without_the_library_that_signs_there_is_one_clear_line_and_nothing_is_left(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise UnavailableError("signatures can't be made or checked: pip install 'eagent[mesh]'")

    monkeypatch.setattr(signer, "make", refuse)
    monkeypatch.setattr(together, "why_no_kernel", lambda _: "not here")
    environ = {**os.environ, "EAGENT_SIM_DIR": str(place / "s")}
    with pytest.raises(UnavailableError, match="pip install"):
        run(TRACE, 2, 60.0, environ, lambda _: None)
    assert list(place.iterdir()) == []


def test_what_a_check_raises_while_hosts_are_made_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "why_no_kernel", lambda _: "not here")
    left = iter([True, False])

    def check() -> None:
        if not next(left):
            raise KeyboardInterrupt

    environ = {**os.environ, "EAGENT_SIM_DIR": str(place / "s")}
    with pytest.raises(KeyboardInterrupt):
        run(TRACE, 2, 60.0, environ, lambda _: None, check)
    assert list(place.iterdir()) == []


def test_a_host_of_which_eagent_sees_no_packages_has_them_declared() -> None:
    seen, unseen = (Watts(600.0, 1600.0, 1200.0, packages_shown=shown) for shown in (True, False))
    assert (seen.fixed_w, unseen.fixed_w) == (1200.0, 1800.0)
    assert (seen.reserve_w, seen.nameplate_w) == (unseen.reserve_w, unseen.nameplate_w) == (2200.0, 3400.0)


def test_the_watts_of_a_host_are_its_plants(rack: RackMaker) -> None:
    (host,) = rack(1).values()
    assert isinstance(host, RackHost)
    assert (host.packages_w, host.greatest_w, host.initial_limits_w) == (600.0, 1600.0, [400.0] * 4)
    assert 1500 < host.others_w < 2500
