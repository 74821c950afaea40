"""Simulated hosts for every room of the tests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings

from eagent.errors import InputError

settings.register_profile("slow", deadline=None)  # under sanitizers, which `make asan` asks for

SimHostFactory = Callable[..., "SimHost"]  # keywords as of eagent.sim.host.create: gpus, seed, permission, clock, ...

# What SimHost.nvml puts before a script: `tell(x)` is its answer, `code(f, *a)` the number of the error that f raises.
PRELUDE = """
import ctypes, json, os, subprocess, sys, threading, pynvml
from pynvml import *
def tell(answer):
    print(json.dumps(answer))
def code(function, *arguments):
    try:
        function(*arguments)
    except NVMLError as error:
        return error.value
    return 0
pynvml._LoadNvmlLibrary()
lib = pynvml.nvmlLib
"""
INITIALISED = (
    PRELUDE
    + """
nvmlInit()
gpu = nvmlDeviceGetHandleByIndex(0)
"""
)


@pytest.fixture(autouse=True)
def _the_process_is_left_as_it_was() -> Iterator[None]:
    """What belongs to the whole process changes the tests after this one, in whatever order they come."""
    before = psutil.PROCFS_PATH, os.environ.get("EAGENT_SIM_HOST")
    yield
    after = psutil.PROCFS_PATH, os.environ.get("EAGENT_SIM_HOST")
    psutil.PROCFS_PATH = before[0]
    assert after == before


@dataclass(frozen=True)
class SimHost:
    """One simulated host for the length of a test. `environ` is what a process needs in order to run on it."""

    name: str
    dir: Path
    environ: dict[str, str]

    @property
    def plant(self) -> Path:
        """The file for eagent.sim._plant.Host."""
        return self.dir / "plant"

    @property
    def kernel(self) -> Path:
        """Where the two below are mounted."""
        return self.dir / "kernel"

    @property
    def sysfs(self) -> Path:
        """What stands for /sys there."""
        return self.kernel / "sys"

    @property
    def procfs(self) -> Path:
        """What stands for /proc there."""
        return self.kernel / "proc"

    def python(
        self, script: str, *arguments: str, environ: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> Any:
        """Run a script in a process on this host; what it returns is the JSON that the script prints.

        A process of its own, because a process that has loaded one libnvidia-ml.so.1 never loads another.
        """
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(
            command, env=environ or self.environ, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout)

    def nvml(
        self, script: str, *arguments: str, initialise: bool = True, environ: Mapping[str, str] | None = None
    ) -> Any:
        """The same for a script that asks nvidia-ml-py; its names and `lib`, `tell`, `code`, `gpu` are there."""
        return self.python((INITIALISED if initialise else PRELUDE) + script, *arguments, environ=environ)


def why_no_fuse() -> str | None:
    """What this machine lacks to serve a simulated host's /sys and /proc, or None."""
    try:
        import mfusepy  # noqa: F401
    except ImportError:
        return "mfusepy is not installed"
    except OSError:
        return "libfuse is missing (Debian: apt-get install fuse3)"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing or may not be opened"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is missing (Debian: apt-get install fuse3)"
    return None


def environ_without_eagent() -> dict[str, str]:
    """This process's environment without traces of an agent or a simulated host that a developer may have around it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EAGENT_")}


@pytest.fixture
def sim_host(tmp_path: Path) -> Iterator[SimHostFactory]:
    """Makes simulated hosts: `sim_host(gpus=8, clock="virtual", ...)`, keywords as of eagent.sim.host.create.

    They are gone after the test; a host on which a warden or an agent still runs by then is an error, as it is to
    eagent.sim.host.delete.
    """
    from eagent.sim import host  # here: the tests of other rooms run without the native build

    directory = tmp_path / "sim"  # short: a socket's path must fit into 107 bytes
    made: list[SimHost] = []

    def make(**options: Any) -> SimHost:
        created = host.create(directory, f"host{len(made)}", **options)
        environ = {**created.environment(environ_without_eagent()), "EAGENT_SIM_DIR": str(directory)}
        made.append(SimHost(created.name, created.path, environ))
        return made[-1]

    yield make
    for one in made:
        with suppress(InputError):  # the test has deleted it
            host.delete(directory, one.name)


@pytest.fixture
def fuse() -> None:
    """Skips a test where a simulated host's /sys and /proc can't be served."""
    if missing := why_no_fuse():
        pytest.skip(missing)


@pytest.fixture
def served_host(sim_host: SimHostFactory, fuse: None) -> SimHostFactory:  # noqa: ARG001  # only skips
    """As `sim_host`, with its /sys and /proc served by a process of its own."""
    from eagent.sim import host, sysfs

    def make(**options: Any) -> SimHost:
        made = sim_host(**options)
        sysfs.start(host.SimulatedHost(made.dir))
        return made

    return make
