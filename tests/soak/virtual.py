"""Two days of a governed host in virtual time, in this process: the real loop, warden, ring, agent and policies.

Jobs come and go, budgets and pins change, limits are written by others and dropped. Nothing is made anew meanwhile.
What is measured is what Python's allocator holds, what this process holds, and its descriptors.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.virtual import Direct
from eagent.agent.feed import Feed
from eagent.agent.loop import Governor
from eagent.config import Config
from eagent.errors import EagentError
from eagent.hardware._loop import Loop
from eagent.model import Budget
from eagent.policy.goals import Pin
from eagent.sim import host as simulated
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.workload import Gang, Square
from eagent.telemetry._ring import RingReader
from eagent.warden.journal import Journal
from eagent.warden.warden import Warden

GPUS, SAFE_W, MOST_W = 4, 150.0, 400.0
STEP_S, TURN_S, STIR_S = 0.25, 1.0, 60.0  # of the loop, the agent, and whoever disturbs them
HOUR_S = 3600.0  # between looks at the memory
NAME = "h"
Sample = tuple[float, dict[str, float]]


class TwoDays:
    """The host and who governs it."""

    def __init__(self, directory: Path, seed: int) -> None:
        """Begin at 0 s."""
        self._directory = directory
        self._rng = random.Random(seed)
        self._asyncio = asyncio.new_event_loop()
        self.now_s, self.turns = 0.0, 0
        self._begin()

    def _begin(self) -> None:
        self._made = simulated.create(self._directory, NAME, gpus=GPUS, clock="virtual")
        self._plant, self._faults = Host(self._made.plant), Faults(self._made.plant)
        os.environ["EAGENT_SIM_HOST"] = str(self._made.plant)
        ring, state = self._made.run / "ring", self._made.state
        self._loop = Loop(str(self._made.lib / "libnvidia-ml.so.1"), str(ring), 50, True)
        self._warden = Warden(
            self._loop, Journal(state / "journal"), state / "budget.json", "virtual", lambda condition: condition()
        )
        self._client = Direct(self._warden)
        config = Config(mode_idle="act", idle_consent=("all",))
        self._governor = Governor(self._client, Feed(lambda: RingReader(ring)), config)

    def close(self) -> None:
        """Leave nothing."""
        self._governor.feed.close()
        self._loop.close()
        self._plant.close()
        self._faults.close()
        simulated.delete(self._directory, NAME)
        self._asyncio.close()

    # -- the course --------------------------------------------------------------------------------------------------

    def run(self, hours: int) -> Iterator[Sample]:
        """Let so many hours go by; each hour a sample: virtual time and what was measured."""
        for hour in range(1, hours + 1):
            while self.now_s < hour * HOUR_S - STEP_S / 2:
                self._step()
            yield self.now_s, self._measured()

    def _step(self) -> None:
        self.now_s = round((self.now_s + STEP_S) / STEP_S) * STEP_S
        now_ns = round((self.now_s + 10) * 1e9)  # monotonic time is never zero
        self._plant.advance(self.now_s)
        self._loop.step(now_ns)
        if _is_time(self.now_s, TURN_S):
            self._client.now_ns = now_ns
            self._asyncio.run_until_complete(self._governor.step(now_ns))
            self._warden.tick(now_ns)
            self.turns += 1
        if _is_time(self.now_s, STIR_S):
            self._stir()

    def _stir(self) -> None:
        rng = self._rng
        gpu, limit_w = rng.randrange(GPUS), rng.randrange(10, 41) * 10.0
        uuid = self._warden.devices[gpu].uuid
        try:
            match rng.randrange(10):
                case 0 | 1:
                    self._plant.stop_load()
                    Square(period_s=20.0, duty=rng.uniform(0.1, 1.0)).start(self._plant, range(GPUS), pid=os.getpid())
                case 2:
                    self._plant.stop_load()
                    Gang(step_s=5.0).start(self._plant, range(GPUS), pid=os.getpid())
                case 3 | 4:
                    caps_w = {device.uuid: SAFE_W for device in self._warden.devices}
                    self._warden.budget_set(Budget(rng.uniform(GPUS * SAFE_W, GPUS * MOST_W), 0.0, caps_w))
                case 5:
                    self._warden.budget_clear()
                case 6:
                    self._governor.pins = {uuid: Pin(uuid, limit_w)} if rng.random() < 0.7 else {}
                case 7 | 8:
                    self._plant.set_power_limit(gpu, limit_w)  # somebody else
                case _:
                    self._faults.inject("settings-dropped", "gpu", gpu)
        except EagentError as problem:
            print(f"{self.now_s:.0f} s: {problem}", file=sys.stderr)

    @property
    def writes(self) -> int:
        """How many knobs the loop has written: the course is none if nothing happens."""
        return (self._governor.feed.stats or {}).get("writes", 0)

    def _measured(self) -> dict[str, float]:
        gc.collect()
        process = psutil.Process()
        rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
        return {
            "objects": float(len(gc.get_objects())),
            "blocks": float(sys.getallocatedblocks()),
            "anonymous memory, kB": float(rollup.partition("\nAnonymous:")[2].split()[0]),  # not the plant's file
            "descriptors": float(process.num_fds()),
            "threads": float(process.num_threads()),
        }


def _is_time(now_s: float, every_s: float) -> bool:
    return round(now_s / STEP_S) % round(every_s / STEP_S) == 0
