"""The truth of a whole host at one instant, against what host, BMC and logs say of it one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.errors import DriverError
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim._watch import Watch
from eagent.sim.workload import Square
from tests.native.plant.test_supply import SUPPLY

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab


@pytest.fixture
def watched(lab: Lab, tmp_path: Path) -> Iterator[tuple[Host, Bmc, Watch]]:
    """A host with two GPUs and two packages in virtual time, and two more handles on it."""
    host = lab(gpus=2, path=tmp_path / "plant", cpu={}, supply=SUPPLY)
    with Bmc(tmp_path / "plant") as bmc, Watch(tmp_path / "plant") as watch:
        yield host, bmc, watch


def test_a_gpus_watts_are_those_that_its_energy_grows_by(watched: tuple[Host, Bmc, Watch]) -> None:
    host, _, watch = watched
    Square(period_s=0.2).start(host, [0])
    for tick in range(200, 260):  # over both halves of a period
        host.advance((tick - 1) * 0.005)
        before_j = [host.energy_true_j(gpu) for gpu in range(2)]
        host.advance(tick * 0.005)
        truth = watch.look()
        assert truth["time_s"] == pytest.approx(tick * 0.005)
        for gpu in range(2):
            grown_w = (host.energy_true_j(gpu) - before_j[gpu]) / 0.005
            assert truth["gpus"][gpu]["power_w"] == pytest.approx(grown_w, rel=1e-6)


def test_what_it_draws_at_the_wall_is_what_the_bmc_says(watched: tuple[Host, Bmc, Watch]) -> None:
    host, bmc, watch = watched
    Square().start(host, [0, 1])
    for time_s in (0.0, 0.25, 0.75, 30.0):
        host.advance(time_s)
        assert watch.look()["wall_w"] == bmc.power_w
    packages_w = [row[-1] for row in zip(*host.cpu_power_log(), strict=True)]
    assert watch.look()["package_w"] == pytest.approx(packages_w, rel=0.3)
    assert len(packages_w) == 2


def test_its_temperature_is_that_which_the_driver_rounds(watched: tuple[Host, Bmc, Watch]) -> None:
    host, _, watch = watched
    Square(duty=1.0).start(host, [0])
    host.advance(60.0)
    for gpu in range(2):
        truth_c = watch.look()["gpus"][gpu]["temperature_c"]
        assert abs(truth_c - host.view(gpu)["temperature_c"]) <= 0.5
    assert watch.look()["gpus"][0]["temperature_c"] > watch.look()["gpus"][1]["temperature_c"] + 10


def test_a_readings_age_is_counted_from_its_publication(watched: tuple[Host, Bmc, Watch]) -> None:
    host, _, watch = watched
    epoch_us = host.boot_unix_s * 1e6
    for step in range(50):
        host.advance(2.0 + step * 0.007)
        for gpu in range(2):
            published_s = (host.view(gpu)["sensor_time_us"] - epoch_us) / 1e6
            age_s = watch.look()["gpus"][gpu]["sensor_age_s"]
            assert age_s == pytest.approx(host.time_s - published_s, abs=2e-6)
            assert 0 <= age_s <= 0.11


def test_a_host_that_is_off_is_seen_too(watched: tuple[Host, Bmc, Watch]) -> None:
    host, bmc, watch = watched
    host.advance(5.0)
    bmc.switch_off()
    truth = watch.look()
    assert (truth["power"], truth["since_s"], truth["wall_w"], truth["package_w"]) == ("off", 5.0, 30.0, [0.0, 0.0])
    assert [gpu["power_w"] for gpu in truth["gpus"]] == [0.0, 0.0]
    bmc.switch_on()
    assert watch.look()["power"] == "booting"
    host.advance(30.0)
    assert (watch.look()["power"], watch.look()["since_s"]) == ("on", 25.0)


def test_writes_are_told_from_any_entry_on(watched: tuple[Host, Bmc, Watch]) -> None:
    host, bmc, watch = watched
    assert (watch.look()["writes"], watch.writes()) == (0, [])
    host.set_power_limit(1, 250.0)
    host.advance(1.0)
    host.lock_clocks(0, 210, 900)
    host.set_cpu_max_khz(3, 2_000_000, pid=77)
    bmc.switch_off()
    told = watch.writes()
    assert len(told) == watch.look()["writes"]
    assert [write[:5] for write in told[:2]] == [(0.0, "limit", 1, 400_000, 250_000), (1.0, "lock", 0, 0, 0)]
    assert told[1][5:7] == (210, 900)
    assert told[2][:5] == (1.0, "max_khz", 3, 3_400_000, 2_000_000)
    assert told[2][7] == 77
    assert told[-1][1:5] == ("power", 0, 2, 0)
    assert watch.writes(2) == told[2:]
    assert watch.writes(len(told)) == []


def test_no_more_writes_are_told_at_a_time_than_a_person_reads(watched: tuple[Host, Bmc, Watch]) -> None:
    host, _, watch = watched
    for number in range(300):
        host.set_power_limit(0, 100.0 + number)
    assert [write[4] for write in watch.writes()] == [100_000 + 1000 * number for number in range(256)]
    assert len(watch.writes(256)) == 44


def test_a_handle_that_is_closed_or_a_file_that_is_none_is_an_error(
    tmp_path: Path, watched: tuple[Host, Bmc, Watch]
) -> None:
    watch = watched[2]
    watch.close()
    watch.close()
    for call in (watch.look, watch.writes):
        with pytest.raises(DriverError, match="closed"):
            call()
    with pytest.raises(DriverError, match="No such file"):
        Watch(tmp_path / "nothing")
