"""`eagent sim` with hosts of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def sim(eagent: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`eagent sim` with hosts under tmp_path/s."""
    monkeypatch.setenv("EAGENT_SIM_DIR", str(tmp_path / "s"))
    return lambda *words: eagent("sim", *words)
