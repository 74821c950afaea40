"""`eagent sim env`: the lines for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_env_prints_only_what_a_shell_evaluates(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "1")
    lines = sim("env", "lab").out.splitlines()
    assert all(shlex.split(line)[0] == "export" for line in lines)
    assert f"export EAGENT_RUN_DIR={tmp_path}/s/lab/run" in lines
