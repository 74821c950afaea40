"""Real processes under churn in real time, and what they hold: memory, descriptors, threads.

`eagent warden` and `eagent agent` run on a simulated host while jobs come and go, budgets and pins change, limits are
written by others and dropped, clients of the API and of the command line come, misbehave and go. Halves of the time
one of the two dies and is started again, so that the other one has lived through it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from eagent.client import device_target
from eagent.errors import EagentError
from eagent.sim.workload import Gang, Square
from tests.torture.script import FIXED_W, GPUS
from tests.torture.world import World

LOOK_S, STIR_S, DEATH_S = 2.0, 0.25, 60.0
HELD = ("warden", "agent")


@dataclass
class Look:
    """What one process held at a time."""

    at_s: float
    role: str
    pid: int
    values: dict[str, float] = field(default_factory=dict)


class Churn:
    """The host, its processes and who disturbs them. `mortal` dies once in DEATH_S; "" for nobody."""

    def __init__(self, directory: Path, seed: int, mortal: str) -> None:
        """Start both."""
        self._rng = random.Random(seed)
        self._mortal = mortal
        self.world = World(directory, {})
        self.requests = self.failures = self.deaths = 0
        for role in HELD:
            self.world.start(role)
            self._await(role)

    def _await(self, role: str) -> None:
        name = "warden/sock" if role == "warden" else "api.sock"
        if not self.world.wait(lambda: (self.world.made.run / name).exists(), 30.0):
            raise RuntimeError(f"no {role}: {self.world.tail()}")

    def close(self) -> None:
        """Leave nothing."""
        self.world.close()

    def run(self, seconds: float) -> Iterator[Look]:
        """Disturb them for so long; what each held, every LOOK_S."""
        began = time.monotonic()
        look_s, death_s = 0.0, DEATH_S
        while (now_s := time.monotonic() - began) < seconds:
            if now_s >= look_s:
                look_s = now_s + LOOK_S
                yield from self._looks(now_s)
            if self._mortal and now_s >= death_s:
                death_s = now_s + DEATH_S
                self._die()
            self.requests += 1
            try:
                self._stir()
            except (EagentError, OSError):  # while one of them is dead that is the right answer
                self.failures += 1
            time.sleep(STIR_S)

    def _looks(self, now_s: float) -> Iterator[Look]:
        for process in self.world.living():
            with contextlib.suppress(psutil.Error):
                handle = process.handle
                memory = handle.memory_full_info()
                values = {
                    "resident memory, kB": memory.rss / 1024,
                    "unique memory, kB": memory.uss / 1024,
                    "descriptors": float(handle.num_fds()),
                    "threads": float(handle.num_threads()),
                }
                yield Look(now_s, process.role, process.pid, values)

    def _die(self) -> None:
        victim = self.world.of(self._mortal)
        if victim is not None:
            self.world.signal(victim, self._rng.choice((signal.SIGKILL, signal.SIGTERM)))
            self.world.wait(lambda: not victim.alive, 10.0)
        self.world.start(self._mortal)
        self.deaths += 1
        self.world.trace.clear()

    def _stir(self) -> None:
        rng, world = self._rng, self.world
        gpu, limit_w = rng.randrange(GPUS), rng.randrange(10, 41) * 10.0
        match rng.randrange(16):
            case 0 | 1:
                world.plant.stop_load()
                some = rng.sample(range(GPUS), rng.randint(1, GPUS))
                if rng.random() < 0.5:
                    Square(period_s=rng.uniform(0.2, 5.0), duty=0.7).start(world.plant, some, pid=1)
                else:
                    Gang(step_s=0.3).start(world.plant, some, pid=1)
            case 2 | 3:
                world.api.request("PUT", "/v1/budget", {"budget_w": FIXED_W + rng.uniform(600.0, 1500.0)})
            case 4:
                world.api.request("DELETE", "/v1/budget")
            case 5 | 6:
                body = {"limit_w": limit_w, "for_s": rng.uniform(0.5, 5.0)}
                world.api.request("PUT", device_target(f"gpu{gpu}", "pin"), body)
            case 7:
                world.faults.inject("foreign-limit", "gpu", gpu, (limit_w,))
            case 8:
                world.faults.inject("settings-dropped", "gpu", gpu)
            case 9 | 10 | 11:
                world.api.request("GET", rng.choice(("/v1/status", "/v1/plan", device_target("gpu0", "explain"))))
            case 12:
                self._scrape()
            case 13:
                self._hang_up()
            case 14:
                self._job()
            case _:
                self._command(rng.choice(("status", "plan", "budget")))

    def _scrape(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            connection.connect(str(self.world.made.run / "api.sock"))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n")
            while connection.recv(65_536):
                pass

    def _hang_up(self) -> None:
        """Who asks and does not wait, or sends half a request."""
        for name, kind, said in (
            ("api.sock", socket.SOCK_STREAM, b"GET /v1/status HT"),
            ("warden/sock", socket.SOCK_SEQPACKET, b"\x81\xa1v\x01"),
        ):
            with socket.socket(socket.AF_UNIX, kind) as connection:
                connection.connect(str(self.world.made.run / name))
                connection.sendall(said)

    def _job(self) -> None:
        """A process that measures itself, as jobs do."""
        self._run("measure", "--", sys.executable, "-c", "pass")

    def _command(self, verb: str) -> None:
        self._run(verb)

    def _run(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "eagent", *arguments]
        subprocess.run(
            command,
            env=self.world.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )


def minutes() -> float:
    """How long to go on, by the environment of `make soak MINUTES=...`."""
    return float(os.environ.get("EAGENT_SOAK_MINUTES") or 30.0)
