"""The privileged process stays small: what it imports, and the memory that its loop takes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import SimHostFactory

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


# A warden has one loop in its life, in pages that nobody had before. The first here is for what its libraries take; the
# second must not take what that has left, which the C library would write zeros over.
LOOPS = """
import ctypes, json, sys
from eagent.hardware._loop import Loop
from eagent.sim._plant import Host

M_MMAP_THRESHOLD, PERIOD_MS = -3, 50
library, ring, plant = sys.argv[1:]
host = Host(plant)

def resident_kb():
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

def life(begin_ms):
    loop = Loop(library, ring, PERIOD_MS, True)
    for turn in range(1, 5):
        host.advance((begin_ms + turn * PERIOD_MS) / 1e3)
        loop.step((begin_ms + turn * PERIOD_MS) * 1_000_000)
    return loop

life(10_000).close()
ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)
before_kb = resident_kb()
loop = life(20_000)
print(json.dumps([loop.gpus, resident_kb() - before_kb]))
loop.close()
"""


def test_a_loop_takes_memory_only_for_the_devices_that_are_there(sim_host: SimHostFactory) -> None:
    host = sim_host(gpus=8, clock="virtual")
    library, ring = host.dir / "lib" / "libnvidia-ml.so.1", host.dir / "run" / "ring"
    gpus, taken_kb = host.python(LOOPS, str(library), str(ring), str(host.plant))
    assert gpus == 8
    assert 0 < taken_kb < 1024  # room for 2048 CPUs alone is four times as much
