"""A GPU is given up, reset by the tool that resets GPUs, and taken again: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eagent.sim._faults import Faults

HELD_W, DEFAULT_W, SAFE_W = 250.0, 400.0, 150.0
BACK_S = 2.0  # what eagent holds is in force again in this time


def reset(host: Any, gpu: int) -> subprocess.CompletedProcess[str]:
    """As an operator does it."""
    command = [host.made.dir / "bin/nvidia-smi", "--gpu-reset", "-i", str(gpu)]
    return subprocess.run(command, env=host.made.environ, capture_output=True, text=True, timeout=30, check=False)


def told(host: Any) -> Any:
    return json.loads(host.must("status", "--json"))


def writes_w(host: Any, gpu: int) -> list[tuple[float, float]]:
    """When a limit was written, and to what."""
    return [(at_s, new_w) for at_s, place, _, new_w, _ in host.plant.limit_log() if place == gpu]


def test_a_reset_is_refused_until_the_gpu_is_detached_and_what_was_held_is_held_again_after_it(
    site: Callable[..., Any],
) -> None:
    host = site()
    host.plant.set_power_limit(1, 380.0)
    host.up()
    for gpu in (0, 1):
        host.must("pin", "set", f"gpu{gpu}", f"{HELD_W:g}W")
    assert host.await_true(lambda: host.limits_w()[:2] == [HELD_W] * 2, 5)
    refused = reset(host, 1)
    assert refused.returncode == 255
    assert "GPU 1 could not be reset: In use by another client" in refused.stderr

    said = host.must("detach", "gpu1", "--why", "XID 79")
    assert said == "gpu1 is detached: nothing of eagent's has it open. Reset it, then `eagent attach gpu1`.\n"
    assert host.limits_w()[1] == 380.0
    done = reset(host, 1)
    assert (done.returncode, done.stdout) == (0, "GPU 1 was successfully reset.\n")
    assert reset(host, 0).returncode == 255
    assert host.limits_w()[:2] == [HELD_W, DEFAULT_W], "the other one is governed on"

    assert host.await_true(lambda: told(host)["devices"][1]["readings"]["power"]["status"] == "detached", 5)
    status = told(host)
    limit = status["devices"][1]["power_limit"]
    assert (limit["state"], limit["requested_w"]) == ("detached", None)
    assert status["devices"][0]["readings"]["power"]["status"] == "ok"
    assert not [alarm for alarm in status["alarms"] if "gpu1" in alarm]
    assert "by root: XID 79" in host.must("explain", "gpu1")
    assert "XID 79" in host.must("status")
    assert "detached already" not in host.must("detach", "gpu1")
    pin = host.eagent("pin", "set", "gpu1", "300W")
    assert pin.returncode == 1
    assert "gpu1: its power limit can't be set here: detached since" in pin.stderr

    assert host.must("attach", "gpu1") == "gpu1 is governed again.\n"
    attached_s = host.plant.time_s
    assert host.await_true(lambda: host.limits_w()[1] == HELD_W, BACK_S + 3), "the pin stands"
    assert writes_w(host, 1)[-1][0] < attached_s + BACK_S
    assert host.stop() == 0
    assert host.limits_w()[:2] == [DEFAULT_W] * 2


def test_under_a_budget_no_sum_is_ever_above_it_and_the_share_is_given_again_after_the_reset(
    site: Callable[..., Any],
) -> None:
    host = site()
    host.up()
    host.must("budget", "set", "1900")
    since_s = host.plant.time_s
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    host.must("detach", "gpu2")
    assert host.limits_w()[2] == SAFE_W
    reset_s = host.plant.time_s
    assert reset(host, 2).returncode == 0
    assert host.limits_w()[2] == DEFAULT_W
    assert sum(host.limits_w()) <= 900
    host.must("attach", "gpu2")
    back_s = host.plant.time_s
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    (_, dropped_w), (_, first_w), *_ = [each for each in writes_w(host, 2) if each[0] >= reset_s]
    assert (dropped_w, first_w) == (DEFAULT_W, SAFE_W), "it is at its safe cap before it counts as that"
    assert next(at_s for at_s, new_w in reversed(writes_w(host, 2)) if new_w > SAFE_W) < back_s + BACK_S + 3
    assert max(host.sums_w(since_s)) <= 900
    assert not any(device["power_limit"]["exposure"]["seconds"] for device in told(host)["devices"])


def test_a_budget_without_room_refuses_in_one_line(site: Callable[..., Any]) -> None:
    host = site()
    host.up()
    host.must("budget", "set", "1800")
    done = host.eagent("detach", "gpu2")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "with the others at their safe caps is 50 W too much" in done.stderr
    assert "or set a budget of 1850 W" in done.stderr


def test_one_that_must_be_reset_can_be(site: Callable[..., Any]) -> None:
    host = site()
    host.up()
    host.must("pin", "set", "gpu1", f"{HELD_W:g}W")
    assert host.await_true(lambda: host.limits_w()[1] == HELD_W, 5)
    faults = Faults(host.made.plant)
    faults.inject("reset-required", "gpu", 1)
    faults.close()
    assert host.await_true(lambda: any("gpu1: there is no driver" in each for each in told(host)["alarms"]), 15)
    host.must("detach", "gpu1")
    early = host.eagent("attach", "gpu1")
    assert early.returncode == 1
    assert "gpu1 stays detached: it does not answer yet (GPU requires reset)" in early.stderr
    assert reset(host, 1).returncode == 0
    host.must("attach", "gpu1")
    assert host.stop() == 0
    assert host.limits_w()[1] == DEFAULT_W


def test_a_warden_that_is_killed_meanwhile_comes_back_without_it(site: Callable[..., Any]) -> None:
    host = site()
    host.up()
    host.must("budget", "set", "1900")
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    host.must("detach", "gpu2")
    host.kill("warden")
    assert host.await_true(lambda: "agent" in host.log.read_text() and reset(host, 0).returncode == 255, 15)
    for _ in range(10):
        assert reset(host, 2).returncode == 0, "nobody has opened it in the middle of its resets"
    assert host.await_true(lambda: host.eagent("status").returncode == 0 and told(host)["warden"]["connected"], 15)
    assert told(host)["devices"][2]["power_limit"]["state"] == "detached"
    assert sum(host.limits_w()) <= 900
    host.must("attach", "gpu2")
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W and host.limits_w()[2] < DEFAULT_W, 10)


@contextmanager
def warden_alone(host: Any) -> Iterator[None]:
    command = [sys.executable, "-m", "eagent", "warden", f"--config={host.config}"]
    with (
        host.log.open("ab") as log,
        subprocess.Popen(command, env=host.made.environ, stdout=log, stderr=log) as process,
    ):
        try:
            assert host.await_true(lambda: "ready" in host.log.read_text(), 30), host.log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(30)


def test_it_works_without_an_agent_and_says_so_where_there_is_no_warden_either(site: Callable[..., Any]) -> None:
    host = site()
    with warden_alone(host):
        assert "gpu1 is detached" in host.must("detach", "gpu1")
        again = host.must("detach", "gpu1")
        assert again.startswith("gpu1 was detached since ")
        assert f"by {os.environ.get('USER', 'root')}" in again or "by root" in again
        assert reset(host, 1).returncode == 0
        assert host.must("attach", "gpu1", "gpu0") == "gpu1 is governed again.\ngpu0 was not detached.\n"
        unknown = host.eagent("detach", "gpu9")
        assert unknown.stderr == "eagent: no device 'gpu9'; known are gpu0, gpu1, gpu2, gpu3\n"
    done = host.eagent("detach", "gpu1")
    assert done.stderr == "eagent: neither an agent nor a warden runs here, so nothing of eagent's is open\n"
