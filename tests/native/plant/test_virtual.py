"""Virtual time: many hosts in one process, each moved by its caller's clock, and read all GPUs at once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.errors import InputError
from eagent.sim import model, processor
from eagent.sim._bmc import Bmc
from eagent.sim._driver import Driver
from eagent.sim._faults import Faults
from eagent.sim.supply import supply
from eagent.sim.workload import Gang, Serving, Square

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

HOSTS, END_S = 12, 20.0
REQUESTS = [(0.1 * i, 3, 200 + 10 * i, 30) for i in range(100)]


def make(lab: Lab, seed: int) -> Host:
    host = lab(gpus=6, seed=seed, cpu={})
    Gang().start(host, [0, 1, 2], at_s=0.5)
    Serving().start(host, REQUESTS, at_s=1.0)
    Square(period_s=0.7).start(host, [4])
    host.set_power_limit(0, 200.0 + seed)
    return host


def history(host: Host) -> bytes:
    """All that can be told of a host, as bytes."""
    views = [host.view(gpu) for gpu in range(host.gpu_count)]
    samples = [host.samples(gpu) for gpu in range(host.gpu_count)]
    return repr((views, samples, host.power_log(), host.cpu_power_log(), host.served(), host.progress())).encode()


def play(hosts: Sequence[Host], order: random.Random) -> list[bytes]:
    """Move the hosts on by random steps in a random order, looking now and then, and change a limit on the way."""
    readings = [host.readings() for host in hosts]
    while waiting := [i for i, host in enumerate(hosts) if host.time_s < END_S]:
        i = order.choice(waiting)
        host, to_s = hosts[i], min(END_S, hosts[i].time_s + order.choice([0.003, 0.005, 0.01, 0.5, 3.0]))
        if host.time_s < 10.0 <= to_s:
            host.advance(10.0)
            host.set_power_limit(4, 150.0)
        host.advance(to_s, order.choice([readings[i], None]))
        if order.random() < 0.2:
            host.view(order.randrange(host.gpu_count))
    return [history(host) for host in hosts]


def test_hosts_of_one_process_give_the_same_bytes_in_whatever_order_and_steps_they_go(lab: Lab) -> None:
    first = play([make(lab, seed) for seed in range(1, HOSTS + 1)], random.Random(1))
    again = play([make(lab, seed) for seed in range(1, HOSTS + 1)], random.Random(2))
    assert first == again
    assert len(set(first)) == HOSTS


# Two power cycles, of which the second cuts a boot off, faults before, during and after them, and two divisions.
SCENE: dict[float, Callable[[Scene], object]] = {
    0.0: lambda on: on.faults.inject("foreign-limit", "gpu", 1, (205.0,), from_s=1.503, every_s=0.777, until_s=9.001),
    0.001: lambda on: on.faults.inject("stuck-power", "gpu", 0, (0.0, 15.0), from_s=2.0011, until_s=4.0),
    0.0032: lambda on: on.faults.inject("outside-limit", "host", 0, (130.0,), from_s=3.0, until_s=3.5),
    0.004: lambda on: on.faults.inject("energy-reset", "gpu", 2, from_s=9.5, every_s=3.21, until_s=16.0),
    0.4: lambda on: on.faults.inject("rapl-wrap", "package", 1, (5.0,), from_s=0.9),
    0.5004: lambda on: Gang().start(on.host, [0, 1], at_s=0.6012),
    1.0: lambda on: on.driver.divide(3, 7, 1, 10 << 30),
    1.2345: lambda on: on.host.set_power_limit(0, 230.0),
    1.9: lambda on: Serving().start(on.host, [(0.05 * i, 2, 300, 40) for i in range(60)]),
    2.2221: lambda on: on.host.lock_clocks(1, 400, 700),
    2.5: lambda on: on.host.set_cpu_max_khz(3, 1_000_000),
    5.0003: lambda on: on.host.stop_load(),
    6.1: lambda on: Square(period_s=0.09).start(on.host, [0, 3]),
    6.4: lambda on: on.host.stop_load(),
    7.3: lambda on: on.faults.inject("driver-reload", from_s=8.0),
    7.4: lambda on: on.driver.signal(1, "xid", 31),
    10.0021: lambda on: on.bmc.switch_off(),
    10.5: lambda on: on.bmc.switch_on(),
    10.9: lambda on: on.bmc.switch_off(),
    11.0017: lambda on: on.faults.inject("gpu-reset", "gpu", 3, from_s=13.7),
    11.1: lambda on: on.bmc.switch_on(),
    12.5: lambda on: Square(period_s=1e5, duty=1.0).start(on.host, [3]),
    15.0: lambda on: on.host.set_power_limit(3, 200.0),
}
SCENE_END_S = 18.0


class Scene:
    """A host on which SCENE is played, by all its handles."""

    def __init__(self, lab: Lab, path: Path, gpu_model: str) -> None:
        gpu, cpu = model.load(gpu_model), processor.load("xeon-platinum-8358")
        around = {**supply(gpu, 4, cpu).as_dict(), "boot_s": 0.777}
        warm = {"slow_c": 42.0, "stop_c": 60.0}
        sections = {**gpu, "heat": {**gpu["heat"], **warm}}
        self.host = lab(gpus=4, seed=3, path=path, cpu={}, supply=around, **sections)
        self.bmc, self.faults, self.driver = Bmc(path), Faults(path), Driver(path)

    def play(self, step_s: float | None) -> bytes:
        """Go from act to act in one step, or in short ones with a look at each."""
        for time_s in (*SCENE, SCENE_END_S):
            while step_s is not None and self.host.time_s + step_s < time_s:
                self.host.advance(self.host.time_s + step_s)
                if self.bmc.power == "on":
                    self.host.view(0), self.host.samples(3), self.host.rapl_view(1)
            self.host.advance(time_s)
            SCENE.get(time_s, lambda _: None)(self)
        return self.history()

    def history(self) -> bytes:
        """All that can be told of it but the ids of its boots, which are chance."""
        host, driver = self.host, self.driver
        of_gpus = [(host.view(i), host.samples(i), driver.throttle(i), driver.knobs(i)) for i in range(4)]
        packages = [(host.rapl_view(i), host.cpu_energy_true_j(i), host.cpu_view(32 * i)) for i in range(2)]
        logs = (host.power_log(), host.cpu_power_log(), host.limit_log(), host.lock_log(), host.cpu_log())
        wall = (self.bmc.power_log(), self.bmc.power_changes(), self.bmc.spent(), self.bmc.power_w)
        work = (host.served(), host.lost(), host.progress(), [host.energy_true_j(i) for i in range(4)])
        division = [driver.mig(i) for i in range(4)] if host.gpu_name.startswith("NVIDIA A100") else []
        return repr((of_gpus, packages, logs, wall, work, division, driver.signals(), self.faults.all())).encode()


@pytest.mark.parametrize("gpu_model", ["a100-sxm4-80gb", "h100-sxm5-80gb"])
def test_a_host_that_is_switched_struck_and_heated_does_not_mind_how_often_it_is_looked_at(
    lab: Lab, tmp_path: Path, gpu_model: str
) -> None:
    steps_s = (None, 0.001, 0.0137)
    histories = [Scene(lab, tmp_path / f"{step_s}", gpu_model).play(step_s) for step_s in steps_s]
    assert histories[0] == histories[1]
    assert histories[0] == histories[2]


def test_readings_are_what_a_view_shows(lab: Lab) -> None:
    host = make(lab, 1)
    readings = host.readings()
    for step in range(1, 400):
        host.advance(step * 0.03, readings)
        assert readings.is_there
        for gpu in range(host.gpu_count):
            view = host.view(gpu)
            columns = {name: column[gpu] for name, column in columns_of(readings).items()}
            assert columns == {name: view[name] for name in columns}  # type: ignore[literal-required]


def columns_of(readings: object) -> dict[str, memoryview]:
    names = ("sensor_time_us", "energy_mj", "event_reasons", "power_plain_mw", "sm_clock_mhz", "temperature_c")
    return {name: getattr(readings, name) for name in (*names, "gpu_utilisation_pct", "memory_utilisation_pct")}


def test_a_column_shows_what_is_read_next_and_cannot_be_written(lab: Lab) -> None:
    host = lab(gpus=2)
    readings = host.readings()
    energy_mj = readings.energy_mj
    assert (len(energy_mj), energy_mj.readonly) == (2, True)
    before = list(energy_mj)
    host.advance(10.0)
    assert list(energy_mj) == before
    host.read(readings)
    assert all(after > at_first + 400_000 for after, at_first in zip(energy_mj, before, strict=True))
    with pytest.raises(TypeError):
        energy_mj[0] = 0
    del readings
    assert len(energy_mj) == 2


def test_a_time_that_has_passed_is_refused_and_nothing_is_read(lab: Lab) -> None:
    host = lab()
    host.advance(5.0)
    readings = host.readings()
    host.advance(6.0)
    shown = list(readings.sensor_time_us)
    with pytest.raises(InputError, match="cannot advance to 5"):
        host.advance(5.0, readings)
    assert list(readings.sensor_time_us) == shown
    assert host.time_s == 6.0
