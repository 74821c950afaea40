"""A host with eagent on it loses its power and gets it back: real processes, the log of the driver itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from eagent.engines.power.adapter import PowerState
from eagent.engines.power.command import CommandAdapter, Commands
from eagent.sim._bmc import Bmc

BOOT_S = 1.0
BACK_S = 15.0  # interpreters start, on a machine that runs other tests; alone it takes about a second
KEPT_S = 5.0  # likewise; alone the warden keeps its budget 0.2 s after the boot
BUDGET_W, ENVELOPE_W, SAFE_W = 2000.0, 1000.0, 150.0  # as in test_promises

Site = Callable[..., Any]


@pytest.fixture
def booted(site: Site) -> Iterator[Callable[..., Any]]:
    """A host whose init runs `eagent up`, and its BMC as `host.bmc`; nothing of it runs after the test."""
    inits: list[tuple[subprocess.Popen[bytes], Bmc]] = []

    def make(**options: Any) -> Any:
        host = site(**{"boot_s": BOOT_S, **options})
        up = [sys.executable, "-m", "eagent", f"--config={host.config}", "up"]
        command = [sys.executable, "-m", "eagent", "sim", "boot", host.made.name, "--", *up]
        with host.log.open("wb") as log:
            host.init = subprocess.Popen(command, env=host.made.environ, stdout=log, stderr=log)
        host.bmc = Bmc(host.made.plant)
        inits.append((host.init, host.bmc))
        assert host.await_true(lambda: is_up(host, 1), 30), host.log.read_text()
        return host

    yield make
    for init, bmc in inits:
        init.send_signal(signal.SIGTERM)
        assert init.wait(30) in (0, -signal.SIGKILL)
        bmc.close()


def is_up(host: Any, times: int) -> bool:
    return host.log.read_text().count("eagent is up") >= times


def running(host: Any) -> list[psutil.Process]:
    """All that init has started."""
    return psutil.Process(host.init.pid).children(recursive=True)


def cut(host: Any) -> float:
    """Switch the host off and wait until nothing runs on it any more; how long that took."""
    alive = running(host)
    assert len(alive) >= 3  # parent, warden, agent
    began_s = time.monotonic()
    host.bmc.switch_off()
    assert host.await_true(lambda: not any(one.is_running() for one in alive), 10)
    return time.monotonic() - began_s


def test_off_kills_eagent_at_once_and_on_brings_it_back_under_its_budget(booted: Callable[..., Any]) -> None:
    host = booted()
    host.must("budget", "set", f"{BUDGET_W:g}")
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    assert cut(host) < 2.0
    assert host.await_true(lambda: list((host.made.dir / "run").iterdir()) == [], 2)
    assert (host.made.dir / "state/budget.json").exists()

    host.bmc.switch_on()
    assert host.await_true(lambda: host.plant.boot_id is not None, BOOT_S + 1)
    on_s = host.plant.boot_unix_s
    assert host.await_true(lambda: sum(host.limits_w()) <= ENVELOPE_W, BACK_S), host.log.read_text()
    assert host.await_true(lambda: is_up(host, 2) and min(host.limits_w()) > SAFE_W, BACK_S), host.log.read_text()
    assert f"{BUDGET_W:g} W" in host.must("budget")

    log = host.plant.limit_log()
    changes = host.bmc.power_changes()
    boot_ended_s = changes[-1][0]
    assert changes[-1][1] == "on"
    defaults = [(at_s, gpu, new_w) for at_s, gpu, old_w, new_w, pid in log if pid == 0 and new_w > 0]
    assert defaults == [(boot_ended_s, gpu, 400.0) for gpu in range(4)]  # before anybody wrote, the limits were these
    own = [entry for entry in log if entry[0] > boot_ended_s and entry[4] != 0]
    in_force_w, kept_s = [400.0] * 4, None
    for at_s, gpu, _, new_w, _ in own:
        in_force_w[gpu] = new_w
        if kept_s is None and sum(in_force_w) <= ENVELOPE_W:
            kept_s = at_s
        assert kept_s is None or sum(in_force_w) <= ENVELOPE_W  # once kept, it is never broken again
    assert kept_s is not None
    assert kept_s - boot_ended_s < KEPT_S
    assert on_s > 0


def test_what_was_journalled_before_a_boot_is_not_put_back_after_it(booted: Callable[..., Any]) -> None:
    host = booted()
    host.plant.set_power_limit(1, 380.0)
    host.must("pin", "set", "gpu1", "250W")
    assert host.await_true(lambda: host.limits_w()[1] == 250, 5)
    cut(host)
    assert any((host.made.dir / "state/journal").iterdir())  # what a cut leaves on the disk
    host.bmc.switch_on()
    assert host.await_true(lambda: is_up(host, 2), BACK_S + BOOT_S), host.log.read_text()
    assert host.await_true(lambda: not any((host.made.dir / "state/journal").iterdir()), 5)
    assert host.limits_w() == [400.0] * 4  # the boot's, and not 380 W for gpu1


def test_the_power_roles_adapter_switches_a_simulated_host_by_its_commands(booted: Callable[..., Any]) -> None:
    host = booted()
    place = [f"EAGENT_SIM_DIR={host.made.dir.parent}", f"PYTHONPATH={os.pathsep.join(sys.path)}"]
    power = ("/usr/bin/env", *place, sys.executable, "-m", "eagent", "sim", "power", "{host}")
    commands = Commands(on=(*power, "on"), off=(*power, "off"), state=(*power, "status"), power_w=(*power, "watts"))
    adapter, name = CommandAdapter(commands), host.made.name

    async def switch() -> list[tuple[PowerState, float | None]]:
        seen = [(await adapter.state(name), await adapter.power_w(name))]
        for order in (adapter.off, adapter.off, adapter.on):
            await order(name)
            seen.append((await adapter.state(name), await adapter.power_w(name)))
        return seen

    alive = running(host)
    on, off, off_again, waking = asyncio.run(switch())
    assert (on[0], off, off_again, waking[0]) == (
        PowerState.ON,
        (PowerState.OFF, 30.0),
        (PowerState.OFF, 30.0),
        PowerState.ON,
    )
    assert on[1] is not None
    assert on[1] > 1000.0
    assert host.await_true(lambda: not any(one.is_running() for one in alive), 5)
    assert host.await_true(lambda: is_up(host, 2), BACK_S + BOOT_S), host.log.read_text()


def test_an_orderly_end_of_init_gives_every_knob_back(booted: Callable[..., Any]) -> None:
    host = booted()
    host.must("pin", "set", "gpu1", "250W")
    assert host.await_true(lambda: host.limits_w()[1] == 250, 5)
    alive = running(host)
    host.init.send_signal(signal.SIGTERM)
    assert host.init.wait(30) == 0
    assert host.limits_w() == [400.0] * 4
    assert not any(one.is_running() for one in alive)


def test_cpus_and_their_files_come_back_with_a_boot(booted: Callable[..., Any]) -> None:
    host = booted(sysfs=True)
    limit = host.made.sysfs / "class/powercap/intel-rapl:0/constraint_0_power_limit_uw"
    default = limit.read_text()
    host.must("budget", "set", "3kW", "--fixed-w", "1000")
    assert host.await_true(lambda: limit.read_text() != default or min(host.limits_w()) < 400, 10)
    cut(host)
    host.bmc.switch_on()
    assert host.await_true(lambda: is_up(host, 2), BACK_S + BOOT_S), host.log.read_text()
    assert "cpu1" in host.must("status")
