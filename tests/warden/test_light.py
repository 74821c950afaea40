"""The privileged process stays small: what it imports, and the memory that its loop takes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEAVY = (
    *("argparse", "asyncio", "ctypes", "eagent.client", "gettext", "h11", "hashlib", "heapq", "multiprocessing"),
    *("prometheus_client", "psutil", "pynvml", "queue", "rich", "ssl", "subprocess", "tempfile", "urllib.request"),
    *("tomllib", "zmq"),
)
OF_INSPECT = ("ast", "dis")  # from 3.12 on `dataclasses` uses it for every class
PROGRAM = """
import sys
from eagent.cli.dispatch import bare
assert bare(["warden", "--config=x"])
import eagent.cli.warden, eagent.warden.main
print(*[name for name in sys.argv[1:] if name in sys.modules])
"""


def test_the_warden_imports_nothing_that_it_does_without() -> None:
    names = HEAVY + OF_INSPECT if sys.version_info < (3, 12) else HEAVY
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


M_MMAP_THRESHOLD = -3


def test_a_loop_takes_memory_only_for_the_devices_that_are_there(rig: Callable[..., Any]) -> None:
    # A warden has one loop in its life, in pages that nobody had before; in a process that has had others the C library
    # would take what those have left, and write zeros over it.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)
    host = rig(gpus=8)
    host.die()
    del host.warden  # the last to hold the loop
    before_kb = resident_kb()
    host.start()
    assert resident_kb() - before_kb < 1024  # room for 2048 CPUs alone is four times as much


def resident_kb() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
