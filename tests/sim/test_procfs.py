"""The texts of a simulated /proc."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.sim import _maker, _plant, model, processor, procfs
from eagent.sim.workload import Square

COUNTER = itertools.count()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proc")


def made(directory: Path, clock: str = "virtual", threads_per_gpu: float = 2.0) -> _plant.Host:
    cpu = processor.load("xeon-platinum-8358")
    cpu["topology"] |= {"packages": 2, "cores": 4, "threads_per_gpu": threads_per_gpu}
    path = directory / f"plant{next(COUNTER)}"
    description = {"gpus": 2, "seed": 1, "permission": "anyone", "clock": clock}
    _maker.create(path, {**description, "model": model.load("a100-sxm4-80gb"), "cpu": cpu})
    return _plant.Host(path)


def shown(host: _plant.Host, name: str) -> str:
    attribute = procfs.tree(host)[name]
    assert isinstance(attribute, procfs.Attribute)
    assert attribute.show is not None
    return f"{attribute.show()}\n"


def times(host: _plant.Host) -> dict[str, list[int]]:
    """By name, as who reads /proc/stat splits its lines."""
    lines = [line.split() for line in shown(host, "stat").splitlines()]
    return {line[0]: list(map(int, line[1:])) for line in lines if line[0].startswith("cpu")}


def test_stat_is_as_the_kernel_writes_it(directory: Path) -> None:
    with made(directory, threads_per_gpu=1.5) as host:
        Square(duty=0.5).start(host, [1], at_s=2.0)
        host.advance(5.0)
        assert shown(host, "stat") == (
            "cpu  450 0 0 3550 0 0 0 0 0 0\n"
            "cpu0 0 0 0 500 0 0 0 0 0 0\n"
            "cpu1 0 0 0 500 0 0 0 0 0 0\n"
            "cpu2 0 0 0 500 0 0 0 0 0 0\n"
            "cpu3 0 0 0 500 0 0 0 0 0 0\n"
            "cpu4 300 0 0 200 0 0 0 0 0 0\n"
            "cpu5 150 0 0 350 0 0 0 0 0 0\n"
            "cpu6 0 0 0 500 0 0 0 0 0 0\n"
            "cpu7 0 0 0 500 0 0 0 0 0 0\n"
            "intr 0\n"
            "ctxt 0\n"
            "btime 1767225600\n"
            "processes 0\n"
            "procs_running 2\n"
            "procs_blocked 0\n"
            "softirq 0 0 0 0 0 0 0 0 0 0 0\n"
        )


MOMENTS = st.integers(0, 400).map(lambda tenth_ms: tenth_ms * 1e-4)  # less than a tick of the plant apart, most of them


@settings(max_examples=100, deadline=None)
@given(st.lists(MOMENTS, min_size=5, max_size=25).map(sorted), MOMENTS, st.integers(0, 24), st.floats(0, 4))
def test_no_time_ever_goes_back_and_none_is_lost(
    directory: Path, looks_s: list[float], start_s: float, stop_at: int, threads: float
) -> None:
    before: dict[str, list[int]] = {}
    with made(directory, threads_per_gpu=threads) as host:
        Square().start(host, [0], at_s=start_s)
        for number, time_s in enumerate(looks_s):
            host.advance(time_s)
            if number == stop_at:
                host.stop_load()
            now = times(host)
            for name, spent in now.items():
                cpus = 8 if name == "cpu" else 1
                assert sum(spent) == pytest.approx(100 * host.time_s * cpus, abs=3 * cpus)
                assert all(after >= early for after, early in zip(spent, before.get(name, spent), strict=True))
            before = now


def test_a_host_on_the_wall_clock_came_up_when_it_was_made(directory: Path) -> None:
    early_s = time.time()
    with made(directory, clock="wall") as host:
        (btime,) = [int(line[6:]) for line in shown(host, "stat").splitlines() if line.startswith("btime ")]
        assert int(early_s) - 1 <= btime <= time.time()


def test_cpuinfo_tells_model_place_and_clock_of_each_cpu(directory: Path) -> None:
    with made(directory) as host:
        host.set_cpu_min_khz(5, 1_234_000)
        blocks = shown(host, "cpuinfo").split("\n\n")
        assert blocks.pop() == ""
        assert len(blocks) == 8
        found = dict(line.split("\t:", 1) for line in blocks[5].replace("\t\t:", "\t:").splitlines())
        assert {name: value.strip() for name, value in found.items()} == {
            "processor": "5",
            "model name": "Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz",
            "cpu MHz": "1234.000",
            "physical id": "1",
            "siblings": "4",
            "core id": "1",
            "cpu cores": "4",
        }


def test_a_host_without_processors_has_no_such_files(directory: Path) -> None:
    path = directory / f"plant{next(COUNTER)}"
    description = {"gpus": 1, "seed": 1, "permission": "anyone", "clock": "virtual"}
    _maker.create(path, {**description, "model": model.load("a100-sxm4-80gb")})
    with _plant.Host(path) as host:
        assert procfs.tree(host) == {}
