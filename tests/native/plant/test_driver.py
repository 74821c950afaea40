"""What the driver holds beside limits and locks: signals, times of throttling, application clocks, MIG."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import DriverError, InputError
from eagent.sim._bmc import Bmc
from eagent.sim._driver import Driver
from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab

GIB = 2**30
KINDS = ("pstate", "xid", "clock", "unavailable", "recovery")


@pytest.fixture
def two(lab: Lab, tmp_path: Path) -> Iterator[tuple[Host, Driver]]:
    """A host with two GPUs in virtual time, and what its driver holds."""
    host = lab(gpus=2, path=tmp_path / "plant")
    with Driver(tmp_path / "plant") as driver:
        yield host, driver


def boot(host: Host, path: Path) -> None:
    with Bmc(path) as bmc:
        bmc.switch_off()
        bmc.switch_on()
    host.advance(host.time_s + 1)


@given(told=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(KINDS), st.integers(0, 2**64 - 1)), max_size=100))
def test_the_last_signals_are_kept_in_order(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, str, int]]
) -> None:
    path = tmp_path_factory.mktemp("signals") / "plant"
    lab(gpus=2, path=path)
    with Driver(path) as driver:
        for gpu, kind, data in told:
            driver.signal(gpu, kind, data)
        assert driver.signals() == [(0.0, kind, gpu, data) for gpu, kind, data in told[-64:]]
    path.unlink()


@pytest.mark.parametrize("wrong", [lambda d: d.signal(2, "xid"), lambda d: d.signal(0, "noise"), lambda d: d.knobs(2)])
def test_what_the_host_has_not_is_refused(two: tuple[Host, Driver], wrong: Callable[[Driver], object]) -> None:
    with pytest.raises(InputError):
        wrong(two[1])


def test_a_driver_that_is_not_there_tells_nothing(two: tuple[Host, Driver], tmp_path: Path) -> None:
    with Bmc(tmp_path / "plant") as bmc:
        bmc.switch_off()
    with pytest.raises(DriverError, match="the host is not on"):
        two[1].signal(0, "xid", 79)


def test_a_limit_that_binds_counts_its_time_to_the_tick(two: tuple[Host, Driver]) -> None:
    host, driver = two
    host.set_power_limit(0, 150)
    host.start_square([0], 1.0, 10.0, 0.5, 1.0, 0.3, 1.0, 0)
    host.advance(3.0)
    three_s = driver.throttle(0)
    host.advance(4.0)
    four_s = driver.throttle(0)
    assert four_s["power_ns"] - three_s["power_ns"] == 1_000_000_000
    assert four_s["held_ns"] == four_s["power_ns"]
    assert four_s["below_base_ns"] - three_s["below_base_ns"] == 1_000_000_000
    assert driver.throttle(1) == dict.fromkeys(four_s, 0)


def test_times_and_application_clocks_end_with_a_boot_and_a_division_does_not(
    two: tuple[Host, Driver], tmp_path: Path
) -> None:
    host, driver = two
    host.set_power_limit(0, 150)
    host.start_square([0], 0.0, 10.0, 1.0, 1.0, 0.3, 1.0, 0)
    driver.divide(1, 7, 1, 10 * GIB)
    host.advance(3.0)
    assert driver.throttle(0)["power_ns"] > 0
    divided = driver.mig(1)
    boot(host, tmp_path / "plant")
    assert set(driver.throttle(0).values()) == {0}
    assert driver.mig(1) == divided


@pytest.mark.parametrize(
    ("instances", "slices", "memory_b"),
    [(8, 1, GIB), (4, 2, GIB), (1, 8, GIB), (3, 0, GIB), (2, 3, 41 * GIB), (1, 1, 0)],
)
def test_a_division_into_more_than_there_is_is_refused(
    two: tuple[Host, Driver], instances: int, slices: int, memory_b: int
) -> None:
    with pytest.raises(InputError, match="more than the GPU has"):
        two[1].divide(0, instances, slices, memory_b)
    assert two[1].mig(0)["mode"] == 0


@given(instances=st.integers(1, 7), memory_gib=st.integers(1, 80))
def test_a_division_is_taken_if_it_fits_and_shown_as_it_was_made(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, instances: int, memory_gib: int
) -> None:
    path = tmp_path_factory.mktemp("divided") / "plant"
    lab(path=path)
    with Driver(path) as driver:
        if instances * memory_gib > 80:
            with pytest.raises(InputError):
                driver.divide(0, instances, 7 // instances, memory_gib * GIB)
        else:
            driver.divide(0, instances, 7 // instances, memory_gib * GIB)
            mig = driver.mig(0)
            ids = mig.pop("ids")
            assert len(set(ids)) == instances
            assert mig == {
                "mode": 1, "pending": 1, "instances": instances, "slices": 7 // instances, "memory_b": memory_gib * GIB
            }  # fmt: skip
    path.unlink()


def test_a_division_is_in_the_log_and_told(two: tuple[Host, Driver]) -> None:
    _, driver = two
    driver.divide(0, 2, 3, 40 * GIB)
    driver.divide(0, 0)
    assert [entry[1:5] for entry in driver.settings()] == [
        (0, "mig", (0, 0), (1, 2)),
        (0, "mig", (1, 2), (0, 0)),
    ]
    assert [entry[1:3] for entry in driver.signals()] == [("mig", 0)] * 2


def test_ids_of_instances_follow_from_the_seed_and_no_two_boards_share_one(lab: Lab, tmp_path: Path) -> None:
    ids = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        lab(gpus=2, seed=seed, path=tmp_path / name)
        with Driver(tmp_path / name) as driver:
            driver.divide(0, 7, 1, GIB)
            driver.divide(1, 7, 1, GIB)
            ids.append((*driver.mig(0)["ids"], *driver.mig(1)["ids"]))
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 28


def test_a_file_with_an_impossible_division_is_damaged(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    lab(path=path)
    with Driver(path) as driver:
        driver.divide(0, 5, 1, 12345 * 1024)
    written = path.read_bytes()
    wanted = (5).to_bytes(4, "little") + (1).to_bytes(4, "little") + (12345 * 1024).to_bytes(8, "little")
    place = written.index(wanted)
    assert written.count(wanted) == 1  # the other state is older
    with path.open("r+b") as file:
        file.seek(place)
        file.write((200).to_bytes(4, "little"))
    with Host(path) as host, pytest.raises(DriverError, match="damaged"):
        host.view(0)


def test_what_one_process_sets_another_sees(two: tuple[Host, Driver], tmp_path: Path) -> None:
    script = "import sys; from eagent.sim._driver import Driver; Driver(sys.argv[1]).divide(1, 3, 2, 2**30)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "plant")], check=True, timeout=60)
    assert two[1].mig(1)["instances"] == 3
