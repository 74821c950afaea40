"""A host from a file, as an operator makes it and as a client of the driver finds it: real processes throughout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import INITIALISED, environ_without_eagent

LAB = """
[host]
name = "lab"
permission = "nobody"
[gpu]
count = 3
[gpu.override.identity]
name = "NVIDIA Test-Only"
[[set]]
gpus = "1"
power_limit_w = 250
[[load]]
kind = "square"
duty = 1.0
gpus = "2"
"""

LOOK = """
gpus = [nvmlDeviceGetHandleByIndex(i) for i in range(nvmlDeviceGetCount())]
tell({
    "names": [nvmlDeviceGetName(gpu) for gpu in gpus],
    "limits": [nvmlDeviceGetPowerManagementLimit(gpu) for gpu in gpus],
    "clocks": [nvmlDeviceGetClockInfo(gpu, NVML_CLOCK_SM) for gpu in gpus],
    "refused": code(nvmlDeviceSetPowerManagementLimit, gpus[0], 200000) == NVML_ERROR_NO_PERMISSION,
})
"""

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A POSIX shell in tmp_path, in which `eagent` is eagent and hosts live in tmp_path/s."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "eagent").write_text(f'#!/bin/sh\nexec {sys.executable} -m eagent "$@"\n')
    (bin_ / "eagent").chmod(0o755)
    path = f"{bin_}:{os.environ['PATH']}"
    environ = {**environ_without_eagent(), "PATH": path, "EAGENT_SIM_DIR": str(tmp_path / "s")}

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-eu", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
        )

    return run


def test_clients_find_the_host_that_a_file_describes_and_so_they_find_its_twin(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(LAB)
    (tmp_path / "look.py").write_text(INITIALISED + LOOK)
    made = shell("eagent sim create --from lab.toml && eagent sim describe lab | eagent sim create twin --from -")
    assert (made.returncode, made.stderr) == (0, "")
    for name in ("lab", "twin"):
        looked = shell(f'eval "$(eagent sim env {name})"; {sys.executable} look.py')
        assert (looked.returncode, looked.stderr) == (0, "")
        seen = json.loads(looked.stdout)
        assert seen["names"] == ["NVIDIA Test-Only"] * 3
        assert seen["limits"] == [400_000, 250_000, 400_000]
        assert seen["clocks"][0] == 210 < seen["clocks"][2]  # the third works
        assert seen["refused"]
    assert shell("eagent sim delete lab && eagent sim delete twin").returncode == 0


def test_a_mistake_in_the_file_makes_no_host(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(LAB + '[[load]]\nkind = "serving"\ngpus = "0"\ntrace = "missing.csv"\n')
    said = shell("eagent sim create --from lab.toml")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith(f"eagent: [[load]] 2: trace {tmp_path}/missing.csv: cannot be read")
    assert said.stderr.count("\n") == 1
    assert list((tmp_path).glob("s/*")) == []
