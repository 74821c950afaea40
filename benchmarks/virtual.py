"""A governed simulated host in virtual time: real loop, warden, ring, telemetry, policies and arbiter, and no clock.

Only the asyncio shell of the agent is left out; a turn here does what one of its turns does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from eagent.hardware._loop import Loop
from eagent.model import Budget, HostState
from eagent.policy import budget
from eagent.policy.arbiter import arbitrate
from eagent.policy.goals import Goals
from eagent.policy.registry import Policies
from eagent.sim import host as simulated
from eagent.sim._plant import Host
from eagent.telemetry._ring import RingReader
from eagent.telemetry.fold import Fold
from eagent.warden.journal import Journal
from eagent.warden.warden import Warden

PERIOD_S = 0.05
TURN_S = 1.0
TTL_S = 3.0


class Ungoverned:
    """A simulated host with limits that stay where they are put."""

    def __init__(self, directory: Path, name: str, seed: int) -> None:
        self.made = simulated.create(directory, name, seed=seed, clock="virtual")
        self.plant = Host(self.made.plant)

    def set_limits(self, limit_w: float) -> None:
        """The same limit for every GPU."""
        for gpu in range(self.plant.gpu_count):
            self.plant.set_power_limit(gpu, limit_w)

    def run(self, until: Callable[[], bool], most_s: float) -> None:
        """Let time pass until the condition, looked at once a second, holds."""
        end_s = self.plant.time_s + most_s
        while self.plant.time_s < end_s and not until():
            self.advance(self.plant.time_s + TURN_S)

    def advance(self, to_s: float) -> None:
        """Let time pass."""
        self.plant.advance(to_s)

    def close(self) -> None:
        """Let the host go."""
        self.plant.close()


class Governed(Ungoverned):
    """A simulated host that eagent governs under a budget."""

    def __init__(self, directory: Path, name: str, seed: int, envelope_w: float, safe_w: float, goals: Goals) -> None:
        super().__init__(directory, name, seed)
        os.environ["EAGENT_SIM_HOST"] = str(self.made.plant)  # where the library looks; one host at a time
        ring = self.made.run / "ring"
        self._loop = Loop(str(self.made.lib / "libnvidia-ml.so.1"), str(ring), round(PERIOD_S * 1000), True)
        journal, budget_file = Journal(self.made.state / "journal"), self.made.state / "budget.json"
        self.warden = Warden(self._loop, journal, budget_file, "virtual", lambda condition: condition())
        self._reader = RingReader(ring)
        self._fold = Fold(self.warden.devices)
        self._goals = goals
        self._policies = Policies()
        caps_w = {device.uuid: safe_w for device in self.warden.devices}
        self.warden.budget_set(Budget(envelope_w, 0.0, caps_w), 0)

    def advance(self, to_s: float) -> None:
        """Let time pass, step by step, with a turn of the agent once a second."""
        while self.plant.time_s < to_s - PERIOD_S / 2:
            now_s = self.plant.time_s + PERIOD_S
            self.plant.advance(now_s)
            self._loop.step(round(now_s * 1e9))
            if round(now_s / PERIOD_S) % round(TURN_S / PERIOD_S) == 0:
                self._turn(round(now_s * 1e9))

    def _turn(self, now_ns: int) -> None:
        self._fold.add(self._reader.drain())
        state = HostState(self._fold.states(now_ns), self.warden.budget)
        # The others only observe by default, and so they do here.
        proposals = [each for each in self._policies.propose(state, self._goals, now_ns) if each.policy == budget.NAME]
        decided = arbitrate(self.warden.devices, proposals, now_ns)
        self.warden.lease({each.uuid: round(each.value * 1000) for each in decided}, TTL_S, now_ns)

    def close(self) -> None:
        """Let the host go, and the library with it."""
        self._reader.close()
        self._loop.close()
        super().close()
