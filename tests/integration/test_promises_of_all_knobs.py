"""Nothing is left behind of any knob, whoever is killed: GPU clocks, CPU frequency, energy preference, RAPL limits.

Real processes and `kill -9`; the truth is what driver and kernel of the simulated host hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from eagent.sim.workload import Square

GRACE_S = 1.0
PIN_W = 200.0
CONFIG = '[policy]\nmode_idle = "act"\nmode_cpu = "act"\nidle_consent = ["all"]\n'
OWNERS_KHZ = 3_000_000  # what somebody had set on one core before eagent came
OWNERS_EPP = 0

Site = Callable[..., Any]
Knobs = tuple[list[int], list[int], list[int], list[int]]


def knobs(host: Any) -> Knobs:
    """Clock locks of the GPUs; ceilings and preferences of the cores; power limits of the packages."""
    cores = [host.plant.cpu_view(cpu) for cpu in range(64)]
    limits_uw = [uw for package in (0, 1) for uw in host.plant.rapl_view(package)["limit_uw"]]
    locks = [host.plant.view(gpu)["locked_max_mhz"] for gpu in range(host.plant.gpu_count)]
    return locks, [core["max_khz"] for core in cores], [core["epp"] for core in cores], limits_uw


@pytest.fixture
def held(site: Site) -> Callable[..., Any]:
    """A host whose GPUs are loaded and quiet, so that eagent holds every kind of knob down; `prior` is from before."""

    def make(*options: str) -> Any:
        host = site(gpus=2, sysfs=True)
        host.config.write_text(host.config.read_text() + CONFIG)
        host.plant.set_cpu_max_khz(40, OWNERS_KHZ)
        host.plant.set_cpu_epp(3, OWNERS_EPP)
        # A model that is loaded and not asked.
        Square(period_s=600.0, duty=1e-4).start(host.plant, [0, 1], pid=os.getpid())
        host.prior = knobs(host)
        host.up(*options)
        host.must("pin", "set", "cpu0", f"{PIN_W:g}W")
        assert host.await_true(lambda: all_held(host), 20), knobs(host)
        return host

    return make


def all_held(host: Any) -> bool:
    """Whether each kind of knob is down on each device, as far as it goes."""
    locks, ceilings, epps, limits = knobs(host)
    return (
        all(0 < lock < 1410 for lock in locks)
        and max(ceilings) < OWNERS_KHZ
        and min(epps) > 128
        and limits[:2] == [PIN_W * 1e6] * 2
    )


@pytest.mark.parametrize("victims", [("agent",), ("parent",)], ids="-".join)
def test_every_knob_returns_to_its_prior_value(
    held: Callable[..., Any], victims: tuple[str, ...], ttl_s: float
) -> None:
    host = held(*(["--no-restart"] if victims == ("agent",) else []))
    killed_s = host.kill(*victims)
    assert host.await_true(lambda: knobs(host) == host.prior, ttl_s + GRACE_S + 5), knobs(host)
    assert host.plant.time_s - killed_s <= ttl_s + 2 * GRACE_S


@pytest.mark.parametrize("victims", [("agent", "warden"), ("warden",)], ids="-".join)
def test_a_new_warden_knows_every_prior_value_also_if_the_agent_holds_the_knobs_again(
    held: Callable[..., Any], victims: tuple[str, ...]
) -> None:
    host = held()
    host.kill(*victims)
    assert host.await_true(lambda: host.log.read_text().count("eagent.warden: ready") == 2, 15)
    assert host.await_true(lambda: host.eagent("status").returncode == 0, 15)
    assert host.await_true(lambda: knobs(host)[0] == [915, 915], 20), knobs(host)
    assert host.stop() == 0
    assert knobs(host) == host.prior


def test_when_all_are_killed_at_once_restore_puts_every_knob_back(held: Callable[..., Any]) -> None:
    host = held()
    host.kill("agent", "warden", "parent")
    assert all_held(host)  # nobody is there to do anything
    said = host.must("restore")
    assert knobs(host) == host.prior
    assert "cpu0: power limit 200 W -> 300 W, its prior value" in said
    for line in ("gpu0: gpu clock", "gpu1: gpu clock", "cpu0: cpu clock", "cpu1: cpu preference"):
        assert f"{line}: back where it was before eagent" in said


def test_when_all_are_killed_at_once_the_next_start_puts_every_knob_back(held: Callable[..., Any]) -> None:
    host = held()
    host.kill("agent", "warden", "parent")
    host.config.write_text(host.config.read_text().replace('"act"', '"observe"'))
    host.up()
    assert host.await_true(lambda: knobs(host) == host.prior, 5), knobs(host)


def test_an_orderly_stop_gives_every_knob_back(held: Callable[..., Any]) -> None:
    host = held()
    assert host.stop() == 0
    assert knobs(host) == host.prior
    assert list((host.made.dir / "state" / "journal").iterdir()) == []


def test_a_halt_gives_every_knob_back(held: Callable[..., Any]) -> None:
    host = held()
    host.must("pin", "clear", "cpu0")
    host.must("halt")
    assert host.await_true(lambda: knobs(host) == host.prior, 5), knobs(host)


def test_work_that_comes_has_its_clocks_within_a_second_and_a_half(held: Callable[..., Any]) -> None:
    host = held()
    host.plant.stop_load()
    Square(period_s=1.0, duty=1.0).start(host.plant, [0], pid=os.getpid())
    began_s = host.plant.time_s
    assert host.await_true(lambda: knobs(host)[0][0] == 0, 5)
    back_s = max(at_s for at_s, gpu, _, high_mhz, _ in host.plant.lock_log() if gpu == 0 and high_mhz == 0)
    assert back_s - began_s <= 1.5
