"""Virtual time: many hosts in one process, each moved by its caller's clock, and read all GPUs at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from eagent.errors import InputError
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
