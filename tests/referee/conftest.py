"""Where the contract of cpufreq and RAPL is put to the test: a simulated host's tree, or a real kernel's /sys.

The tests here are the same in both places. EAGENT_SYSFS names a tree that is there, as tests/referee/vm does in its
guest; without it a simulated host's is mounted.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

KNOBS = (
    "devices/system/cpu/cpufreq/policy[0-9]*/scaling_governor",
    "devices/system/cpu/cpufreq/policy[0-9]*/energy_performance_preference",
    "class/powercap/*/enabled",
    "class/powercap/*/constraint_*_power_limit_uw",
)
NOBODY = 65534
SIMULATED = {"intel_pstate": "intel-rapl", "acpi-cpufreq": "intel-rapl-mmio"}  # driver and kind of powercap zones


@dataclass(frozen=True)
class Stage:
    """A tree, and what a test may ask of the hardware behind it.

    Attributes:
        sysfs: the root that stands for /sys.
        wrap_soon: have the counter of the zone of this name wrap within a few seconds.
    """

    sysfs: Path
    wrap_soon: Callable[[str], None]

    @staticmethod
    def write(path: Path, text: str) -> None:
        """Write as a shell's echo would, without any of our code between. Raises OSError as the kernel says."""
        handle = os.open(path, os.O_WRONLY)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    @staticmethod
    def becomes(condition: Callable[[], bool], within_s: float = 5) -> bool:
        """Whether it comes true in time: what is written takes effect at once, or at the hardware's next tick."""
        end = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    @contextmanager
    def as_nobody(self) -> Iterator[None]:
        """Without privilege, for as long as it lasts."""
        if os.geteuid():
            pytest.skip("to be somebody else takes root")
        os.seteuid(NOBODY)
        try:
            if not os.access(self.sysfs / "class", os.X_OK, effective_ids=True):
                pytest.skip(f"{self.sysfs} is closed to other users")
            yield
        finally:
            os.seteuid(0)


@pytest.fixture(scope="session", params=["kernel"] if os.environ.get("EAGENT_SYSFS") else list(SIMULATED))
def tree(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The tree that EAGENT_SYSFS names; without it those of simulated hosts, by the driver of their CPUs."""
    if request.param != "kernel":
        with simulated(request.param) as stage:
            yield stage
        return
    hardware = os.environ.get("EAGENT_REFEREE")  # the directory where the guest's hardware takes orders

    def wrap_soon(zone: str) -> None:
        if not hardware:
            pytest.skip("this hardware's counters go their own way")
        draft, order = Path(hardware) / "draft", Path(hardware) / "count"
        draft.write_text(f"{zone} 150\n")  # joules: about a second
        draft.rename(order)
        assert Stage.becomes(lambda: not order.exists()), "the hardware has not obeyed"

    yield Stage(Path(os.environ["EAGENT_SYSFS"]), wrap_soon)


@contextmanager
def simulated(driver: str) -> Iterator[Stage]:
    """The tree of a small simulated host: its first package is busy, and its counters wrap every few seconds."""
    from eagent.sim import host, processor, sysfs, workload
    from eagent.sim._plant import Host
    from tests.conftest import why_no_fuse

    if missing := why_no_fuse():
        pytest.skip(missing)
    cpu = processor.load("xeon-platinum-8358", SIMULATED[driver])
    cpu["identity"]["driver"] = driver
    cpu["topology"] |= {"packages": 2, "cores": 2, "threads_per_gpu": 2.0}
    cpu["power"] |= {"idle_w": 10.0, "core_w": 60.0}
    cpu["limits"]["energy_range_uj"] = 300_000_000
    directory = Path(tempfile.mkdtemp(prefix="referee-"))
    directory.chmod(0o755)  # tests look as another user, too
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processor, "load", lambda *_: cpu)
            made = host.create(directory, "host", gpus=1)
        try:
            with Host(made.plant) as opened:
                workload.Gang().start(opened, [0])
            sysfs.start(made)
            yield Stage(made.sysfs, lambda _: None)
        finally:
            host.delete(directory, "host")
    finally:
        directory.rmdir()


@pytest.fixture
def stage(tree: Stage) -> Iterator[Stage]:
    """The tree, with its knobs put back after the test."""
    before = {path: path.read_text() for pattern in KNOBS for path in sorted(tree.sysfs.glob(pattern))}
    yield tree
    for policy in tree.sysfs.glob("devices/system/cpu/cpufreq/policy[0-9]*"):
        # What was asked outlives what can be read of it, so the bounds are opened, not put back; and not at once.
        widest = {
            policy / f"scaling_{end}_freq": (policy / f"cpuinfo_{end}_freq").read_text() for end in ("min", "max")
        }
        for path, value in widest.items():
            tree.write(path, value)
        assert tree.becomes(lambda widest=widest: all(path.read_text() == value for path, value in widest.items()))
    for path, value in before.items():
        if path.read_text() != value:
            tree.write(path, value)
