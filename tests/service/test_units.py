"""The units as they are shipped, by systemd's own judgement."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from eagent.service.files import UNITS, shipped

MOST = {"eagent-warden.service": 4.5, "eagent-agent.service": 2.0}

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def _analyze(*words: str) -> str:
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_systemd_finds_nothing_to_say_of_the_units() -> None:
    paths = [str(shipped() / "systemd" / unit) for unit in UNITS]
    assert _analyze("verify", "--man=no", *paths) == ""  # it ends well with keys that it does not know


def test_systemd_would_say_it_of_a_key_that_it_does_not_know(tmp_path: Path) -> None:
    text = (shipped() / "systemd" / UNITS[0]).read_text()
    (tmp_path / UNITS[0]).write_text(text.replace("NoNewPrivileges", "NoNewPrivilege"))
    assert "NoNewPrivilege" in _analyze("verify", "--man=no", str(tmp_path / UNITS[0]))


@pytest.mark.parametrize("unit", MOST)
def test_what_a_unit_exposes_is_little(unit: str) -> None:
    told = _analyze("security", "--offline=yes", "--no-pager", str(shipped() / "systemd" / unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found, told
    assert float(found[1]) <= MOST[unit]
