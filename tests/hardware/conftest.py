"""Trees that stand for /sys, of plain files: what is read from them is known exactly."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Grow = Callable[[Mapping[str, object]], Path]


@pytest.fixture
def grow(tmp_path: Path) -> Grow:
    """`grow({"devices/.../name": text, ...})` writes files under one root, and returns it."""

    def make(files: Mapping[str, object]) -> Path:
        for name, text in files.items():
            path = tmp_path / "sys" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return tmp_path / "sys"

    return make
