"""Whole cores, gossip and trade included, over a network that loses, delays, doubles and parts: in virtual time."""

from __future__ import annotations

import math

import pytest

from eagent.sim.fleet import ROUND_NS, Fleet, Network, Plan, phases

LOW_MW, HIGH_MW = 1_500_000, 4_000_000


def steady(_name: str, _now_s: float) -> int:
    return LOW_MW


def rounds_to_reach_all(fleet: Fleet, name: str) -> float:
    version = fleet.version(name, name)
    fleet.touch(name)
    fleet.run_until(lambda: fleet.version(name, name) > version, 30, 0.05)
    start_ns, version = fleet.now_ns, fleet.version(name, name)
    fleet.run_until(lambda: all(fleet.version(each, name) >= version for each in fleet.names), 60, 0.25)
    return (fleet.now_ns - start_ns) / ROUND_NS


def test_news_is_with_all_hosts_in_a_few_rounds() -> None:
    fleet = Fleet(Plan(100), 1, steady)
    fleet.run(20)
    rounds = [rounds_to_reach_all(fleet, fleet.names[7 * n]) for n in range(8)]
    assert max(rounds) <= 2 * math.log2(100) + 4


@pytest.mark.parametrize("seed", range(4))
def test_watts_go_where_they_are_needed_and_never_above_the_budget(seed: int) -> None:
    plan = Plan(6, network=Network(loss=0.1, doubled=0.1), wire=True)
    fleet = Fleet(plan, seed, phases(seed, LOW_MW, HIGH_MW, 120.0))
    fleet.run(20)
    before = fleet.rights_mw()
    fleet.run(240)  # raises BreachError if the sum was ever above the budget
    assert fleet.rights_mw() != before


def test_a_parted_fleet_goes_on_and_joins_again() -> None:
    fleet = Fleet(Plan(6), 3, phases(3, LOW_MW, HIGH_MW, 60.0))
    fleet.run(20)
    fleet.part(fleet.names[:3])
    fleet.run(60)
    fleet.part(())
    fleet.touch(fleet.names[0])
    version = fleet.version(fleet.names[0], fleet.names[0])
    fleet.run_until(lambda: fleet.version(fleet.names[5], fleet.names[0]) >= version, 30)


def test_a_host_that_lost_its_disk_is_at_its_reserve_in_a_new_life() -> None:
    plan = Plan(4)
    fleet = Fleet(plan, 5, steady)
    fleet.run(20)
    victim = fleet.names[1]
    life = fleet.life(victim)
    fleet.crash(victim, loses_disk=True)
    fleet.start(victim)
    fleet.run_until(lambda: victim in fleet.rights_mw() and fleet.life(victim) != life, 20, 0.05)
    assert fleet.rights_mw()[victim] == plan.reserve_mw
    fleet.run(60)  # others may give to the new life: the invariant is looked at all the while
