"""Frames of `eagent sim watch`, and how it begins and ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.cli.sim.watch import frame

Run = Callable[..., Any]


def gpu(number: int, **other: Any) -> dict[str, Any]:
    return {
        "gpu": number,
        "load": None,
        "power_true_w": 299.96,
        "temperature_true_c": 61.24,
        "reading_age_s": 0.084,
        "power_reading_w": 305.3,
        "temperature_c": 61,
        "clock_mhz": 1260,
        "locked_mhz": None,
        "limit_requested_w": 300.0,
        "limit_enforced_w": 300.0,
        "busy": 1.0,
        "reasons": ["power cap"],
        **other,
    }


def load(kind: str, *gpus: int, **other: Any) -> dict[str, Any]:
    done = {
        "steps": 0,
        "starved_s": 0.0,
        "tokens": 0,
        "requests_done": 0,
        "requests_lost": 0,
        "units": [0.0] * len(gpus),
    }
    return {"kind": kind, "gpus": list(gpus), "running": True, "start_s": 0.0, **done, **other}


@pytest.fixture
def seen() -> dict[str, Any]:
    return {
        "simulated": True,
        "host": "lab",
        "clock": "wall",
        "time_s": 100.0,
        "power": "on",
        "since_s": 40.0,
        "wall_w": 2345.6,
        "gpus": [gpu(0, load=1), gpu(1, load=2), gpu(2, load=2, limit_enforced_w=250.0), gpu(3, load=3)],
        "packages": [{"package": 0, "power_w": 180.0}],
        "loads": [
            load("square", 0, running=False),
            load("square", 0, units=[12.0]),
            load("gang", 1, 2, start_s=90.0, steps=20, starved_s=0.5),
            load("serving", 3, start_s=105.0),
        ],
        "faults": [],
        "writes": [],
        "full_logs": [],
    }


def test_a_frame_shows_the_truth_beside_the_readings(seen: dict[str, Any]) -> None:
    seen["gpus"][3].update(locked_mhz=[210, 900], reasons=[])
    assert frame(seen) == [
        "lab  SIMULATED: no hardware is behind these numbers; every watt below is simulated.",
        "host     up for 1m, 2345.6 W at the wall; 1m40s of simulated time, wall clock",
        "cpus     cpu0 180 W, each with its memory",
        "load     square on 0 for 1m40s",
        "load     gang on 1-2 for 10s: 20 steps, stood still for its processors 500ms",
        "load     serving on 3: begins in 5s",
        "",
        "GPU       TRUE   READING   AGE                  LIMIT     CLOCK  BUSY     TEMP  LOAD              HELD BY",
        "gpu0   300.0 W   305.3 W  84ms                  300 W  1260 MHz  100%  61.2 °C  square, 12s done  power cap",
        "gpu1   300.0 W   305.3 W  84ms                  300 W  1260 MHz  100%  61.2 °C  gang              power cap",
        "gpu2   300.0 W   305.3 W  84ms  300 W, enforced 250 W  1260 MHz  100%  61.2 °C  gang              power cap",
        "gpu3   300.0 W   305.3 W  84ms                  300 W  1260 MHz  100%  61.2 °C  serving, in 5s    "
        "lock to 210-900 MHz",
        "all   1199.8 W  1221.2 W                       1150 W",
        "",
        "no write in the last 10s",
    ]


def test_what_nobody_can_know_is_a_dash_and_so_is_a_sum_of_it(seen: dict[str, Any]) -> None:
    gone = ("reading_age_s", "power_reading_w", "clock_mhz", "limit_requested_w", "limit_enforced_w", "busy", "reasons")
    seen.update(power="off", loads=[], gpus=[gpu(0), gpu(1, **dict.fromkeys(gone), power_true_w=0.0)])
    lines = frame(seen)
    assert lines[1].startswith("host     off for 1m, ")
    assert lines[-4].split() == ["gpu1", "0.0", "W", *"—————", "61.2", "°C"]
    assert lines[-3].split() == ["all", "300.0", "W", "—", "—"]


def test_writes_say_what_when_and_who(seen: dict[str, Any]) -> None:
    def write(
        time_s: float, device: str, what: str, old: int, new: Any, pid: int = 7, command: str | None = "x"
    ) -> Any:
        return {
            "time_s": time_s,
            "device": device,
            "what": what,
            "old": old,
            "new": new,
            "pid": pid,
            "command": command,
        }

    seen["writes"] = [
        *(write(90.5, "gpu3", "persistence", 0, 1) for _ in range(2)),
        write(91.0, "gpu0", "limit", 400_000, 250_500),
        write(92.0, "gpu1", "lock", 0, [210, 900]),
        write(92.5, "gpu1", "memory_lock", 0, [1593, 1593]),
        write(92.7, "gpu1", "mig", 0, 1 | 3 << 8),
        write(93.0, "gpu1", "lock", 0, [0, 0], command=None),
        write(94.0, "package1", "limit_uw", 250_000_000, 200_000_000),
        write(95.0, "cpu3", "max_khz", 3_400_000, 2_000_000),
        write(96.0, "host", "power", 2, 0, pid=0, command=None),
        write(97.0, "gpu0", "limit", 250_500, 400_000, pid=0, command=None),
        write(99.96, "gpu0", "limit", 250_500, 400_000),
    ]
    seen["full_logs"] = ["power"]
    lines = frame(seen)
    assert "FULL     the log of power: what came later is not in it" in lines
    assert lines[-9:] == [
        "writes of the last 10s, 4 more before",
        "    7.5s ago  gpu1: memory clocks locked to 1593-1593 MHz, by pid 7 (x)",
        "    7.3s ago  gpu1: MIG off to 3 instances, by pid 7 (x)",
        "      7s ago  gpu1: clock lock taken off, by pid 7, which has ended",
        "      6s ago  package1: limit_uw 250000000 to 200000000 µW, by pid 7 (x)",
        "      5s ago  cpu3: max_khz 3400000 to 2000000 kHz, by pid 7 (x)",
        "      4s ago  host: power on to off, by nobody: the host was switched",
        "      3s ago  gpu0: power limit 250.5 W to 400 W, by nobody: a reset, or the host was switched",
        "    40ms ago  gpu0: power limit 250.5 W to 400 W, by pid 7 (x)",
    ]


def test_faults_are_shown_with_what_is_left_of_them(seen: dict[str, Any]) -> None:
    def fault(kind: str, target: str, **other: Any) -> dict[str, Any]:
        return {"kind": kind, "target": target, "index": 3, "from_s": 90.0, "until_s": None, "every_s": None, **other}

    seen["faults"] = [
        fault("gpu-lost", "gpu"),
        fault("slow-calls", "host", until_s=101.5),
        fault("foreign-limit", "gpu", from_s=130.0, every_s=10.0, until_s=160.0),
    ]
    assert [line for line in frame(seen) if line.startswith("FAULT")] == [
        "FAULT    gpu-lost of gpu 3",
        "FAULT    slow-calls of the host, ends in 1.5s",
        "FAULT    foreign-limit of gpu 3, in 30s, every 10s, ends in 1m",
    ]


def test_one_frame_of_a_host_is_printed(sim: Run) -> None:
    sim("create", "lab", "--gpus", "2")
    sim("load", "lab", "gang")
    out = sim("watch", "lab", "--once").out
    assert "SIMULATED" in out
    assert "gang on 0-1" in out
    sim("power", "lab", "off")
    assert "power on to off, by pid" in sim("watch", "lab", "--once").out


def test_documents_come_a_line_each_until_the_time_is_over(sim: Run) -> None:
    sim("create", "lab", "--gpus", "2")
    assert json.loads(sim("watch", "lab", "--once", "--json").out)["host"] == "lab"
    began = time.monotonic()
    lines = sim("watch", "lab", "--json", "--for", "0.2s").out.splitlines()
    assert time.monotonic() - began >= 0.2
    assert [json.loads(line)["simulated"] for line in lines] == [True]


def test_frames_need_a_terminal(sim: Run) -> None:
    sim("create", "lab", "--gpus", "1")
    said = sim("watch", "lab")
    assert (said.code, "--once prints one frame" in said.err) == (1, True)
    assert sim("watch", "nowhere", "--once").code == 1


def test_a_terminal_is_given_back_when_the_time_is_over(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "1")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "eagent", "sim", "watch", "lab", "--for", "0.3s"]
    environ = {**os.environ, "EAGENT_SIM_DIR": str(tmp_path / "s")}
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # Linux says so when nobody holds the other end
            pass
        assert process.wait(20) == 0
    os.close(ours)
    assert b"SIMULATED" in shown
    assert shown.rstrip().endswith(b"\x1b[?1049l")
