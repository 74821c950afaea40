"""Programs that know nothing of eagent, pinned and unmodified, on simulated hosts; and the truth they are held against.

They live in an environment of their own (`make clients`) and run in processes of their own, without a network.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eagent.sim import model
from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

PROGRAMS = Path(sys.prefix) / "clients/bin"
TIMEOUT_S = 60.0  # of a client that takes a few seconds, on a machine that runs other tests
ROW_S = 0.1  # of the plant's log of true power
NOWHERE = "http://127.0.0.1:9"  # what has it for a proxy reaches nobody, at once


@dataclass(frozen=True)
class Bench:
    """One simulated host, and clients on it. True watts and joules are the model's, without a sensor's error."""

    made: SimHost
    plant: Host
    home: Path

    def run(self, *command: str) -> str:
        """What a client prints, without colours. It has ended by then, with all that it started."""
        process = subprocess.Popen(
            [str(PROGRAMS / command[0]), *command[1:]],
            env=self.environ,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == 0, err
            assert is_empty(process.pid, 5.0), f"{command[0]} has ended and left processes behind"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return re.sub(r"\x1b\[[0-9;]*m", "", out)

    def python(self, script: str, *arguments: str) -> Any:
        """Run a script with the clients' interpreter, from a file as spawned processes need it; the JSON it prints."""
        path = self.home / "script.py"
        path.write_text(script, encoding="utf-8")
        return json.loads(self.run("python", str(path), *arguments).splitlines()[-1])

    @property
    def environ(self) -> dict[str, str]:
        """Without a network; all that a client leaves, such as its lock, is in its own home."""
        return {
            **self.made.environ,
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "TERM": "dumb",
            "COLUMNS": "120",
            "http_proxy": NOWHERE,
            "https_proxy": NOWHERE,
        }

    def views(self) -> list[Any]:
        """What the driver says of each GPU now."""
        return [self.plant.view(gpu) for gpu in range(self.plant.gpu_count)]

    def energy_j(self, gpu: int, from_s: float, to_s: float) -> float:
        """True joules between two times of CLOCK_MONOTONIC, rows of the log at both ends counted by their share."""
        born_s = time.monotonic() - self.plant.time_s
        while self.plant.time_s < to_s - born_s + 2 * ROW_S:
            time.sleep(ROW_S)
        energy_j = 0.0
        for i, row in enumerate(self.plant.power_log()):
            begin_s, end_s = born_s + i * ROW_S, born_s + (i + 1) * ROW_S
            energy_j += row[gpu] * max(0.0, min(end_s, to_s) - max(begin_s, from_s))
        return energy_j

    def reads_w(self, true_w: float) -> tuple[float, float]:
        """Between which watts the sensor of any board of this model may show `true_w`."""
        sensor = SENSOR
        (low, high), (below_w, above_w) = sensor["gain"], sensor["offset_w"]
        noise_w = 5 * sensor["noise_w"]
        return true_w * low + below_w - noise_w, true_w * high + above_w + noise_w

    def counts_j(self, true_j: float, peak_w: float) -> tuple[float, float]:
        """What the difference of two readings of the energy counter may be: each is up to a refresh old."""
        low, high = SENSOR["energy_gain"]
        late_j = 1.1 * SENSOR["period_s"] * peak_w
        return true_j * low - late_j, true_j * high + late_j


SENSOR = model.load("a100-sxm4-80gb")["sensor"]


def is_empty(group: int, timeout_s: float) -> bool:
    """Whether a process group has ended or does so within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def bench(sim_host: SimHostFactory, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches: keywords as of `sim_host`."""
    if not (PROGRAMS / "gpustat").exists():
        pytest.skip(f"the clients are not installed in {PROGRAMS.parent}: make clients")
    opened: list[Host] = []

    def make(**options: Any) -> Bench:
        made = sim_host(**options)
        opened.append(Host(made.plant))
        home = tmp_path / f"home-{made.name}"
        home.mkdir()
        return Bench(made, opened[-1], home)

    yield make
    for plant in opened:
        plant.close()


@pytest.fixture
def still(bench: Callable[..., Bench]) -> Bench:
    """Four GPUs whose time stands still, so that a client must show exactly what the driver says.

    The first three have worked for half a minute for a process that lives: this one; the first with locked clocks, the
    second under a limit, the third less.
    """
    made = bench(gpus=4, clock="virtual")
    made.plant.lock_clocks(0, 210, 1200)
    made.plant.set_power_limit(1, 250)
    made.plant.start_square([0, 1], 0.0, 1.0, 1.0, 0.9, 0.5, 0.7, os.getpid())
    made.plant.start_square([2], 0.0, 1.0, 1.0, 0.4, 0.2, 0.7, os.getpid())
    made.plant.advance(30.25)
    return made


@pytest.fixture
def loaded(bench: Callable[..., Bench]) -> Bench:
    """Two GPUs in wall-clock time that work evenly, the second harder, and two that rest."""
    made = bench(gpus=4, clock="wall")
    made.plant.start_square([0], 0.0, 1.0, 1.0, 0.4, 0.2, 0.7, os.getpid())
    made.plant.start_square([1], 0.0, 1.0, 1.0, 0.7, 0.4, 0.7, os.getpid())
    return made
