import os
from pathlib import Path

from eagent.doctor.host import Host
from eagent.doctor.locks import holder
from eagent.process import hold_lock


def test_a_lock_that_is_held_is_seen_in_the_kernels_own_table_and_not_taken(tmp_path: Path) -> None:
    lock = tmp_path / "warden.lock"
    assert holder(lock, Path("/proc")) is None
    descriptor = hold_lock(lock, "warden")
    assert holder(lock, Path("/proc")) == os.getpid()
    os.close(descriptor)
    assert holder(lock, Path("/proc")) is None
    os.close(hold_lock(lock, "warden"))


def test_a_file_system_with_device_numbers_of_its_own_is_understood_by_the_pid_in_the_file(
    host: Host, tmp_path: Path
) -> None:
    lock = tmp_path / "warden.lock"
    lock.write_text("4711\n")
    (host.roots.proc / "locks").write_text(f"1: FLOCK  ADVISORY  WRITE 4711 ff:ff:{lock.stat().st_ino} 0 EOF\n")
    assert holder(lock, host.roots.proc) == 4711
    lock.write_text("12\n")
    assert holder(lock, host.roots.proc) is None
