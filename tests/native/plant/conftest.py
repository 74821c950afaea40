"""Simulated hosts in virtual time, with any number of the model changed."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from eagent.sim import _maker, _plant, model, processor

Lab = Callable[..., _plant.Host]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """`lab(gpus=1, seed=1, clock="virtual", permission="anyone", sensor={"noise_w": 0.0}, ...)` makes and opens a host.

    With cpu={"power": {"idle_w": 10.0}, ...} it has processors, of the Xeon model; `supply` must name all its keys.

    For the whole session, so that a test of Hypothesis may make as many as it likes.
    """
    directory = tmp_path_factory.mktemp("plants")
    numbers_of_files = itertools.count()
    opened: list[tuple[Path, _plant.Host]] = []

    def make(
        gpus: int = 1,
        seed: int = 1,
        clock: str = "virtual",
        permission: str = "anyone",
        path: Path | None = None,
        cpu: Mapping[str, Mapping[str, Any]] | None = None,
        supply: Mapping[str, float] | None = None,
        **changes: Mapping[str, Any],
    ) -> _plant.Host:
        numbers = {
            section: {**keys, **changes.get(section, {})} for section, keys in model.load("a100-sxm4-80gb").items()
        }
        description: dict[str, Any] = {
            "gpus": gpus,
            "seed": seed,
            "permission": permission,
            "clock": clock,
            "model": numbers,
        }
        if cpu is not None:
            found = processor.load("xeon-platinum-8358")
            description["cpu"] = {section: {**keys, **cpu.get(section, {})} for section, keys in found.items()}
        if supply is not None:
            description["supply"] = dict(supply)
        while len(opened) > 40:  # a host takes some hundred kilobytes
            _discard(*opened.pop(0))
        path = path or directory / f"plant{next(numbers_of_files)}"
        _maker.create(path, description)
        opened.append((path, _plant.Host(path)))
        return opened[-1][1]

    yield make
    for path, host in opened:
        _discard(path, host)


def _discard(path: Path, host: _plant.Host) -> None:
    host.close()
    path.unlink(missing_ok=True)
