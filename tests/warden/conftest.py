"""A warden on a simulated host in virtual time: the real loop, the real library, no thread and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.hardware._loop import Loop
from eagent.hardware.package import discover
from eagent.model import Budget
from eagent.sim._plant import Host
from eagent.warden.absent import load
from eagent.warden.journal import Journal
from eagent.warden.warden import Warden
from eagent.warden.written import Memory

PERIOD_S = 0.05


class Rig:
    """A host and, one after another, the wardens that govern it."""

    def __init__(
        self, made: Any, gpus: int, clock_baseline_mhz: int | None, has_sysfs: bool, ramp_w_per_s: int, foreign: str
    ) -> None:
        self.ramp_w_per_s = ramp_w_per_s
        self.foreign = foreign
        self.clock_baseline_mhz = clock_baseline_mhz
        self.sysfs: Path | None = made.sysfs if has_sysfs else None  # a test may put a tree of plain files here
        self.made = made
        self.gpus = gpus
        self.plant = Host(made.plant)
        self.state = made.dir / "state"
        self.now_s = 10.0  # monotonic time is never zero
        self.boot_id = "boot-1"
        self.settle_s = PERIOD_S  # how long a command waits for what it asked for
        self.kept_open: set[str] = set()  # UUIDs of GPUs that the driver's library never closes
        self.driver = ""  # the GPU driver's life; not told but where a test does
        self.meanwhile: Callable[[], object] = lambda: None  # what happens between reading the journal and going by it
        self._loop: Loop | None = None

    @property
    def now_ns(self) -> int:
        return round(self.now_s * 1e9)

    def start(self) -> Warden:
        """A new warden, as after a restart; the one before is simply gone."""
        self.die()
        library, ring = self.made.dir / "lib" / "libnvidia-ml.so.1", self.made.dir / "run" / "ring"
        file = self.state / "detached.json"
        absent = load(file, self.boot_id)
        period_ms, ramp = round(PERIOD_S * 1000), self.ramp_w_per_s * 1000
        self._loop = Loop(str(library), str(ring), period_ms, True, ramp, absent.loops_places())
        self._loop.on_foreign(self.foreign)
        journal, budget = Journal(self.state / "journal", self.driver), self.state / "budget.json"
        self.memory = Memory(self.state / "written", self.boot_id, journal)
        self.meanwhile()
        packages = discover(self.sysfs) if self.sysfs else ()
        taken = (self._loop, journal, budget, self.boot_id, self.settle, self.clock_baseline_mhz, packages)
        self.warden = Warden(
            *taken, absent=absent, absent_file=file, is_open=lambda device: device.uuid in self.kept_open
        )
        self.memory.resume(self._loop, self.warden.devices)
        self.warden.tell()
        self.step()
        self.warden.tick(self.now_ns)
        return self.warden

    def die(self) -> None:
        """End as `kill -9` ends it: nothing is put in order."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def settle(self, condition: Callable[[], bool]) -> bool:
        end_s = self.now_s + self.settle_s - 1e-6
        self.step()
        while not condition() and self.now_s < end_s:
            self.step()
        return condition()

    def step(self, seconds: float = PERIOD_S) -> None:
        assert self._loop is not None
        end_s = self.now_s + seconds - 1e-6
        while self.now_s < end_s:
            self.now_s += PERIOD_S
            self.plant.advance(self.now_s)
            self._loop.step(self.now_ns)

    def limits_w(self) -> list[float]:
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(self.gpus)]

    def lease(self, *limits_w: float, ttl_s: float = 3.0) -> None:
        named = zip((device.uuid for device in self.warden.devices), limits_w, strict=True)
        self.warden.lease({uuid: round(limit_w * 1000) for uuid, limit_w in named}, ttl_s, self.now_ns)

    def budget(self, envelope_w: float, safe_w: float = 150.0, fixed_w: float = 1000.0) -> Budget:
        return Budget(envelope_w + fixed_w, fixed_w, {device.uuid: safe_w for device in self.warden.devices})

    def sums_w(self) -> list[float]:
        """The sum of limits after each change in the driver's own log, the first before any."""
        limits = [400.0] * self.gpus
        sums = [sum(limits)]
        for _, gpu, _, new_w, _ in self.plant.limit_log():
            limits[gpu] = new_w
            sums.append(sum(limits))
        return sums


@pytest.fixture
def rig(sim_host: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """Makes rigs: `rig(gpus=4, permission="anyone")`, with a warden started; `sysfs=True` with CPUs to govern."""
    made: list[Rig] = []

    def make(
        gpus: int = 4,
        clock_baseline_mhz: int | None = None,
        sysfs: bool = False,
        ramp_w_per_s: int = 0,
        foreign: str = "respect",
        **options: Any,
    ) -> Rig:
        for earlier in made:  # a process has one NVML library, and it one host at a time
            earlier.die()
        maker = request.getfixturevalue("served_host") if sysfs else sim_host
        host = maker(gpus=gpus, clock="virtual", **options)
        monkeypatch.setenv("EAGENT_SIM_HOST", str(host.dir / "plant"))
        made.append(Rig(host, gpus, clock_baseline_mhz, sysfs, ramp_w_per_s, foreign))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.die()
        one.plant.close()


@pytest.fixture
def journalled() -> Callable[[Path], int]:
    """How many entries stand in a state directory's journal."""
    return lambda state: len(list((state / "journal").glob("*.json")))
