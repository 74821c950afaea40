"""A driver that hangs or crashes: seen within two seconds, replaced where that can be, and nothing old shown as now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.sim._faults import Faults
from eagent.sim.workload import Square
from eagent.warden.patience import EXIT_HUNG
from tests.integration.asking import ask, is_well, told, values

Site = Callable[..., Any]
SEEN_S = 2.0
BUDGET_W, ENVELOPE_W, SAFE_W = 1600.0, 600.0, 150.0
REPLACE_AFTER_S = 3.0


@pytest.fixture
def hang() -> Iterator[Callable[..., Faults]]:
    """Makes the driver of a host hang: `hang(host, gpu=0)`; cleared after the test, so that all can end."""
    made: list[Faults] = []

    def begin(host: Any, gpu: int | None = None) -> Faults:
        faults = Faults(host.made.plant)
        made.append(faults)
        if gpu is None:
            faults.inject("hung-calls")
        else:
            faults.inject("hung-calls", "gpu", gpu)
        return faults

    yield begin
    for faults in made:
        faults.clear()
        faults.close()


@pytest.fixture
def budgeted(site: Site) -> Callable[..., Any]:
    """A host of two GPUs at work, under a budget, with eagent up."""

    def make(**driver: float) -> Any:
        host = site(gpus=2)
        with host.config.open("a") as config:
            config.write("[driver]\n" + "".join(f"{key} = {value}\n" for key, value in driver.items()))
        Square(duty=1.0).start(host.plant, [0, 1], pid=os.getpid())
        host.up()
        host.must("budget", "set", f"{BUDGET_W:g}")
        assert host.await_true(lambda: is_well(host), 10), ask(host, "/healthz")
        return host

    return make


@pytest.mark.parametrize("gpu", [1, None], ids=["one", "all"])
def test_a_hung_call_is_seen_within_two_seconds_and_no_old_number_is_shown_as_current(
    budgeted: Callable[..., Any], hang: Callable[..., Faults], gpu: int | None
) -> None:
    host = budgeted()
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    before_w, counted_w = host.limits_w(), told(host)["budget"]["reserved_w"]
    faults = hang(host, gpu)
    begun_s = time.monotonic()
    assert host.await_true(lambda: not is_well(host), SEEN_S + 1)
    seen_s = time.monotonic() - begun_s
    assert seen_s <= SEEN_S
    code, why = ask(host, "/healthz")
    assert code == 503
    assert "half hangs" in why
    # The driver has one lock: the other half meets it at its next call, within a second.
    assert host.await_true(lambda: all(half["hangs"] for half in told(host)["warden"]["halves"].values()), 2)
    status, (_, metrics) = told(host), ask(host, "/metrics")
    assert [alarm for alarm in status["alarms"] if "half hangs in a call of the driver" in alarm]
    assert values(metrics, "eagent_healthy") == [0]
    assert values(metrics, "eagent_loop_hung") == [1, 1]
    assert min(values(metrics, "eagent_loop_heartbeat_age_seconds")) > 1
    assert host.await_true(lambda: time.monotonic() > begun_s + 4, 10)  # longer than any reading speaks for now
    status, (_, metrics) = told(host), ask(host, "/metrics")
    for device in status["devices"]:
        assert {each["value"] for each in device["readings"].values()} == {None}
        limit = device["power_limit"]
        assert (limit["requested_w"], limit["enforced_w"], limit["age_s"]) == (None, None, None)
    assert status["budget"]["limits_w"] is None
    assert status["budget"]["reserved_w"] == counted_w
    assert values(metrics, "eagent_gpu_power_watts") == values(metrics, "eagent_budget_limits_watts") == []
    assert not [line for line in metrics.splitlines() if 'kind="requested"' in line or 'kind="enforced"' in line]
    said = host.must("status"), host.must("top", "--once")
    assert all("HANGS" in text and "— stale" in text for text in said)
    assert host.limits_w() == before_w
    faults.clear()
    assert host.await_true(lambda: is_well(host), 3)
    assert not [alarm for alarm in told(host)["alarms"] if "hangs" in alarm]
    assert told(host)["budget"]["limits_w"] is not None
    assert max(host.sums_w(0)[-1:]) <= ENVELOPE_W


def test_a_driver_that_is_only_slow_is_not_said_to_hang(site: Site) -> None:
    host = site(gpus=2)
    host.up()
    assert host.await_true(lambda: is_well(host), 10)
    with Faults(host.made.plant) as faults:
        faults.inject("slow-calls", values=(0.15,))
        begun_s, turned = time.monotonic(), set()
        while time.monotonic() < begun_s + 5:
            halves = told(host)["warden"]["halves"]
            turned.add(halves["reading"]["silent_s"])
            assert not halves["reading"]["hangs"], halves
        assert len(turned) > 5
        faults.clear()


def test_while_the_driver_hangs_the_warden_answers_and_refuses_what_needs_a_call(
    site: Site, hang: Callable[..., Faults]
) -> None:
    host = site(gpus=2)
    host.up()
    assert host.await_true(lambda: is_well(host), 10)
    hang(host, 0)
    assert host.await_true(lambda: not is_well(host), SEEN_S + 1)
    begun_s = time.monotonic()
    refused = host.eagent("budget", "set", "1500")
    assert refused.returncode != 0
    assert "the driver does not answer" in refused.stderr
    assert time.monotonic() - begun_s < 5
    assert told(host)["warden"]["connected"], "the socket is answered all the time"
    assert told(host)["budget"] is None


def test_a_smaller_budget_is_kept_but_not_said_to_be_in_force_before_the_driver_answers(
    budgeted: Callable[..., Any], hang: Callable[..., Faults]
) -> None:
    host = budgeted()
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    before_w = host.limits_w()
    faults = hang(host)
    assert host.await_true(lambda: not is_well(host), SEEN_S + 1)
    refused = host.eagent("budget", "set", "1400")
    assert refused.returncode != 0
    assert told(host)["budget"]["budget_w"] == 1400
    assert told(host)["budget"]["reserved_w"] == sum(before_w), "nothing is free before a limit was seen to be lower"
    assert told(host)["budget"]["headroom_w"] < 0
    faults.clear()
    assert host.await_true(lambda: sum(host.limits_w()) <= 400, 5)
    assert host.await_true(lambda: (told(host)["budget"]["limits_w"] or 401) <= 400, 5)


def test_a_warden_whose_loop_hangs_is_replaced_and_the_new_one_says_that_it_waits(
    budgeted: Callable[..., Any], hang: Callable[..., Faults], gone: Callable[[int], bool]
) -> None:
    host = budgeted(replace_after_s=REPLACE_AFTER_S)
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    before_w = host.limits_w()
    faults = hang(host)
    assert host.await_true(lambda: gone(host.pids["warden"]), REPLACE_AFTER_S + 10), host.log.read_text()
    assert "is ended and replaced: its loop has hung in a call of the driver for" in host.log.read_text()
    assert not gone(host.pids["agent"])
    waits = "the driver has not answered the warden for"
    assert host.await_true(lambda: any(waits in alarm for alarm in told(host)["alarms"]), 10), host.log.read_text()
    assert waits in ask(host, "/healthz")[1]
    assert "NOT CONNECTED" in host.must("status")
    assert host.limits_w() == before_w, "nobody can move a limit, so nobody has"
    faults.clear()
    assert host.await_true(lambda: is_well(host), 15), (host.log.read_text(), ask(host, "/healthz"))
    assert host.await_true(lambda: sum(host.limits_w()) <= ENVELOPE_W, 5)
    assert "the driver answers after" in host.log.read_text()


def test_a_warden_that_starts_while_the_driver_hangs_says_so_within_two_seconds(
    site: Site, hang: Callable[..., Faults]
) -> None:
    host = site(gpus=2)
    faults = hang(host)
    host.up()
    begun_s = time.monotonic()
    assert host.await_true(lambda: "the driver does not answer yet" in host.log.read_text(), SEEN_S)
    assert time.monotonic() - begun_s < SEEN_S
    assert any("has not answered the warden" in alarm for alarm in told(host)["alarms"])
    faults.clear()
    assert host.await_true(lambda: is_well(host), 15), ask(host, "/healthz")


def test_a_warden_that_crashes_in_the_drivers_library_is_started_again_and_the_agent_stays(
    budgeted: Callable[..., Any], gone: Callable[[int], bool]
) -> None:
    host = budgeted()
    began_s = host.plant.time_s
    os.kill(host.pids["warden"], signal.SIGSEGV)  # as a library's bug does it
    assert host.await_true(lambda: "the warden died (signal 11, SIGSEGV)" in host.log.read_text(), 5)
    assert host.await_true(lambda: not told(host)["warden"]["connected"], 5)
    assert host.await_true(lambda: is_well(host), 15), host.log.read_text()
    assert not gone(host.pids["agent"])
    assert max(host.sums_w(began_s)) <= ENVELOPE_W


def test_it_ends_in_time_while_the_driver_hangs_and_the_next_start_finishes_what_is_left(
    site: Site, hang: Callable[..., Faults]
) -> None:
    host = site(gpus=2)
    host.up()
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w()[0] == 250, 5)
    faults = hang(host)
    assert host.await_true(lambda: not is_well(host), SEEN_S + 1)
    begun_s = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - begun_s < 8
    assert "the process goes without it" in host.log.read_text()
    assert host.limits_w()[0] == 250
    assert list((Path(host.made.dir) / "state" / "journal").iterdir()), "what is to go back is still on the disk"
    faults.clear()
    host.up()
    assert host.await_true(lambda: host.limits_w()[0] == 400, 5)


def test_a_restore_from_the_journal_says_that_it_waits_for_the_driver_and_can_be_ended(
    site: Site, hang: Callable[..., Faults]
) -> None:
    host = site(gpus=2)
    faults = hang(host)
    command = [sys.executable, "-m", "eagent", "restore", f"--config={host.config}"]
    restore = subprocess.Popen(command, env=host.made.environ, stderr=subprocess.PIPE, text=True)
    assert restore.stderr is not None
    assert "the driver does not answer yet" in restore.stderr.readline()
    restore.terminate()
    assert restore.wait(10) == EXIT_HUNG
    restore.stderr.close()
    faults.clear()
    assert "it was at its prior value" in host.must("restore")
