"""A job in a few lines, for all tests of the search."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.policy.search.world import SETTINGS, TOP, World


@pytest.fixture(scope="session")
def search() -> Any:
    """`search.World(beta=0.8)`, and the numbers of it."""
    return SimpleNamespace(World=World, TOP=TOP, SETTINGS=SETTINGS)
