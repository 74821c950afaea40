"""What who watches a simulated host is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagent.errors import DriverError, InputError
from eagent.sim import host, symbols
from eagent.sim._bmc import Bmc
from eagent.sim._driver import Driver
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.host import SimulatedHost
from eagent.sim.scene import WRITES_S, Scene
from eagent.sim.workload import Gang, Square


@pytest.fixture
def made(tmp_path: Path) -> SimulatedHost:
    """A host of two GPUs that stands still."""
    return host.create(tmp_path, "box", gpus=2, clock="virtual")


@pytest.fixture
def plant(made: SimulatedHost) -> Iterator[Host]:
    with Host(made.plant) as opened:
        yield opened


@pytest.fixture
def scene(made: SimulatedHost) -> Iterator[Scene]:
    with Scene(made) as opened:
        yield opened


def test_the_truth_stands_beside_what_the_driver_says(plant: Host, scene: Scene) -> None:
    Square(duty=1.0).start(plant, [1])
    plant.lock_clocks(1, 210, 900)
    plant.set_power_limit(0, 300.0)
    plant.advance(20.0)
    seen = scene.look()
    assert (seen["simulated"], seen["host"], seen["clock"], seen["time_s"]) == (True, "box", "virtual", 20.0)
    idle, busy = seen["gpus"]
    assert (idle["load"], idle["busy"], idle["reasons"], idle["limit_requested_w"]) == (None, 0.0, ["idle"], 300.0)
    assert (busy["load"], busy["busy"], busy["clock_mhz"], busy["locked_mhz"]) == (0, 1.0, 900, [210, 900])
    view = plant.view(1)
    assert busy["power_reading_w"] == view["power_plain_mw"] / 1000
    assert busy["power_true_w"] == pytest.approx(plant.power_log()[-1][1], rel=0.01)
    assert busy["power_true_w"] != busy["power_reading_w"]  # a board's gain
    assert busy["temperature_true_c"] == pytest.approx(busy["temperature_c"], abs=0.5)
    assert json.loads(json.dumps(seen))["gpus"] == seen["gpus"]


def test_a_gpu_points_to_the_load_that_it_has_and_not_to_one_that_has_ended(plant: Host, scene: Scene) -> None:
    Square().start(plant, [0])
    plant.stop_load()
    Gang().start(plant, [0, 1])
    plant.advance(3.0)
    seen = scene.look()
    assert {seen["loads"][gpu["load"]]["kind"] for gpu in seen["gpus"]} == {"gang"}


def test_a_host_that_is_off_has_no_driver_to_tell_anything(made: SimulatedHost, scene: Scene) -> None:
    with Bmc(made.plant) as bmc:
        bmc.switch_off()
    seen = scene.look()
    assert (seen["power"], seen["wall_w"]) == ("off", 30.0)
    for gpu in seen["gpus"]:
        known = {key for key, value in gpu.items() if value is not None}
        assert known == {"gpu", "power_true_w", "temperature_true_c"}
        assert gpu["power_true_w"] == 0.0


def test_writes_of_the_last_seconds_are_told_with_who_wrote(plant: Host, scene: Scene) -> None:
    plant.set_power_limit(1, 250.0)
    plant.advance(2.0)
    plant.lock_clocks(0, 210, 900)
    plant.set_rapl_limit_uw(1, 0, 200_000_000, pid=2**31 - 1)
    first, second, third = scene.look()["writes"]
    assert (first["device"], first["what"], first["old"], first["new"]) == ("gpu1", "limit", 400_000, 250_000)
    assert (first["pid"], first["command"]) == (os.getpid(), Path("/proc/self/comm").read_text().strip())
    assert (second["device"], second["what"], second["new"]) == ("gpu0", "lock", [210, 900])
    assert (third["device"], third["what"], third["command"]) == ("package1", "limit_uw", None)  # no such process
    plant.advance(WRITES_S + 1.0)
    assert [write["what"] for write in scene.look()["writes"]] == ["lock", "limit_uw"]
    plant.advance(WRITES_S + 2.0)
    assert scene.look()["writes"] == []


def test_faults_that_last_or_are_yet_to_come_are_told(made: SimulatedHost, scene: Scene) -> None:
    assert scene.look()["faults"] == []
    with Faults(made.plant) as opened:
        opened.inject("gpu-lost", "gpu", 1)
    (told,) = scene.look()["faults"]
    assert (told["kind"], told["target"], told["index"], told["until_s"]) == ("gpu-lost", "gpu", 1, None)


@pytest.mark.parametrize("kind", ["gpu-lost", "reset-required"])
def test_a_gpu_that_answers_nobody_has_no_reading(made: SimulatedHost, plant: Host, scene: Scene, kind: str) -> None:
    with Faults(made.plant) as opened:
        opened.inject(kind, "gpu", 1)
        opened.inject(kind, "gpu", 0, from_s=5.0)
    told, silent = scene.look()["gpus"]
    assert told["power_reading_w"] is not None
    assert {silent[key] for key in ("power_reading_w", "reading_age_s", "limit_enforced_w", "busy", "reasons")} == {
        None
    }
    assert silent["power_true_w"] > 0
    plant.advance(6.0)
    assert [gpu["power_reading_w"] for gpu in scene.look()["gpus"]] == [None, None]


def test_a_library_that_lacks_names_is_told_as_a_fault(made: SimulatedHost, scene: Scene) -> None:
    symbols.drop(made)
    (told,) = scene.look()["faults"]
    assert (told["kind"], told["target"], told["begun"]) == ("missing-symbols", "host", True)
    assert json.loads(json.dumps(told)) is not None


def test_every_knob_of_a_gpu_is_told_by_its_name(made: SimulatedHost, scene: Scene) -> None:
    with Driver(made.plant) as driver:
        driver.divide(1, 3, 2, 1000)
    (write,) = scene.look()["writes"]
    assert (write["device"], write["what"], write["old"], write["new"]) == ("gpu1", "mig", 0, 1 | 3 << 8)


def test_a_foreign_writer_is_told_to_be_a_fault(made: SimulatedHost, plant: Host, scene: Scene) -> None:
    with Faults(made.plant) as opened:
        opened.inject("foreign-limit", "gpu", 1, (200.0,))
    plant.advance(1.0)
    (write,) = scene.look()["writes"]
    assert (write["device"], write["new"], write["command"]) == ("gpu1", 200_000, "a fault")


def test_of_very_many_writes_the_last_are_told(plant: Host, scene: Scene) -> None:
    for number in range(300):
        plant.set_power_limit(0, 100.0 + number)
    assert scene.look()["writes"][-1]["new"] == 399_000


def test_a_host_that_was_deleted_is_not_shown_any_more(tmp_path: Path, scene: Scene) -> None:
    host.delete(tmp_path, "box")
    with pytest.raises(InputError, match="'box' has been deleted"):
        scene.look()


def test_a_file_that_is_no_host_is_an_error(made: SimulatedHost) -> None:
    made.plant.write_bytes(b"x" * 4096)
    with pytest.raises(DriverError):
        Scene(made)
