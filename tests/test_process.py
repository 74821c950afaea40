import os
import subprocess
import sys
from pathlib import Path

import pytest

from eagent.errors import UnavailableError
from eagent.process import hold_lock, make_directory


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


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="Not a directory"):
        make_directory(tmp_path / "file" / "run", 0o750)
