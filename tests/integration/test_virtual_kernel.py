"""The kernel's files of a simulated host whose clock moves only when it is told to: a real mount in virtual time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.sim._plant import Host
from eagent.sim.workload import Serving

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

STEP_S = 0.5
CHANGE_S, END_S = 20.0, 60.0
FULL_KHZ, LOW_KHZ = 3_400_000, 1_500_000
USER, IDLE = 1, 4  # columns of /proc/stat
COUNT_UJ = 62.0  # one count of a RAPL counter and what rounding takes


def package_w(khz: int) -> float:
    """By the shipped Xeon's model: a package with eight busy cores, and its DRAM."""
    volt = 0.65 + 0.35 * max(0.0, (khz - 1_200_000) / 2_200_000)
    return 65 + 8 * 8 * khz / FULL_KHZ * volt**2 + 12 + 20 * 8 / 32


def stat(made: SimHost, name: str = "cpu") -> list[int]:
    """The numbers of one line of /proc/stat, its column 0 left out."""
    (line,) = [line for line in (made.procfs / "stat").read_text().splitlines() if line.split()[0] == name]
    return [0, *map(int, line.split()[1:])]


def energies_uj(made: SimHost) -> list[int]:
    zones = made.sysfs / "class/powercap"
    return [int((zones / f"intel-rapl:{package}/energy_uj").read_text()) for package in range(2)]


def policies(made: SimHost) -> list[Path]:
    return sorted((made.sysfs / "devices/system/cpu/cpufreq").glob("policy*"), key=lambda path: int(path.name[6:]))


@pytest.fixture
def plant(served_host: SimHostFactory) -> Iterator[tuple[SimHost, Host]]:
    """A host that serves requests on eight GPUs from its second 1 on, with its files mounted; at time 0."""
    made = served_host(gpus=8, clock="virtual")
    with Host(made.plant) as opened:
        Serving().start(opened, [(0.05 * number, number % 8, 400, 300) for number in range(1200)], at_s=1.0)
        yield made, opened


def test_a_bound_written_to_every_policy_lowers_the_watts_from_that_moment_on(plant: tuple[SimHost, Host]) -> None:
    made, host = plant
    for step in range(1, round(END_S / STEP_S) + 1):
        host.advance(step * STEP_S)
        if host.time_s == CHANGE_S:
            for policy in policies(made):
                (policy / "scaling_max_freq").write_text(f"{LOW_KHZ}\n")
    assert [entry[:6] for entry in host.cpu_log()] == [
        (CHANGE_S, "max_khz", cpu, 0, FULL_KHZ, LOW_KHZ) for cpu in range(64)
    ]
    assert {entry[6] for entry in host.cpu_log()} == {os.getpid()}
    rows = host.cpu_power_log()
    for package in range(2):
        assert {round(row[package], 3) for row in rows[10:200]} == {round(package_w(FULL_KHZ), 3)}
        assert {round(row[package], 3) for row in rows[200:]} == {round(package_w(LOW_KHZ), 3)}
    assert rows[200][0] < rows[199][0] - 40
    gpus_w = [sum(row) for row in host.power_log()]
    assert sum(gpus_w[250:500]) / 250 < sum(gpus_w[100:200]) / 100 - 40  # they await their processors for longer


def test_nothing_moves_but_with_the_clock(plant: tuple[SimHost, Host]) -> None:
    made, host = plant
    host.advance(7.25)
    seen = [(stat(made), energies_uj(made), host.time_s) for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][2] == 7.25


def test_counters_and_busy_time_move_as_far_as_the_clock(plant: tuple[SimHost, Host]) -> None:
    made, host = plant
    host.advance(5.0)
    times, joules = stat(made), energies_uj(made)
    truth = [host.cpu_energy_true_j(package)[0] for package in range(2)]
    for step in range(1, 11):
        host.advance(5.0 + step * STEP_S)
        assert stat(made)[USER] - times[USER] == round(100 * 16 * step * STEP_S)
        assert stat(made)[IDLE] - times[IDLE] == round(100 * 48 * step * STEP_S)
    drawn_j = [host.cpu_energy_true_j(package)[0] - truth[package] for package in range(2)]
    assert [(after - before) / 1e6 for after, before in zip(energies_uj(made), joules, strict=True)] == pytest.approx(
        drawn_j, abs=2e-6 * COUNT_UJ
    )
    assert stat(made, "cpu0") == [0, 900, 0, 0, 100, 0, 0, 0, 0, 0, 0]  # its process came at 1 s


def test_what_was_written_is_read_and_in_force_at_once(plant: tuple[SimHost, Host]) -> None:
    made, host = plant
    host.advance(10.0)
    policy = policies(made)[0]
    assert (policy / "scaling_cur_freq").read_text() == f"{FULL_KHZ}\n"
    (policy / "scaling_max_freq").write_text(str(LOW_KHZ))
    assert (policy / "scaling_max_freq").read_text() == (policy / "scaling_cur_freq").read_text() == f"{LOW_KHZ}\n"
    (made.sysfs / "class/powercap/intel-rapl:0/constraint_0_power_limit_uw").write_text("90000000")
    assert host.rapl_view(0)["limit_uw"][0] == 90_000_000
    assert int((policy / "scaling_cur_freq").read_text()) <= LOW_KHZ
    before_j = host.cpu_energy_true_j(0)[0]
    host.advance(12.0)
    assert host.cpu_energy_true_j(0)[0] - before_j == pytest.approx(180, abs=0.1)
