"""A host whose file system is full: an error, and not the death by SIGBUS of whoever asks it something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]

# On a small file system of its own, which goes with the process.
PRELUDE = """
import subprocess, sys
from pathlib import Path
from eagent.errors import DriverError
from eagent.sim import model
from eagent.sim._maker import create
from eagent.sim._plant import Host
from eagent.sim.workload import Square, Serving

directory = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", directory], check=True)
filler = directory / "filler"

def make():
    numbers = model.load("a100-sxm4-80gb")
    create(directory / "plant",
           {"gpus": 1, "seed": 1, "permission": "anyone", "clock": "virtual", "model": numbers})
    return Host(directory / "plant")

def fill():
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def refused(deed):
    try:
        deed()
    except DriverError as problem:
        assert "no room on the file system that its file is on" in str(problem), problem
        return True
    return False
"""


def why_no_mount(directory: Path) -> str | None:
    """What this machine lacks, or None."""
    if shutil.which("unshare") is None:
        return "unshare is missing (Debian: apt-get install util-linux)"
    mount = [*UNSHARE, "mount", "-t", "tmpfs", "none", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=30, check=False)
    return None if done.returncode == 0 else f"no file system of one's own can be mounted: {done.stderr.strip()}"


def on_a_small_file_system(directory: Path, script: str) -> None:
    if missing := why_no_mount(directory):
        pytest.skip(missing)
    command = [*UNSHARE, sys.executable, "-c", PRELUDE + script, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"


def test_a_host_is_not_made_where_there_is_no_room_for_it(tmp_path: Path) -> None:
    on_a_small_file_system(
        tmp_path,
        """
fill()
assert refused(make)
assert not (directory / "plant").exists()
filler.unlink()
make()
""",
    )


def test_time_stands_still_while_there_is_no_room_for_what_it_logs(tmp_path: Path) -> None:
    on_a_small_file_system(
        tmp_path,
        """
host = make()
Square().start(host, [0])
host.advance(5.0)
fill()
seen_s = 5.0
while not refused(lambda: host.advance(seen_s + 1.0)):
    seen_s += 1.0
assert host.time_s == seen_s < 60
filler.unlink()
host.advance(100.0)
assert len(host.power_log()) == 1000
assert all(watts > 0 for watts, in host.power_log())
""",
    )


def test_writes_are_refused_while_there_is_no_room_for_their_log(tmp_path: Path) -> None:
    on_a_small_file_system(
        tmp_path,
        """
host = make()
fill()
done = 0
while not refused(lambda: host.set_power_limit(0, 100.0 + done % 300)):
    done += 1
assert done < 1000
filler.unlink()
assert len(host.limit_log()) == done
host.set_power_limit(0, 123.0)
""",
    )


def test_requests_are_refused_while_there_is_no_room_for_them(tmp_path: Path) -> None:
    on_a_small_file_system(
        tmp_path,
        """
host = make()
fill()
assert refused(lambda: Serving().start(host, [(0.0, 0, 100, 10)] * 1000))
assert host.served() == []
filler.unlink()
Serving().start(host, [(0.0, 0, 100, 10)] * 1000)
""",
    )
