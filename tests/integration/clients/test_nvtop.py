"""nvtop, which looks for libnvidia-ml.so and asks for processes by the name, and in the form, of long ago.

It is a program for a terminal only, so it gets one. Debian has it in its component contrib.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.clients.conftest import Bench

ROWS, COLUMNS = 50, 160  # two GPUs side by side, and room for the processes below them


def screen(bench: Bench, until: str, timeout_s: float) -> str:
    """What nvtop writes to its terminal, without colours and places, until that is in it; then it is told to quit."""
    program = shutil.which("nvtop")
    if program is None:
        pytest.skip("nvtop is not installed (Debian: apt-get install nvtop, with contrib enabled)")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [program, "--no-color", "--no-plot"]
    environ = {**bench.environ, "TERM": "xterm", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = ""
    deadline = time.monotonic() + timeout_s
    try:
        while until not in seen and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                with suppress(OSError):  # it has ended
                    seen += os.read(ours, 65536).decode(errors="replace")
        os.write(ours, b"q")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|\([0B])", " ", seen)


def test_it_shows_each_gpu_and_the_process_on_it(still: Bench) -> None:
    text = screen(still, "Save Config", 10)
    views = still.views()
    assert re.findall(r"Device (\d) +\[([^]]+)\]", text) == [(str(gpu), view["name"]) for gpu, view in enumerate(views)]
    for pattern, wanted in (
        (r"POW +(\d+) / ", [view["power_plain_mw"] // 1000 for view in views]),
        (r"POW +\d+ / +(\d+) +W", [view["limit_enforced_mw"] // 1000 for view in views]),
        (r"GPU +(\d+)MHz", [view["sm_clock_mhz"] for view in views]),
        (r"MEM +(\d+)MHz", [view["memory_clock_mhz"] for view in views]),
        (r"TEMP +(\d+)", [view["temperature_c"] for view in views]),
        (r"GPU\[[| ]*(\d+)%", [view["gpu_utilisation_pct"] for view in views]),
    ):
        assert [int(number) for number in re.findall(pattern, text)] == wanted, pattern
    rows = re.findall(rf"\b{os.getpid()} +\S+ +(\d) +Compute", text)
    assert sorted(rows) == ["0", "1", "2"]
