import os
import subprocess
import sys
from pathlib import Path

import pytest

LOG = """
import logging, os, sys
from eagent.cli.logs import log_to_stderr
if sys.argv[1] == "journal":
    about = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{about.st_dev}:{about.st_ino}"
log_to_stderr()
log = logging.getLogger("eagent.warden")
log.info("ready")
try:
    raise ValueError("two\\nlines")
except ValueError:
    log.exception("failed")
"""


@pytest.mark.parametrize("where", ["journal", "elsewhere"])
def test_the_journal_gets_priorities_and_everybody_else_times(tmp_path: Path, where: str) -> None:
    environ = {**os.environ, "JOURNAL_STREAM": "8:12345"}  # of the service that started us
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", LOG, where], env=environ, stderr=log, check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    if where == "journal":
        assert lines[:2] == ["<6>eagent.warden: ready", "<3>eagent.warden: failed"]
        assert all(line.startswith("<3>") for line in lines[1:])
        assert lines[-2:] == ["<3>ValueError: two", "<3>lines"]
    else:
        assert lines[0].endswith("INFO eagent.warden: ready")
        assert lines[0][:4].isdecimal()
