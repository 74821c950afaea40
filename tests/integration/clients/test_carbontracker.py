"""carbontracker, which samples power and asks nothing else of NVML but names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

TRAIN = """
import json, time
from carbontracker.constants import PUE_2023
from carbontracker.tracker import CarbonTracker

tracker = CarbonTracker(epochs=2, epochs_before_pred=0, components="gpu", update_interval=0.1, log_dir="log", verbose=0)
begun_s = time.monotonic()
for _ in range(2):
    tracker.epoch_start()
    time.sleep(1.5)
    tracker.epoch_end()
ended_s = time.monotonic()
tracker.stop()
print(json.dumps([begun_s, ended_s, PUE_2023]))
"""


def test_its_epochs_hold_the_power_that_was_drawn(loaded: Bench) -> None:
    begun_s, ended_s, overhead = loaded.python(TRAIN)
    log = "\n".join(path.read_text() for path in (loaded.home / "log").iterdir())
    found = re.search(r"GPU with device\(s\) (.*)\.$", log, re.MULTILINE)
    assert found is not None
    assert found[1] == ", ".join(["NVIDIA A100-SXM4-80GB"] * 4)
    # This version takes the mean over all GPUs where it means to add them up, both in its watts and in its energy.
    mean_w = sum(loaded.energy_j(gpu, begun_s, ended_s) for gpu in range(4)) / (ended_s - begun_s) / 4
    low_w, high_w = loaded.reads_w(mean_w)
    epochs = [float(text) for text in re.findall(r"Average power usage \(W\) for gpu: ([0-9.]+)", log)]
    assert len(epochs) == 2
    assert all(low_w < watts < high_w for watts in epochs)
    spent = re.search(r"Actual consumption:.*?Energy:\s+([0-9.]+) kWh", log, re.DOTALL)
    assert spent is not None
    took_s = [float(text) for text in re.findall(r"Duration: 0:00:([0-9.]+)", log)]
    mean_j = sum(watts * seconds for watts, seconds in zip(epochs, took_s, strict=True))
    assert float(spent[1]) * 3.6e6 / overhead == pytest.approx(mean_j, rel=0.02)
