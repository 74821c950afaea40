"""The two hosts of the demo: what is done to them, and eagent's real processes on one of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eagent.demo.scenario import CPU_MODEL, GPUS, MODEL, SEED
from eagent.errors import EagentError
from eagent.sim import host as simulated
from eagent.sim import processor
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim.supply import Supply, package_most_w
from eagent.sim.workload import Dispatched, Serving

READY_S = 30.0
POLL_S = 0.05


class Bench:
    """One simulated host, seen from outside: its plant's own truth, not what eagent says of it."""

    def __init__(self, root: Path, name: str) -> None:
        """Make the host. Both hosts have the same seed: the same boards with the same faults of their sensors."""
        self.made = simulated.create(root, name, gpus=GPUS, gpu_model=MODEL, cpu_model=CPU_MODEL, seed=SEED)
        self.plant = Host(self.made.plant)
        self.bmc = Bmc(self.made.plant)
        self.name = name

    @property
    def others_w(self) -> float:
        """The most that all of it draws but its GPUs: what an operator would declare."""
        cpus_w = package_most_w(processor.load(CPU_MODEL))
        greatest_w = sum(self.plant.view(gpu)["limit_max_mw"] / 1000 for gpu in range(GPUS))
        return cpus_w + Supply(**self.bmc.supply).others_most_w(greatest_w + cpus_w)

    def close(self) -> None:
        """Let the host go."""
        self.bmc.close()
        self.plant.close()

    def limits_w(self) -> list[float]:
        """The power limits as the driver holds them."""
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(GPUS)]

    def set_limits(self, limits_w: tuple[float, ...]) -> None:
        """Set every limit, as an administrator would with the vendor's tool."""
        for gpu, limit_w in enumerate(limits_w):
            self.plant.set_power_limit(gpu, limit_w)

    def serve(self, requests: Sequence[Dispatched], at_s: float) -> None:
        """Let requests come, from `at_s` on this host's clock."""
        Serving().start(self.plant, requests, at_s=at_s, pid=os.getpid())

    def done(self) -> int:
        """How many requests have been answered."""
        return sum(done_s is not None for _, _, done_s in self.plant.served())


class Governor:
    """eagent on a simulated host: `eagent up` and what can be done to its processes."""

    def __init__(self, bench: Bench, config: Path | None = None) -> None:
        """Nothing runs yet; `config` is the configuration to run with, else the defaults."""
        self._bench = bench
        self._options = [] if config is None else [f"--config={config}"]
        self._environ = bench.made.environment(os.environ)
        self._log = bench.made.path / "up.log"
        self._up: subprocess.Popen[bytes] | None = None
        self.warden_pid = self.agent_pid = 0

    def start(self) -> None:
        """Run `eagent up` until it says that it is up.

        Raises:
            EagentError: it does not start; its log is in the message.
        """
        # What is killed stays dead: it is to be seen.
        command = [sys.executable, "-m", "eagent", *self._options, "up", "--no-restart"]
        with self._log.open("ab") as log:
            said = self._log.stat().st_size
            self._up = subprocess.Popen(command, env=self._environ, stdout=log, stderr=log, start_new_session=True)
        if not wait(lambda: self._announced(said) or not self.alive, READY_S) or not self.alive:
            raise EagentError(f"`eagent up` did not start: {self._log.read_text()[said:].strip()}")

    def _announced(self, said: int) -> bool:
        match = re.search(r"eagent is up: warden (\d+), agent (\d+)", self._log.read_text()[said:])
        if match:
            self.warden_pid, self.agent_pid = int(match[1]), int(match[2])
        return match is not None

    @property
    def alive(self) -> bool:
        """Whether the parent of both runs."""
        return self._up is not None and self._up.poll() is None

    def run(self, *arguments: str) -> str:
        """Run an `eagent` command on this host; returns what it printed.

        Raises:
            EagentError: it failed; the message is its own line.
        """
        command = [sys.executable, "-m", "eagent", *arguments]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EagentError(done.stderr.strip() or f"`eagent {' '.join(arguments)}` failed")
        return done.stdout.strip()

    def status(self) -> dict[str, Any]:
        """What the agent says now."""
        told: dict[str, Any] = json.loads(self.run("status", "--json"))
        return told

    def kill_agent(self) -> None:
        """`kill -9` of the agent."""
        os.kill(self.agent_pid, signal.SIGKILL)

    def kill_warden(self) -> None:
        """`kill -9` of the warden."""
        os.kill(self.warden_pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """`kill -9` of all three in one go, the parent last: its death would tell the others to end in order."""
        assert self._up is not None
        for pid in (self.agent_pid, self.warden_pid, self._up.pid):
            os.kill(pid, signal.SIGKILL)
        self._up.wait()

    def stop(self) -> None:
        """End what still runs, in order."""
        if self._up is not None and self.alive:
            self._up.terminate()
            self._up.wait()


def wait(condition: Callable[[], bool], timeout_s: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Wait until the condition holds; False if it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        meanwhile()
        time.sleep(POLL_S)
    return True
