"""A lock that is never let go: an error in the end, after a time that no work takes, and not a wait for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.errors import DriverError
from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab

LOCK_AT = 64  # in the file
WORK = """
import sys
from eagent.sim._plant import Host
from eagent.sim.workload import Serving
host = Host(sys.argv[1])
Serving().start(host, [(0.02 * n, n % 6, 300, 50) for n in range(200_000)])
print("going", flush=True)
host.advance(1e6)
"""

pytestmark = pytest.mark.soak  # it takes the half minute after which waiting ends


def write_lock(path: Path, word: int) -> None:
    with path.open("r+b") as file:
        file.seek(LOCK_AT)
        file.write(word.to_bytes(4, "little"))


def assert_gives_up(host: Host) -> None:
    begin_s = time.monotonic()
    with pytest.raises(DriverError, match="its lock is held by a process that stands still"):
        host.view(0)
    assert 29 < time.monotonic() - begin_s < 60


def test_a_lock_that_nobody_holds_and_nobody_frees_is_given_up(lab: Lab, tmp_path: Path) -> None:
    host = lab(path=tmp_path / "plant")
    write_lock(tmp_path / "plant", 0x3FFFFFF0)  # a thread that there can't be
    assert_gives_up(host)
    write_lock(tmp_path / "plant", 0)
    host.view(0)


def test_who_stands_still_with_the_lock_stops_others_only_with_an_error(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    host = lab(gpus=6, path=path)
    command = [sys.executable, "-c", WORK, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as working:
        assert working.stdout is not None
        assert working.stdout.readline() == "going\n"
        while True:
            os.kill(working.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, working.pid, os.WSTOPPED)
            if int.from_bytes(path.read_bytes()[LOCK_AT : LOCK_AT + 4], "little") & 0x3FFFFFFF == working.pid:
                break
            os.kill(working.pid, signal.SIGCONT)
        assert_gives_up(host)
        working.kill()
    host.view(0)
