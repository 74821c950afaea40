"""Simulated hosts of a rack whose clock stands still unless it is told to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from eagent.demo.rack import RackHost

RackMaker = Callable[[int], dict[str, RackHost]]


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[RackMaker]:
    """Makes so many hosts, n1 to nN."""
    with ExitStack() as stack:

        def make(count: int) -> dict[str, RackHost]:
            names = [f"n{number}" for number in range(1, count + 1)]
            return {name: stack.enter_context(closing(RackHost(tmp_path, name, "virtual"))) for name in names}

        yield make
