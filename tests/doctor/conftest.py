"""A healthy host as the doctor sees it, for checks to find something wrong with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent import __version__
from eagent.config import Config
from eagent.doctor.driver import Driver, Gpu
from eagent.doctor.finding import Finding
from eagent.doctor.host import Host, Roots, User
from eagent.doctor.timer import Timer
from eagent.paths import Paths

LIBRARY = "libnvidia-ml.so.1"
NOBODY = 65_534


@pytest.fixture
def gpu() -> Callable[..., Gpu]:
    """Makes GPUs that want for nothing: `gpu(0, mig=True)`."""

    def make(index: int, **options: Any) -> Gpu:
        healthy = Gpu(
            index=index,
            uuid=f"GPU-{index:04}",
            name="A100",
            pci_bus_id=f"00000000:0{index}:00.0",
            min_limit_w=100.0,
            max_limit_w=400.0,
            default_limit_w=400.0,
            requested_w=400.0,
            enforced_w=400.0,
            persistence=True,
            mig=False,
            virtualization=0,
        )
        return replace(healthy, **options)

    return make


@pytest.fixture
def boot_id() -> str:
    """This boot's."""
    return "b0071d00-0000-4000-8000-000000000000"


@pytest.fixture
def host(tmp_path: Path, gpu: Callable[..., Gpu], boot_id: str) -> Host:
    """Two GPUs, a user who may set them, and no eagent yet; its directories and the kernel's trees are in tmp_path."""
    kernel = {name: tmp_path / name for name in ("sys", "proc", "dev", "etc", "system-run")}
    roots = Roots(kernel["sys"], kernel["proc"], kernel["dev"], kernel["etc"], kernel["system-run"])
    for directory in (*kernel.values(), roots.proc / "sys/kernel/random", tmp_path / "run", tmp_path / "state"):
        directory.mkdir(parents=True)
    (roots.proc / "stat").write_text("cpu  1 0 0 9 0 0 0 0 0 0\n")
    (roots.proc / "sys/kernel/random/boot_id").write_text(f"{boot_id}\n")
    (roots.proc / "locks").write_text("")
    driver = Driver(
        LIBRARY,
        path=f"/usr/lib/{LIBRARY}",
        kernel_driver=True,
        code=0,
        driver_version="570.1",
        nvml_version="12.570.1",
        gpus=(gpu(0), gpu(1)),
    )
    return Host(
        paths=Paths(run=tmp_path / "run", state=tmp_path / "state", sysfs=roots.sysfs, proc=roots.proc),
        roots=roots,
        config=Config(fixed_w=1000.0),
        user=User(uid=os.getuid(), admin=True),
        driver=driver,
        timer=Timer(1e-9, "tsc", synchronised=True),
    )


@pytest.fixture
def with_gpus(host: Host) -> Callable[..., Host]:
    """The same host with these GPUs: `with_gpus(gpu(0), gpu(1))`."""
    return lambda *gpus: replace(host, driver=replace(host.driver, gpus=gpus))


@pytest.fixture
def status() -> Callable[..., dict[str, Any]]:
    """Makes what an agent with a warden says of two GPUs: `status(ours_w=250.0, state="leased")` of both."""

    def make(**limit: Any) -> dict[str, Any]:
        power_limit = {
            "requested_w": 400.0,
            "enforced_w": 400.0,
            "ours_w": None,
            "baseline_w": 400.0,
            "min_w": 100.0,
            "max_w": 400.0,
            "state": "baseline",
            "writable": True,
            "why": "",
            **limit,
        }
        gpu_clock = {"ours_mhz": None, "baseline_mhz": None, "state": "baseline", "writable": True, "why": ""}
        return {
            "version": __version__,
            "host": "c01",
            "simulated": False,
            "warden": {"connected": True, "stale_s": 0.04},
            "budget": None,
            "lease": None,
            "mesh": None,
            "halted": None,
            "alarms": [],
            "devices": [
                {
                    "device": f"gpu{index}",
                    "kind": "gpu",
                    "uuid": f"GPU-{index:04}",
                    "readings": {},
                    "power_limit": dict(power_limit),
                    "gpu_clock": dict(gpu_clock),
                }
                for index in range(2)
            ],
        }

    return make


@pytest.fixture
def package() -> Callable[..., dict[str, Any]]:
    """Makes what an agent says of a package that eagent holds low: `package(0, power_limit={"ours_w": 200.0})`."""

    def make(index: int, **knobs: dict[str, Any]) -> dict[str, Any]:
        leased = {"state": "leased", "writable": True, "why": ""}
        limit = {"requested_w": 250.0, "ours_w": None, "max_w": 250.0, **leased, "state": "baseline"}
        clock = {"held_mhz": 1800, "ours_mhz": 1800, "baseline_mhz": 3400, **leased}
        preference = {"held": "balance_power", "ours": "balance_power", "baseline": "power", **leased}
        return {
            "device": f"cpu{index}",
            "kind": "cpu",
            "uuid": f"CPU-{index}",
            "readings": {},
            "power_limit": {**limit, **knobs.get("power_limit", {})},
            "cpu_clock": {**clock, **knobs.get("cpu_clock", {})},
            "cpu_preference": {**preference, **knobs.get("cpu_preference", {})},
        }

    return make


@pytest.fixture
def cpu_tree() -> Callable[..., None]:
    """Writes a tree as the kernel's /sys: `cpu_tree(root, policies=[{"cpu": 0, "package": 0, ...}], zones=[...])`.

    A policy's other keys are its files, a zone's those of the zone `place`.
    """

    def write(root: Path, policies: Sequence[Mapping[str, Any]] = (), zones: Sequence[Mapping[str, Any]] = ()) -> None:
        def put(path: Path, text: object) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

        cpus = root / "devices/system/cpu"
        for number, policy in enumerate(policies):
            files = dict(policy)
            cpu, package = files.pop("cpu", number), files.pop("package", 0)
            put(cpus / f"cpufreq/policy{number}/affected_cpus", cpu)
            put(cpus / f"cpu{str(cpu).partition(' ')[0]}/topology/physical_package_id", package)
            for name, text in files.items():
                put(cpus / f"cpufreq/policy{number}/{name}", text)
        for zone in zones:
            files = dict(zone)
            place = root / "class/powercap" / files.pop("place")
            for name, text in files.items():
                put(place / name, text)

    return write


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """For the length of the test we are an ordinary user; this directory is ours. It lies where any user may enter."""
    directory = Path(tempfile.mkdtemp())
    was_root = os.geteuid() == 0
    if was_root:
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield directory
    if was_root:
        os.seteuid(0)
    shutil.rmtree(directory)


@pytest.fixture
def tell() -> Callable[[Any], list[tuple[str, str, str]]]:
    """Findings as (severity, subject, what); each that calls for an action must name one."""

    def check(findings: Any) -> list[tuple[str, str, str]]:
        made: list[Finding] = list(findings)
        for finding in made:
            assert finding.fix or finding.severity not in ("problem", "warning"), finding
            assert "\n" not in finding.what + finding.fix
        return [(str(finding.severity), finding.subject, finding.what) for finding in made]

    return check
