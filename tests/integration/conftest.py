"""Real processes of eagent on simulated hosts, in wall time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eagent.sim._plant import Host
from tests.integration.netns import Host as Namespace
from tests.integration.netns import network, why_no_netns

START_S = 30.0  # two interpreters, on a machine that runs other tests
CONFIG = "[agent]\nlease_ttl_s = 3.0\ndecide_period_ms = 250\n[host]\nfixed_w = 1000.0\nsafe_cap_w = 150.0\n"
TTL_S = 3.0


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that is not reaped yet has."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


class Site:
    """One simulated host with `eagent up` on it."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.plant = Host(made.plant)
        self.config = made.dir / "eagent.toml"
        self.config.write_text(CONFIG)
        self.log = made.dir / "up.log"
        self.prefix: tuple[str, ...] = ()  # before each command of eagent's: nsenter and its arguments
        self._up: subprocess.Popen[bytes] | None = None
        self.pids: dict[str, int] = {}

    def up(self, *options: str) -> None:
        """Start `eagent up` and wait until it says so."""
        self.log.write_text("")
        command = [*self.prefix, sys.executable, "-m", "eagent", "up", f"--config={self.config}", *options]
        with self.log.open("ab") as log:
            self._up = subprocess.Popen(command, env=self.made.environ, stdout=log, stderr=log, start_new_session=True)
        self.await_true(lambda: "eagent is up" in self.log.read_text() or self._up.poll() is not None, START_S)  # type: ignore[union-attr]
        found = re.search(r"eagent is up: warden (\d+), agent (\d+)", self.log.read_text())
        assert found, self.log.read_text()
        self.pids = {"warden": int(found[1]), "agent": int(found[2]), "parent": self._up.pid}

    def eagent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this host."""
        command = [*self.prefix, sys.executable, "-m", "eagent", *arguments, f"--config={self.config}"]
        return subprocess.run(command, env=self.made.environ, capture_output=True, text=True, timeout=60, check=False)

    def tool(self, name: str, *arguments: str) -> str:
        """What somebody else's tool prints on this host."""
        command = [str(Path(sys.executable).with_name(name)), *arguments]
        done = subprocess.run(
            command,
            env=self.made.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout

    def must(self, *arguments: str) -> str:
        """Run a command that must succeed; its output."""
        done = self.eagent(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill(self, *roles: str) -> float:
        """`kill -9`, in this order; the host's time just before: what follows may be done within a millisecond."""
        killed_s = self.plant.time_s
        for role in roles:
            os.kill(self.pids[role], signal.SIGKILL)
        if "parent" in roles and self._up is not None:
            self._up.wait()
        return killed_s

    def stop(self) -> int:
        """End `eagent up` in order; its exit code."""
        assert self._up is not None
        self._up.terminate()
        return self._up.wait(30)

    def limits_w(self) -> list[float]:
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(self.plant.gpu_count)]

    def sums_w(self, since_s: float) -> list[float]:
        """The sums of limits in force since then, by the driver's own log."""
        limits = [400.0] * self.plant.gpu_count
        sums = [sum(limits)]
        for at_s, gpu, _, new_w, _ in self.plant.limit_log():
            limits[gpu] = new_w
            sums = [*sums, sum(limits)] if at_s > since_s else [sum(limits)]
        return sums

    def await_true(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def clean_up(self) -> None:
        if self._up is not None and self._up.poll() is None:
            self.stop()
        assert self.await_true(lambda: all(is_gone(pid) for pid in self.pids.values()), 10)
        self.plant.close()


@pytest.fixture
def site(sim_host: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Site]]:
    """Makes sites: `site(gpus=4)`, `sysfs=True` with CPUs; nothing of them runs after the test."""
    made: list[Site] = []

    def make(*, sysfs: bool = False, **options: Any) -> Site:
        maker = request.getfixturevalue("served_host") if sysfs else sim_host
        made.append(Site(maker(**{"gpus": 4, **options})))
        return made[-1]

    yield make
    for one in made:
        one.clean_up()


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Whether a process has ended."""
    return is_gone


@pytest.fixture
def ttl_s() -> float:
    """The lease's time to live at every site."""
    return TTL_S


@pytest.fixture
def netns() -> Iterator[Callable[[int], list[Namespace]]]:
    """Makes so many hosts, each with a network of its own; what they can do stands in tests/integration/netns.py.

    Nothing of them is left after the test. Skips it where they can't be made.
    """
    if missing := why_no_netns():
        pytest.skip(missing)
    with ExitStack() as stack:
        yield lambda count: stack.enter_context(network(count))


PRIOR_W = 380.0  # what somebody had set on gpu1 before eagent came


@pytest.fixture
def pinned(site: Callable[..., Any]) -> Callable[..., Any]:
    """A host without a budget on which eagent holds two limits, gpu1's below its owner's own."""

    def make(*options: str) -> Any:
        host = site()
        host.plant.set_power_limit(1, PRIOR_W)
        host.up(*options)
        for gpu in (0, 1):
            host.must("pin", "set", f"gpu{gpu}", "250W")
        assert host.await_true(lambda: host.limits_w() == [250, 250, 400, 400], 5)
        return host

    return make
