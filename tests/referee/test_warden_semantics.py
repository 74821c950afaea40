"""What a kernel makes of what the warden's hot loop writes: ceilings and limits held, and put back as they were.

Also run on a real kernel: `make referee`. The GPU beside them is simulated; nothing is asked of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.errors import RefusedError
from eagent.hardware import cpufreq, rapl
from eagent.hardware._loop import Loop
from eagent.hardware.package import Package, discover
from eagent.model import DeviceKind
from eagent.sim import host as simulated
from eagent.warden.journal import Journal
from eagent.warden.warden import Warden

if TYPE_CHECKING:
    from tests.referee.conftest import Stage

TTL_S = 60.0


class Bench:
    """A warden in wall-clock time whose loop turns when it is looked at."""

    def __init__(self, stage: Stage, directory: Path, library: Path) -> None:
        self._stage = stage
        self._directory = directory
        self._library = library
        self.packages = discover(stage.sysfs)
        self.start()

    def start(self) -> None:
        """A warden; the one before is gone as `kill -9` leaves it."""
        self.loop = Loop(str(self._library), str(self._directory / "ring"), 50)
        journal, budget = Journal(self._directory / "journal"), self._directory / "budget.json"
        self.warden = Warden(self.loop, journal, budget, "boot", lambda _: True, None, self.packages)

    def becomes(self, condition: Callable[[], bool]) -> bool:
        def turn() -> bool:
            self.loop.step(time.monotonic_ns())
            return condition()

        return self._stage.becomes(turn)

    def lease(self, limits_mw: dict[str, int], clocks_mhz: dict[str, int]) -> None:
        self.warden.lease(limits_mw, TTL_S, time.monotonic_ns(), clocks_mhz)

    def entries(self) -> int:
        self.warden.tick(time.monotonic_ns())
        return len(list((self._directory / "journal").iterdir()))


@pytest.fixture
def bench(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = simulated.create(tmp_path / "sim", "gpu", gpus=1)
    monkeypatch.setenv("EAGENT_SIM_HOST", str(made.plant))
    one = Bench(stage, tmp_path, made.lib / "libnvidia-ml.so.1")
    yield one
    one.loop.release()
    one.becomes(one.warden.at_rest)
    one.loop.close()


@pytest.fixture
def package(bench: Bench) -> Package:
    return next(each for each in bench.packages if each.policies and each.zone)


def ceilings_khz(package: Package) -> list[int]:
    return [cpufreq.read(policy).max_khz for policy in package.policies]


def limits_uw(package: Package) -> list[int]:
    assert package.zone is not None
    return [rapl.limit_uw(package.zone, each.index) for each in package.limits]


def middle_mhz(bench: Bench, package: Package) -> int:
    ladder = next(device for device in bench.warden.devices if device.uuid == package.uuid).clocks_mhz
    return ladder[len(ladder) // 2]


def test_packages_are_devices_with_writable_ceilings_and_limits(bench: Bench) -> None:
    cpus = [device for device in bench.warden.devices if device.kind is DeviceKind.CPU]
    assert cpus
    assert all(device.clock.writable and device.power_limit.writable for device in cpus)
    assert all(device.clocks_mhz[0] < device.clocks_mhz[-1] for device in cpus)
    assert all(0 < device.min_limit_w < device.max_limit_w for device in cpus)


def test_a_ceiling_is_held_at_a_step_that_the_hardware_has_and_put_back(bench: Bench, package: Package) -> None:
    before = ceilings_khz(package)
    asked_mhz = middle_mhz(bench, package)
    bench.lease({}, {package.uuid: asked_mhz})

    def is_held() -> bool:
        rows = bench.warden.status(time.monotonic_ns())["clocks"]
        return next(row for row in rows if row["uuid"] == package.uuid)["held_mhz"] is not None

    assert bench.becomes(is_held)
    assert max(ceilings_khz(package)) <= asked_mhz * 1000
    assert min(ceilings_khz(package)) < min(before)
    bench.warden.release()
    assert bench.becomes(lambda: ceilings_khz(package) == before)
    assert bench.becomes(lambda: bench.entries() == 0)


def test_a_limit_is_held_in_both_windows_and_put_back_exactly(bench: Bench, package: Package) -> None:
    before = limits_uw(package)
    limit_w = next(device for device in bench.warden.devices if device.uuid == package.uuid).min_limit_w + 3
    bench.lease({package.uuid: int(limit_w) * 1000}, {})
    assert bench.becomes(lambda: max(limits_uw(package)) == int(limit_w) * 1_000_000)
    assert limits_uw(package) == [min(uw, int(limit_w) * 1_000_000) for uw in before]
    bench.warden.release()
    assert bench.becomes(lambda: limits_uw(package) == before)
    assert bench.becomes(lambda: bench.entries() == 0)


def test_what_a_killed_warden_held_the_next_puts_back(bench: Bench, package: Package) -> None:
    ceilings, limits = ceilings_khz(package), limits_uw(package)
    bench.lease({package.uuid: max(limits) // 1_000_000 * 1000 - 5000}, {package.uuid: middle_mhz(bench, package)})
    assert bench.becomes(lambda: ceilings_khz(package) != ceilings and limits_uw(package) != limits)
    bench.loop.close()
    bench.start()
    assert bench.becomes(lambda: ceilings_khz(package) == ceilings and limits_uw(package) == limits)
    assert bench.becomes(lambda: bench.entries() == 0)


def test_a_foreign_ceiling_is_overruled_while_the_lease_runs(bench: Bench, stage: Stage, package: Package) -> None:
    bench.lease({}, {package.uuid: middle_mhz(bench, package)})
    before = ceilings_khz(package)
    assert bench.becomes(lambda: ceilings_khz(package) != before)
    held = ceilings_khz(package)
    time.sleep(0.5)  # until the loop has seen it settle
    assert bench.becomes(lambda: bool(bench.loop.settings()[0][0]))
    stage.write(package.ceiling_paths[0], str(before[0]))
    assert bench.becomes(lambda: bench.loop.settings()[0][2] is not None)
    assert bench.becomes(lambda: ceilings_khz(package) == held)


def test_a_limit_outside_of_the_range_never_reaches_the_register(bench: Bench, package: Package) -> None:
    before = limits_uw(package)
    with pytest.raises(RefusedError, match="outside of its range"):
        bench.lease({package.uuid: 4_096_000}, {})  # its 15 bits would make 0 of it
    bench.loop.step(time.monotonic_ns())
    assert limits_uw(package) == before
