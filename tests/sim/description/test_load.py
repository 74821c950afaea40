"""Loads of a description, against what the plant takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from eagent.errors import InputError
from eagent.sim import host
from eagent.sim._plant import Host
from eagent.sim.description.load import KEYS, WORKS, Load, Requests
from eagent.sim.model import Number
from eagent.sim.workload import Gang, Serving, Square

NUMBERS = [(kind, key, number) for kind, keys in KEYS.items() for key, number in keys.items()]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Host]:
    """A host of two GPUs that stands still."""
    with Host(host.create(tmp_path, "box", gpus=2, clock="virtual").plant) as opened:
        yield opened


def start(plant: Host, kind: str, numbers: dict[str, Any]) -> None:
    """As the plant is asked, without a look at the numbers before."""
    work = {**asdict(WORKS[kind]()), **numbers}
    if kind == "serving":
        plant.start_serving(0.0, [], gpus=[0], **work)
    else:
        getattr(plant, f"start_{kind}")([0], 0.0, **work)


@pytest.mark.parametrize(("kind", "key", "number"), NUMBERS)
def test_the_bounds_of_a_number_are_those_of_the_plant(plant: Host, kind: str, key: str, number: Number) -> None:
    for within in (number.low, number.high):
        value = int(within) if number.whole else within
        Load(WORKS[kind](**{key: value}))
        start(plant, kind, {key: value})
        plant.stop_load()
    beyond = (0, int(number.high) + 1) if number.whole else (number.low - 1e-6, number.high * 1.001)
    for value in beyond:
        with pytest.raises(InputError, match=f"^{key} = "):
            Load(WORKS[kind](**{key: value}))
        with pytest.raises(InputError, match="impossible numbers"):
            start(plant, kind, {key: value})


@pytest.mark.parametrize("kind", WORKS)
def test_every_number_of_a_kind_of_work_is_a_key(kind: str) -> None:
    assert set(KEYS[kind]) == set(asdict(WORKS[kind]()))


def test_a_load_runs_on_its_gpus_from_its_time_on(plant: Host) -> None:
    Load(Square(), (1,), at_s=3.0).ready(2).start(plant)
    (progress,) = plant.progress()
    assert (progress["kind"], progress["gpus"], progress["start_s"]) == ("square", (1,), 3.0)


def test_requests_come_to_all_gpus_of_the_load_and_to_no_other() -> None:
    ready = Load(Serving(), (0, 2), requests=Requests(for_s=60, rate_per_s=5)).ready(4)
    assert {gpu for _, gpu, _, _ in ready.requests} == {0, 2}
    assert len(ready.requests) == pytest.approx(300, rel=0.3)
    assert "generated" in ready.source


def test_a_gpu_without_a_request_serves_nonetheless(plant: Host) -> None:
    Load(Serving(), requests=Requests(for_s=1, rate_per_s=1e-6)).ready(2).start(plant)
    assert plant.progress()[0]["gpus"] == (0, 1)


def test_requests_do_not_go_with_other_work() -> None:
    with pytest.raises(InputError, match="they do not go with gang"):
        Load(Gang(), requests=Requests(seed=2))


def test_a_trace_that_is_not_there_is_told(tmp_path: Path) -> None:
    load = Load(Serving(), requests=Requests(tmp_path / "no.csv"))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load.ready(2)
