"""Signs of life to a service manager, and a daemon that becomes its own successor: real processes, simulated hosts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.sim._faults import Faults

Site = Callable[..., Any]
PRIOR_W, HELD_W = 380.0, 250.0  # of gpu1, as `pinned` has it


class Manager:
    """What stands for a service manager: it starts a warden and hears what that says."""

    def __init__(self, host: Any, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        environ = {**host.made.environ, "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "900000"}
        command = [sys.executable, "-m", "eagent", "warden", f"--config={host.config}"]
        self._log = place.with_name("warden.log")
        with self._log.open("wb") as log:
            self.warden = subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    def hears(self, line: str, most_s: float) -> bool:
        """Whether a line comes within this time, from now on."""
        until = time.monotonic() + most_s
        while (left_s := until - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                if any(told.startswith(line) for told in self._socket.recv(4096).decode().splitlines()):
                    return True
            except TimeoutError:
                break
        return False

    def forget(self) -> None:
        """Drop what has come until now."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            pass

    def clean_up(self) -> None:
        self.warden.kill()
        self.warden.wait()
        self._socket.close()


@pytest.fixture
def managed(site: Site, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes a host of two GPUs without a warden yet; `begin()` starts one under a manager."""
    managers: list[Manager] = []
    faults: list[Faults] = []

    def make(*, hung: bool) -> tuple[Manager, Faults]:
        host = site(gpus=2)
        with host.config.open("a") as config:
            config.write("[driver]\nreplace_after_s = 3.0\n")
        faults.append(Faults(host.made.plant))
        if hung:
            faults[-1].inject("hung-calls")
        managers.append(Manager(host, tmp_path / "notify"))
        return managers[-1], faults[-1]

    yield make
    for fault in faults:
        fault.clear()
        fault.close()
    for manager in managers:
        manager.clean_up()


def test_a_warden_whose_driver_hangs_at_its_start_is_ready_says_so_and_is_left_alone(managed: Any) -> None:
    manager, faults = managed(hung=True)
    assert manager.hears("STATUS=waits for the driver", 10)
    manager.forget()
    for _ in range(3):
        assert manager.hears("WATCHDOG=1", 2)
    faults.clear()
    assert manager.hears("STATUS=governs 2 simulated GPUs; no lease runs", 10)
    manager.warden.terminate()
    assert manager.hears("STOPPING=1", 5)
    assert manager.warden.wait(10) == 0


def test_a_warden_whose_loop_hangs_for_long_gives_no_sign_of_life_until_it_gets_on(managed: Any) -> None:
    manager, faults = managed(hung=False)
    assert manager.hears("READY=1", 10)
    faults.inject("hung-calls")
    time.sleep(5)  # replace_after_s, and what the loop takes to meet the hung call
    manager.forget()
    assert not manager.hears("WATCHDOG=1", 2)
    faults.clear()
    assert manager.hears("WATCHDOG=1", 5)


def _renew(host: Any, role: str) -> None:
    """Have a daemon become its successor, and wait until it has."""
    seen = host.log.read_text().count(f"eagent.{role}: ready")
    os.kill(host.pids[role], signal.SIGHUP)
    assert host.await_true(lambda: host.log.read_text().count(f"eagent.{role}: ready") > seen, 15), host.log.read_text()


def _highest_w(host: Any, gpu: int, since_s: float) -> float:
    return max(
        [new_w for at_s, which, _, new_w, _ in host.plant.limit_log() if which == gpu and at_s > since_s], default=0
    )


def test_both_become_their_successors_and_nothing_that_is_held_moves(pinned: Callable[..., Any]) -> None:
    host = pinned("--no-restart")  # were one of them ended, it would stay so
    since_s = host.plant.time_s
    for role in ("warden", "agent", "warden"):
        _renew(host, role)
        assert host.limits_w() == [HELD_W, HELD_W, 400, 400]
    assert not host.await_true(lambda: host.limits_w() != [HELD_W, HELD_W, 400, 400], 4)  # longer than a lease
    assert max(_highest_w(host, gpu, since_s) for gpu in (0, 1)) <= HELD_W
    assert host.stop() == 0
    assert host.limits_w() == [400, PRIOR_W, 400, 400]  # the successor knows where all goes back to


def test_a_successor_of_the_warden_gives_back_what_no_agent_asks_for_any_more(pinned: Callable[..., Any]) -> None:
    host = pinned("--no-restart")
    os.kill(host.pids["agent"], signal.SIGSTOP)
    _renew(host, "warden")
    assert host.limits_w()[:2] == [HELD_W, HELD_W]
    assert host.await_true(lambda: host.limits_w() == [400, PRIOR_W, 400, 400], 13)
    os.kill(host.pids["agent"], signal.SIGCONT)


def test_with_a_configuration_that_no_successor_could_use_both_stay_and_say_so(pinned: Callable[..., Any]) -> None:
    host = pinned("--no-restart")
    with host.config.open("a") as config:
        config.write("nonsense = 1\n")
    for role in ("warden", "agent"):
        os.kill(host.pids[role], signal.SIGHUP)
    assert host.await_true(lambda: host.log.read_text().count("not renewed: ") == 2, 5), host.log.read_text()
    assert host.limits_w() == [HELD_W, HELD_W, 400, 400]
