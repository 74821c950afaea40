"""A small simulated host, and its compiled library looked at from outside."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import eagent

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory


@pytest.fixture
def host(sim_host: SimHostFactory) -> SimHost:
    """Two GPUs in virtual time: what is read twice is the same until the test moves the clock."""
    return sim_host(gpus=2, clock="virtual")


@pytest.fixture(scope="session")
def exported() -> frozenset[str]:
    """The names that the simulated library exports."""
    (library,) = Path(eagent.__file__).parent.glob("sim/_nvml.*so")
    listing = subprocess.run(["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True)
    return frozenset(line.split()[-1] for line in listing.stdout.splitlines())
