"""NVML asked in a process of its own: on a simulated host, and of a library that misbehaves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from eagent.doctor.driver import Driver, ask

STUB = Path(__file__).with_name("stub_nvml.c")


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A library that does what it is told when it is started; its path."""
    library = tmp_path / "libstub.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, STUB], check=True)

    def make(how: str) -> str:
        monkeypatch.setenv("STUB_NVML", how)
        return str(library)

    return make


def test_a_library_that_is_not_there_is_the_loaders_word(tmp_path: Path) -> None:
    seen = ask(str(tmp_path / "no.so"), (), kernel_driver=True)
    assert "cannot open shared object file" in seen.not_opened
    assert (seen.code, seen.gpus, seen.silent) == (None, (), "")


def test_a_real_library_without_a_kernel_driver_is_opened_and_never_started(
    stub: Callable[[str], str], tmp_path: Path
) -> None:
    node = tmp_path / "nvidiactl"
    seen = ask(stub(str(node)), ("nvmlErrorString", "nvmlShutdown"), kernel_driver=False)
    assert seen == Driver(seen.library, path=seen.library, missing=frozenset({"nvmlShutdown"}))
    assert not node.exists()
    assert ask(stub(str(node)), (), kernel_driver=True).code == 9
    assert node.exists()


def test_a_driver_that_hangs_is_given_up_in_time(stub: Callable[[str], str]) -> None:
    begun = time.monotonic()
    assert ask(stub("hang"), (), kernel_driver=True, timeout_s=2).silent == "it did not answer within 2 s"
    assert time.monotonic() - begun < 10


def test_a_library_that_crashes_takes_nobody_with_it(stub: Callable[[str], str]) -> None:
    assert ask(stub("crash"), (), kernel_driver=True).silent == "it crashed who asked it (signal 6)"


def test_a_simulated_host_is_described_without_a_kernel_driver(
    sim_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = sim_host(gpus=2, clock="virtual")
    for name in ("LD_LIBRARY_PATH", "EAGENT_SIM_HOST"):
        monkeypatch.setenv(name, host.environ[name])
    seen = ask("libnvidia-ml.so.1", ("nvmlInit_v2", "nvmlNoSuchThing"), kernel_driver=False)
    assert (seen.simulated, seen.code, seen.missing) == (True, 0, {"nvmlNoSuchThing"})
    assert seen.path == str(host.dir / "lib" / "libnvidia-ml.so.1")
    first = asdict(seen.gpus[0])
    assert first.pop("uuid").startswith("GPU-")
    assert first.pop("pci_bus_id")
    assert first == {
        "index": 0,
        "name": "NVIDIA A100-SXM4-80GB",
        "min_limit_w": 100.0,
        "max_limit_w": 400.0,
        "default_limit_w": 400.0,
        "requested_w": 400.0,
        "enforced_w": 400.0,
        "sm_clock_mhz": 210,
        "persistence": True,
        "mig": False,
        "virtualization": None,
        "lost": False,
    }
    assert seen.changes == ()
