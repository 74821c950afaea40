"""A full and a read-only disk under the journal: real processes, a real file system, and the driver's own log.

The state directory is a small file system of its own, in a mount namespace that a process of the test holds open, so
that it outlives all of eagent, as a disk does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.sim._bmc import Bmc

SAFE_W = 150.0
BOOT_S = 0.5
NOTICED_S = 12.0  # the agent asks the warden at the latest every ten seconds

Site = Callable[..., Any]


def why_no_mount() -> str | None:
    """What this machine lacks, or None."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "needs root, unshare and nsenter"
    done = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], check=False)
    return None if done.returncode == 0 else "no file system of one's own can be mounted"


class Disk:
    """The file system of a site's directory: its state, or what it has in /run."""

    def __init__(self, host: Any, name: str, size: str) -> None:
        self._place = host.made.dir / name
        self._place.mkdir(exist_ok=True)
        script = 'mount -t tmpfs -o size="$1" none "$0" && echo mounted && exec sleep infinity'
        command = ["unshare", "--mount", "sh", "-c", script, str(self._place), size]
        self._keeper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "mounted\n"
        host.prefix = ("nsenter", f"--target={self._keeper.pid}", "--mount", "--")

    @property
    def place(self) -> Path:
        """The directory as eagent sees it."""
        return Path(f"/proc/{self._keeper.pid}/root{self._place}")

    def entries(self) -> list[str]:
        return sorted(path.name for path in (self.place / "journal").iterdir())

    def fill(self) -> None:
        with (self.place / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def clear(self) -> None:
        (self.place / "filler").unlink()

    def mount_again(self, how: str) -> None:
        """Make it "ro", as the kernel does after an error of the disk, or "rw"."""
        command = ["nsenter", f"--target={self._keeper.pid}", "--mount", "mount", "-o", f"remount,{how}"]
        subprocess.run([*command, str(self._place)], check=True)

    def close(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
        assert self._keeper.stdout is not None
        self._keeper.stdout.close()


@pytest.fixture
def on_disk(site: Site) -> Iterator[Callable[..., tuple[Any, Disk]]]:
    """Makes sites whose state is on a disk of its own; or, with run=True, what they have in /run."""
    if missing := why_no_mount():
        pytest.skip(missing)
    disks: list[tuple[Any, Disk]] = []

    def make(*, run: bool = False, **options: Any) -> tuple[Any, Disk]:
        host = site(**options)
        disks.append((host, Disk(host, "run", "2m") if run else Disk(host, "state", "64k")))
        return disks[-1]

    yield make
    for host, disk in disks:
        host.clean_up()
        host.clean_up = lambda: None  # not twice: its disk is gone
        disk.close()


def changes(host: Any) -> list[tuple[int, float]]:
    """What was set to another value than it had, in order."""
    return [(gpu, new_w) for _, gpu, old_w, new_w, _ in host.plant.limit_log() if new_w != old_w]


def test_on_a_full_disk_nothing_new_is_set_and_what_is_held_goes_back(
    on_disk: Callable[..., Any], ttl_s: float
) -> None:
    host, disk = on_disk()
    host.up()
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400, 400, 400], 5)
    disk.fill()
    host.must("pin", "set", "gpu1", "250W")
    assert host.await_true(lambda: "the journal can't be written (No space left" in host.must("status"), 10)
    assert host.limits_w()[1] == 400  # no prior value on the disk, no write
    killed_s = host.kill("agent")
    assert host.await_true(lambda: host.limits_w() == [400] * 4, ttl_s + 3)
    assert host.plant.time_s - killed_s <= ttl_s + 3
    assert host.await_true(lambda: disk.entries() == [], 3)  # a full disk lets go
    assert changes(host) == [(0, 250.0), (0, 400.0)]

    disk.clear()
    assert host.await_true(lambda: host.eagent("pin", "set", "gpu1", "250W").returncode == 0, 15)
    assert host.await_true(lambda: host.limits_w() == [400, 250, 400, 400], 10)


def test_from_a_read_only_disk_everything_goes_back_and_what_can_t_be_crossed_out_is_told(
    on_disk: Callable[..., Any],
) -> None:
    host, disk = on_disk()
    host.plant.set_power_limit(1, 380.0)
    host.up()
    for gpu in (0, 1):
        host.must("pin", "set", f"gpu{gpu}", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 250, 400, 400], 5)
    host.kill("agent", "warden", "parent")
    disk.mount_again("ro")
    done = host.eagent("restore")
    assert done.returncode == 1
    assert "gpu1: power limit 250 W -> 380 W, its prior value" in done.stdout
    assert done.stderr.count("is done with, and can't be removed: Read-only file system") == 2
    assert host.limits_w() == [400, 380, 400, 400]  # the values are back whatever the disk does
    disk.mount_again("rw")
    assert "gpu1: power limit 380 W: it was at its prior value" in host.must("restore")
    assert disk.entries() == []


def test_a_warden_that_dies_beside_a_read_only_disk_is_followed_by_one_that_puts_back_and_sets_nothing(
    on_disk: Callable[..., Any],
) -> None:
    host, disk = on_disk()
    host.up()
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400, 400, 400], 5)
    disk.mount_again("ro")
    host.kill("agent", "warden")
    assert host.await_true(lambda: host.log.read_text().count("eagent.warden: ready") == 2, 15)
    assert host.limits_w() == [400] * 4
    assert host.await_true(lambda: "can't be removed: Read-only file system" in host.eagent("status").stdout, 15)
    assert "observing only: the journal can't be written" in host.log.read_text()
    assert changes(host) == [(0, 250.0), (0, 400.0)]
    disk.mount_again("rw")
    assert host.await_true(lambda: disk.entries() == [], 3)
    assert host.await_true(lambda: "can't be removed" not in host.must("status"), NOTICED_S)


def test_a_start_on_a_disk_that_takes_nothing_leaves_the_knobs_alone_only_until_it_takes_something(
    on_disk: Callable[..., Any],
) -> None:
    host, disk = on_disk()
    (disk.place / "journal").mkdir(mode=0o750)
    disk.mount_again("ro")
    host.up()
    assert "observing only: the journal can't be written: Read-only file system" in host.log.read_text()
    told = host.must("status")
    assert "the journal can't be written (Read-only file system)" in told
    refused = host.eagent("pin", "set", "gpu0", "250W")
    assert refused.returncode == 1
    assert "its power limit can't be set here: the journal can't be written" in refused.stderr
    assert host.plant.limit_log() == []

    disk.mount_again("rw")
    assert host.await_true(lambda: host.eagent("pin", "set", "gpu0", "250W").returncode == 0, NOTICED_S)
    assert host.await_true(lambda: host.limits_w() == [250, 400, 400, 400], 5)
    assert "the journal can't be written" not in host.must("status")
    host.must("budget", "set", "2000")
    assert host.await_true(lambda: sum(host.limits_w()) <= 1000, 5)
    assert host.stop() == 0


def test_after_a_power_loss_a_full_disk_keeps_no_budget_from_being_kept(on_disk: Callable[..., Any]) -> None:
    host, disk = on_disk(boot_s=BOOT_S)
    host.up()
    host.must("budget", "set", "2000")
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    with Bmc(host.made.plant) as bmc:
        bmc.switch_off()  # nobody is told; that init's processes die with it is test_power_cycle's
        host.kill("agent", "warden", "parent")
        disk.fill()
        bmc.switch_on()
        assert host.await_true(lambda: host.plant.boot_id is not None, BOOT_S + 2)
    for file in (disk.place / "journal").iterdir():
        file.unlink()  # so that each would have to be written anew, and none fits
    disk.fill()
    assert host.await_true(lambda: host.limits_w() == [400] * 4, 2)
    host.up()
    assert host.await_true(lambda: host.limits_w() == [SAFE_W] * 4, 5), host.must("status")
    assert host.await_true(lambda: "the value is in memory alone" in host.must("status"), NOTICED_S)
    disk.clear()
    assert host.await_true(lambda: sum("power_limit" in name for name in disk.entries()) == 4, 3), disk.entries()
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)  # now it may be shared again
    host.must("budget", "clear")
    assert host.await_true(lambda: host.limits_w() == [400] * 4, 5)


def test_a_full_run_directory_keeps_a_new_warden_from_being_read_and_not_from_putting_back(
    on_disk: Callable[..., Any],
) -> None:
    host, disk = on_disk(run=True)
    host.up()
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400, 400, 400], 5)
    host.kill("warden")  # the agent holds the old ring, so that not even its room is free
    disk.fill()
    assert host.await_true(lambda: len(changes(host)) >= 2, 10)
    assert "ring: No space left on device: the sample ring can't be made here; nobody can read" in host.log.read_text()
    assert changes(host)[:2] == [(0, 250.0), (0, 400.0)]  # back first; then a pin holds again, which needs no reading


def test_a_full_run_directory_keeps_restore_from_nothing(on_disk: Callable[..., Any]) -> None:
    host, disk = on_disk(run=True)
    host.up()
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400, 400, 400], 5)
    host.kill("agent", "warden", "parent")
    for file in disk.place.iterdir():
        if file.is_file():
            file.unlink()
    disk.fill()
    assert "gpu0: power limit 250 W -> 400 W, its prior value" in host.must("restore")
    assert host.limits_w() == [400] * 4
