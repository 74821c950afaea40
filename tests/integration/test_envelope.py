"""A budget that is cut while a lease runs, by real processes: the agent is there, or is stopped."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from eagent.model import Budget
from eagent.sim.workload import Square
from eagent.wire import decode, encode, pack_budget

GPUS, SAFE_W, WIDE_W, NARROW_W = 4, 150.0, 1600.0, 900.0
TICK_S, SLACK_S = 0.05, 0.5  # the slack is for a machine that runs other tests


def set_envelope(host: Any, watts: float) -> None:
    """Ask the warden itself: the agent has no part in it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as warden:
        warden.settimeout(10)
        warden.connect(str(host.made.dir / "run/warden/sock"))
        warden.sendall(encode({"op": "hello"}))
        caps_w = {device["uuid"]: SAFE_W for device in decode(warden.recv(65536))["devices"]}
        warden.sendall(encode({"op": "budget_set", **pack_budget(Budget(watts, 0.0, caps_w))}))
        assert decode(warden.recv(65536))["in_force"]


@pytest.fixture
def shared(site: Callable[..., Any]) -> Any:
    """A busy host whose wide budget is shared out."""
    host = site(gpus=GPUS)
    for gpu in range(GPUS):
        Square(period_s=1.0, duty=1.0).start(host.plant, [gpu])
    host.up("--no-restart")
    set_envelope(host, WIDE_W)
    assert host.await_true(lambda: sum(host.limits_w()) > NARROW_W + 100, 20)
    return host


@pytest.mark.parametrize("is_stopped", [False, True], ids=["agent alive", "agent stopped"])
def test_a_cut_under_a_lease_is_in_force_at_once_and_ends_at_the_safe_caps(
    shared: Any, is_stopped: bool, ttl_s: float
) -> None:
    host = shared
    if is_stopped:
        os.kill(host.pids["agent"], signal.SIGSTOP)
    try:
        asked_s = host.plant.time_s
        set_envelope(host, NARROW_W)
        answered_s, limits_w = host.plant.time_s, host.limits_w()
        assert sum(limits_w) <= NARROW_W
        assert answered_s - asked_s <= TICK_S + GPUS * 0.006 + SLACK_S
        if is_stopped:
            assert sum(limits_w) > NARROW_W - 10  # scaled, and not at the safe caps
            assert host.await_true(lambda: host.limits_w() == [SAFE_W] * GPUS, ttl_s + 2)
    finally:
        if is_stopped:
            os.kill(host.pids["agent"], signal.SIGCONT)
    host.await_true(lambda: False, 2.0)  # the agent, alive or back, shares what there is now
    assert max(host.sums_w(answered_s)) <= NARROW_W, "never above it again, from when it was said to be in force"
