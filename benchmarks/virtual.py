"""A governed simulated host in virtual time: real loop, warden, ring, agent, policies and arbiter, and no clock.

Only processes and sockets are left out: the agent's packets go straight to what answers them in the warden. CPU knobs,
if asked for, go through the simulated /sys as the kernel's would: that one process is real, and knows the same time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import psutil

from eagent.agent import cost
from eagent.agent.feed import Feed
from eagent.agent.links import Tap
from eagent.agent.loop import Governor
from eagent.agent.processors import Processors
from eagent.agent.warden import Warden as Client
from eagent.config import Config
from eagent.hardware import package
from eagent.hardware._loop import Loop
from eagent.model import Budget, Progress
from eagent.policy.efficiency import Curves
from eagent.policy.goals import Goals
from eagent.sim import host as simulated
from eagent.sim import sysfs
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.telemetry._ring import RingReader
from eagent.warden.journal import Journal
from eagent.warden.server import dispatch
from eagent.warden.warden import Warden
from eagent.wire import encode

PERIOD_S = 0.05
TURN_S = 0.25
LOOK_S = 1.0
GPU_MODEL = "a100-sxm4-80gb"


class Ungoverned:
    """A simulated host whose knobs stay where they are put."""

    def __init__(self, directory: Path, name: str, seed: int, gpu_model: str = GPU_MODEL) -> None:
        self.made = simulated.create(directory, name, seed=seed, clock="virtual", gpu_model=gpu_model)
        self.plant = Host(self.made.plant)
        self.bmc = Bmc(self.made.plant)
        self.pass_time: Callable[[float], None] = self.plant.advance  # who makes work as it goes puts itself here

    def set_limits(self, limit_w: float) -> None:
        """The same power limit for every GPU."""
        for gpu in range(self.plant.gpu_count):
            self.plant.set_power_limit(gpu, limit_w)

    def run(self, until: Callable[[], bool], most_s: float) -> None:
        """Let time pass until the condition, looked at once a second, holds."""
        end_s = self.plant.time_s + most_s
        while self.plant.time_s < end_s and not until():
            self.advance(self.plant.time_s + LOOK_S)

    def advance(self, to_s: float) -> None:
        """Let time pass."""
        self.pass_time(to_s)

    def close(self) -> None:
        """Let the host go."""
        self.bmc.close()
        self.plant.close()


class Direct(Client):
    """The agent's client of a warden in the same process."""

    def __init__(self, warden: Warden) -> None:
        super().__init__(Path("warden.sock"))
        self._warden = warden
        self._open = False
        self.now_ns = 0

    @property
    def connected(self) -> bool:
        """Whether it has greeted."""
        return self._greeted and self._open

    def close(self) -> None:
        """Forget it."""
        self._greeted = self._open = False

    async def _dial(self) -> None:
        self._open = True

    async def _exchange(self, request: bytes) -> bytes:
        return encode(dispatch(self._warden, request, self.now_ns))


class Governed(Ungoverned):
    """A simulated host that eagent governs. A process has one NVML library, and so one of these at a time."""

    def __init__(
        self,
        directory: Path,
        name: str,
        seed: int,
        config: Config | None = None,
        goals: Goals | None = None,
        *,
        cpus: bool = False,
        gpu_model: str = GPU_MODEL,
        tap: Tap | None = None,
        curves: Curves | None = None,
    ) -> None:
        """Governed from the start, without a budget.

        `cpus`: its CPU packages, too. `tap`: as the governor's. `curves`: what was learnt of jobs before.
        """
        super().__init__(directory, name, seed, gpu_model)
        self._before = os.environ.get("EAGENT_SIM_HOST"), psutil.PROCFS_PATH
        os.environ["EAGENT_SIM_HOST"] = str(self.made.plant)  # where the library looks
        if cpus:
            sysfs.start(self.made)
        psutil.PROCFS_PATH = str(self.made.procfs)
        ring = self.made.run / "ring"
        self._cpus = cpus
        self._progress: Callable[[int], tuple[Progress, ...]] = lambda _: ()
        ramp_mw_per_s = round(config.ramp_w_per_s * 1000) if config else 0
        library = str(self.made.lib / "libnvidia-ml.so.1")
        self._loop = Loop(library, str(ring), round(PERIOD_S * 1000), True, ramp_mw_per_s)
        journal, budget_file = Journal(self.made.state / "journal"), self.made.state / "budget.json"
        packages = package.discover(self.made.sysfs)
        self.warden = Warden(
            self._loop, journal, budget_file, "virtual", lambda condition: condition(), packages=packages
        )
        self._client = Direct(self.warden)
        self.governor = Governor(
            self._client,
            Feed(lambda: RingReader(ring)),
            config or Config(),
            goals,
            busy_cpus=Processors().busy,
            progress=lambda now_ns: self._progress(now_ns),
            tap=tap,
            curves=curves,
        )
        self._asyncio = asyncio.new_event_loop()

    def tell(self, progress: Callable[[int], tuple[Progress, ...]]) -> None:
        """Have the agent told how far jobs have come, at a monotonic time."""
        self._progress = progress

    def set_budget(self, envelope_w: float, safe_w: float) -> None:
        """Put the GPUs under a budget."""
        caps_w = {device.uuid: safe_w for device in self.warden.devices}
        self.warden.budget_set(Budget(envelope_w, 0.0, caps_w))

    def broken(self) -> list[str]:
        """What is wrong, but for what our own work costs: the machine's clock tells that, by its load."""
        costs = {self.governor._problems.of(subject) for subject in cost.SUBJECTS}
        return [line for line in self.governor.alarms if line not in costs]

    def advance(self, to_s: float) -> None:
        """Let time pass, step by step, with the agent's turns in between."""
        while self.plant.time_s < to_s - PERIOD_S / 2:
            now_s = self.plant.time_s + PERIOD_S
            now_ns = round(now_s * 1e9)
            self.pass_time(now_s)
            self._loop.step(now_ns)
            if round(now_s / PERIOD_S) % round(TURN_S / PERIOD_S) == 0:
                self._client.now_ns = now_ns
                self._asyncio.run_until_complete(self.governor.step(now_ns))
                self.warden.tick(now_ns)

    def close(self) -> None:
        """Let the host go, and with it the library and its /sys."""
        self._asyncio.close()
        self.governor.feed.close()
        self._loop.close()
        if self._cpus:
            self.made.mount.stop()
        host, psutil.PROCFS_PATH = self._before  # the whole process's, and it may have other things to do
        del os.environ["EAGENT_SIM_HOST"]
        if host is not None:
            os.environ["EAGENT_SIM_HOST"] = host
        super().close()
