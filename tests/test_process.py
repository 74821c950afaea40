import os
import subprocess
import sys
from pathlib import Path

import pytest

from eagent.errors import UnavailableError
from eagent.process import hold_lock, make_directory, make_inner_directory


def test_a_held_lock_names_its_holder_and_a_dropped_one_is_free(tmp_path: Path) -> None:
    first = hold_lock(tmp_path / "lock", "warden")
    with pytest.raises(UnavailableError, match=rf"another warden \(pid {os.getpid()}\) runs on this host already"):
        hold_lock(tmp_path / "lock", "warden")
    os.close(first)
    os.close(hold_lock(tmp_path / "lock", "warden"))


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from eagent.process import hold_lock
hold_lock(Path(sys.argv[1]), "x")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False).returncode == -9
    os.close(hold_lock(tmp_path / "lock", "warden"))


def test_a_lock_is_nobody_elses_to_take_and_no_link_is_followed(tmp_path: Path) -> None:
    os.close(hold_lock(tmp_path / "lock", "warden"))
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    (tmp_path / "victim").write_text("as it was")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(UnavailableError, match="link: Too many levels of symbolic links"):
        hold_lock(tmp_path / "link", "warden")
    assert (tmp_path / "victim").read_text() == "as it was"


def test_a_directory_within_one_of_others_is_no_link_and_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        for _ in range(2):
            make_inner_directory(tmp_path / "own", 0o751)
    finally:
        os.umask(before)
    assert (tmp_path / "own").stat().st_mode & 0o7777 == 0o751
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "trap").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="is a link"):
        make_inner_directory(tmp_path / "trap", 0o751)
    assert (tmp_path / "elsewhere").stat().st_mode & 0o7777 == 0o700


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="Not a directory"):
        make_directory(tmp_path / "file" / "run", 0o750)


@pytest.mark.parametrize(("soft", "hard", "then"), [(64, 300, 300), (300, 300, 300), (64, None, None)])
def test_a_process_is_let_open_what_it_may(soft: int, hard: int | None, then: int | None) -> None:
    code = """
import resource, sys
from eagent.process import DESCRIPTORS, allow_descriptors
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2]) or most))
allow_descriptors()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), min(DESCRIPTORS, most), most)
"""
    command = [sys.executable, "-c", code, str(soft), str(hard or 0)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert found[:2] == ([str(then), str(hard)] if hard else found[2:])
