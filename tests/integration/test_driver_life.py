"""The driver is loaded anew, resets or loses a GPU, or forgets what was set, under a running eagent: real processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from eagent.sim._faults import Faults

HELD_W, DEFAULT_W, SAFE_W = 250.0, 400.0, 150.0
BUDGET_W, ENVELOPE_W = 2000.0, 1000.0
BACK_S = 2.0  # what was forgotten is in force again in this time


@pytest.fixture
def budgeted(site: Callable[..., Any]) -> Iterator[Any]:
    """Four GPUs under a budget that leaves each 250 W, and their faults."""
    host = site()
    host.up()
    host.must("budget", "set", f"{BUDGET_W:g}")
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W and is_kept(host), 10)
    with closing(Faults(host.made.plant)) as faults:
        host.faults = faults
        yield host


def is_kept(host: Any) -> bool:
    return sum(host.limits_w()) <= ENVELOPE_W


def strike(host: Any, kind: str, gpu: int | None = None) -> float:
    """Let a fault strike now; the host's time just before."""
    before_s = host.plant.time_s
    host.faults.inject(kind, *(("host", 0) if gpu is None else ("gpu", gpu)))
    return float(before_s)


def over_s(host: Any, since_s: float) -> tuple[float, float]:
    """By the driver's own log: how long the limits were above the envelope since then, and the watt-seconds of it."""
    limits_w, over_j, time_s, last_s = [DEFAULT_W] * 4, 0.0, 0.0, since_s
    for at_s, gpu, _, new_w, _ in [*host.plant.limit_log(), (host.plant.time_s, 0, 0, None, 0)]:
        above_w = sum(limits_w) - ENVELOPE_W
        if at_s > since_s:
            time_s += (at_s - last_s) * (above_w > 0)
            over_j += (at_s - last_s) * max(above_w, 0)
            last_s = at_s
        limits_w[gpu] = new_w
    return time_s, over_j


def told(host: Any) -> Any:
    return json.loads(host.must("status", "--json"))


def exposed_j(host: Any) -> float:
    return float(sum(device["power_limit"]["exposure"]["joules"] for device in told(host)["devices"]))


@pytest.mark.parametrize(("kind", "gpu"), [("driver-reload", None), ("gpu-reset", 2), ("settings-dropped", 2)])
def test_a_budget_is_kept_again_within_two_seconds_and_the_exposure_is_told(
    budgeted: Any, kind: str, gpu: int | None
) -> None:
    struck_s = strike(budgeted, kind, gpu)
    assert budgeted.await_true(lambda: not is_kept(budgeted) or budgeted.plant.time_s > struck_s + 1, 5)
    assert budgeted.await_true(lambda: is_kept(budgeted), 5), told(budgeted)["alarms"]
    assert budgeted.await_true(lambda: exposed_j(budgeted) > 0, 12)
    lasted_s, over_j = over_s(budgeted, struck_s)
    assert 0 < lasted_s <= BACK_S
    assert exposed_j(budgeted) >= over_j
    alarms = told(budgeted)["alarms"]
    struck = range(4) if gpu is None else [gpu]
    for each in struck:
        assert any(f"gpu{each}: the driver forgot its settings" in alarm for alarm in alarms), alarms
        assert any(f"gpu{each}: exposure" in alarm for alarm in alarms), alarms
    assert not any("somebody else" in alarm for alarm in alarms)


def test_a_lost_gpu_leaves_the_others_governed_and_is_governed_again_when_it_is_back(budgeted: Any) -> None:
    before_w = budgeted.limits_w()
    number = budgeted.faults.inject("gpu-lost", "gpu", 2)
    assert budgeted.await_true(lambda: any("gpu2: there is no driver" in each for each in told(budgeted)["alarms"]), 15)
    status = told(budgeted)
    for gpu in (0, 1, 3):
        assert status["devices"][gpu]["readings"]["power"]["status"] == "ok"
    assert status["devices"][2]["readings"]["power"]["status"] != "ok"
    assert status["devices"][2]["power_limit"]["exposure"]["now"]
    assert is_kept(budgeted)
    budgeted.faults.clear(number)
    back_s = budgeted.plant.time_s
    assert budgeted.await_true(lambda: not any("gpu2: there is no" in each for each in told(budgeted)["alarms"]), 15)
    assert budgeted.await_true(lambda: told(budgeted)["devices"][2]["readings"]["power"]["status"] == "ok", 5)
    assert budgeted.limits_w()[2] <= max(before_w)
    assert over_s(budgeted, back_s)[0] == 0


def test_the_watts_of_a_gpu_that_does_not_answer_are_told_and_nobodys_until_it_does(budgeted: Any) -> None:
    number = budgeted.faults.inject("gpu-lost", "gpu", 2)
    budgeted.kill("warden")
    assert budgeted.await_true(lambda: any("gpu2 is left alone" in each for each in told(budgeted)["alarms"]), 15)
    since_s = budgeted.plant.time_s
    left_w = ENVELOPE_W - DEFAULT_W

    def shared_w() -> float:
        return sum(budgeted.limits_w()[gpu] for gpu in (0, 1, 3))

    assert budgeted.await_true(lambda: 3 * SAFE_W < shared_w() <= left_w, 10), told(budgeted)["budget"]
    assert not budgeted.await_true(lambda: shared_w() > left_w, 2)
    assert budgeted.await_true(lambda: told(budgeted)["budget"]["reserved_w"] == shared_w() + DEFAULT_W, 10)
    assert not any("can't be kept" in alarm for alarm in told(budgeted)["alarms"])
    refused = budgeted.eagent("budget", "set", "1000")
    assert "W of GPUs that do not answer" in refused.stderr
    budgeted.faults.clear(number)
    warden = int((budgeted.made.dir / "run" / "warden.lock").read_text())
    os.kill(warden, signal.SIGHUP)  # who answers now is taken in by its successor, which lets nothing go
    assert budgeted.await_true(lambda: len(told(budgeted)["devices"]) == 4, 15)
    assert budgeted.await_true(lambda: sum(budgeted.limits_w()) > left_w + 2 * SAFE_W, 15), budgeted.limits_w()
    assert told(budgeted)["budget"]["reserved_w"] <= ENVELOPE_W
    assert over_s(budgeted, since_s)[0] == 0


def test_a_pin_goes_back_to_the_drivers_default_after_a_reload_and_not_to_what_it_forgot(
    site: Callable[..., Any],
) -> None:
    host = site()
    host.plant.set_power_limit(1, 380.0)
    host.up()
    host.must("pin", "set", "gpu1", f"{HELD_W:g}W")
    assert host.await_true(lambda: host.limits_w()[1] == HELD_W, 5)
    with closing(Faults(host.made.plant)) as faults:
        faults.inject("driver-reload", "host", 0)
    log = host.plant.limit_log
    assert host.await_true(lambda: [entry[3] for entry in log() if entry[1] == 1][-2:] == [DEFAULT_W, HELD_W], 5)
    (dropped_s, *_), (back_s, *_) = [entry for entry in log() if entry[1] == 1][-2:]
    assert back_s - dropped_s <= BACK_S
    assert host.stop() == 0
    assert host.limits_w() == [DEFAULT_W] * 4
    assert list((host.made.dir / "state" / "journal").iterdir()) == []


def test_what_a_reload_between_two_wardens_has_dropped_is_nobodys_value(site: Callable[..., Any]) -> None:
    """Also where the persistence mode is on again, as a persistence daemon sees to it."""
    host = site()
    host.plant.set_power_limit(1, 380.0)
    host.up()
    host.must("pin", "set", "gpu1", f"{HELD_W:g}W")
    assert host.await_true(lambda: host.limits_w()[1] == HELD_W, 5)
    host.must("budget", "set", f"{BUDGET_W:g}")
    host.kill("agent", "warden", "parent")
    with closing(Faults(host.made.plant)) as faults:
        faults.inject("driver-reload", "host", 0)
    for gpu in range(4):
        host.plant.set_persistence(gpu, 1)
    host.up()
    assert host.await_true(lambda: is_kept(host), 10)
    assert not any("somebody else" in alarm for alarm in told(host)["alarms"])
    assert [device["power_limit"]["foreign"] for device in told(host)["devices"]] == [None] * 4
    host.must("restore", "--clear-budget")
    assert host.stop() == 0
    assert host.limits_w() == [DEFAULT_W] * 4
