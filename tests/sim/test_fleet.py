"""A fleet under all that can happen to it. It checks the invariant itself, whenever the hardware changes."""

import random

import pytest

from eagent.mesh import epoch
from eagent.mesh.records import Power
from eagent.sim.fleet import DOMAIN, Fleet, Need, Network, Plan, phases

W = 1000
PLAN = Plan(12, reserve_mw=900 * W, nameplate_mw=6500 * W, grant_mw=3000 * W)
GOOD = Network()
ROUGH = Network(loss=0.2, doubled=0.1, delay_min_s=0.001, delay_max_s=2.0)


def steady(_name: str, _now_s: float) -> int:
    return 2000 * W


def fleet(seed: int = 1, *, network: Network = GOOD, need: Need = steady, hosts: int = 12, duty: int = 0) -> Fleet:
    made = Fleet(Plan(hosts, network=network, duty=duty), seed, need)
    made.run_until(lambda: made.are_open(1), 60)
    return made


def test_a_fleet_opens_its_first_epoch_and_gets_its_grants() -> None:
    made = fleet()
    assert set(made.rights_mw().values()) == {PLAN.grant_mw}


def test_the_same_seed_is_the_same_fleet() -> None:
    one, other = (fleet(5, network=ROUGH, need=phases(2, 1000 * W, 5000 * W, 20.0)) for _ in range(2))
    for each in (one, other):
        each.run(60)
    assert one.rights_mw() == other.rights_mw()
    assert one.messages == other.messages


def test_watts_flow_from_the_idle_to_the_busy_and_none_is_lost() -> None:
    made = fleet(need=lambda name, _now_s: (5000 if name < "n0004" else 1200) * W)
    made.run(120)
    rights_mw = made.rights_mw()
    assert sum(rights_mw.values()) == 12 * PLAN.grant_mw
    assert all(rights_mw[name] >= 5000 * W for name in made.names[:4])
    before = rights_mw
    made.run(60)
    assert made.rights_mw() == before  # at rest


def test_a_grant_above_the_nameplate_reaches_those_who_can_use_it() -> None:
    made = fleet(need=lambda _name, _now_s: PLAN.nameplate_mw)
    grants = {name: (14_500 if name == "n0007" else 2000) * W for name in made.names}
    table = made.sign(made.plan.others_mw + sum(grants.values()), grants)
    made.run_until(lambda: made.are_open(table.epoch), 60)
    made.run(60)
    rights_mw = made.rights_mw()
    assert rights_mw["n0007"] <= PLAN.nameplate_mw + PLAN.terms.lot_mw
    assert made.machines["n0007"].ceiling_mw == PLAN.nameplate_mw
    assert sum(rights_mw.values()) == sum(grants.values())


@pytest.mark.parametrize("network", [GOOD, ROUGH], ids=["good network", "bad network"])
def test_a_cut_reaches_all_and_holds(network: Network) -> None:
    made = fleet(network=network)
    grants = dict.fromkeys(made.names, 2000 * W)
    table = made.sign(made.plan.others_mw + sum(grants.values()), grants)
    made.run_until(lambda: made.are_open(table.epoch), 120)
    made.run(5)
    assert made.truth.completed == table
    assert sum(made.rights_mw().values()) == sum(grants.values())


def test_an_unreachable_host_holds_a_cut_up_until_it_is_back() -> None:
    made = fleet()
    made.part(["n0003"])
    table = made.sign(made.plan.others_mw + 12 * 2000 * W, dict.fromkeys(made.names, 2000 * W))
    made.run(60)
    assert made.truth.completed.epoch == 1
    rights_mw = made.rights_mw()
    assert rights_mw.pop("n0003") == PLAN.grant_mw
    assert set(rights_mw.values()) == {2000 * W}  # the others have sealed, and wait
    made.part([])
    made.run_until(lambda: made.are_open(table.epoch), 60)


def test_a_host_that_was_seen_off_does_not_hold_a_cut_up() -> None:
    made = fleet()
    made.cut("n0003")
    grants = dict.fromkeys(made.names, 2000 * W)
    table = made.sign(made.plan.others_mw + sum(grants.values()), grants)
    made.run(40)
    node = made.machines["n0000"].node
    assert node is not None
    standings = {
        name: standing
        for name, held in node.gossip.records.items()
        if (standing := held.record.payload.standing(DOMAIN)) is not None
    }
    certificate = epoch.certify(table, standings, ["n0003"])
    assert certificate is not None
    made.tell(certificate, ["n0000"])
    made.run_until(lambda: made.are_open(table.epoch), 60)
    made.start("n0003")
    made.run_until(lambda: made.are_open(table.epoch), 60)
    assert made.rights_mw()["n0003"] == PLAN.reserve_mw


def test_watts_of_a_dead_life_lie_unused_until_the_next_epoch() -> None:
    made = fleet()
    made.cut("n0003")
    made.run(5)
    made.start("n0003")
    made.run_until(lambda: made.are_open(1), 60)
    assert made.rights_mw()["n0003"] == PLAN.reserve_mw
    grants = dict.fromkeys(made.names, PLAN.grant_mw)
    table = made.sign(made.plan.others_mw + sum(grants.values()), grants)
    made.run_until(lambda: made.are_open(table.epoch), 60)
    assert made.rights_mw() == grants


def test_an_agent_that_is_started_anew_does_not_go_on_with_what_it_had_under_way() -> None:
    made = fleet(need=lambda name, _now_s: (5000 if name == "n0000" else 1200) * W)
    made.run_until(lambda: any(each.todo for each in made.machines.values()), 20, 0.01)
    name = next(name for name, each in made.machines.items() if each.todo)
    made.start(name)
    assert not made.machines[name].todo
    made.run_until(lambda: made.rights_mw()["n0000"] >= 5000 * W, 60)


def test_an_agent_that_dies_and_keeps_its_disk_goes_on_where_it_was() -> None:
    made = fleet()
    made.crash("n0003")
    made.run(3)
    made.start("n0003")
    made.run_until(lambda: made.are_open(1), 10)
    assert made.rights_mw()["n0003"] == PLAN.grant_mw


def powers(made: Fleet) -> dict[str, Power]:
    return {name: made.power(name) for name in made.names}


def test_a_host_yields_is_cut_comes_back_and_is_given_watts_again() -> None:
    made = fleet(need=lambda name, _now_s: (3500 if name == "n0003" else 1500) * W)
    made.run(30)
    total_mw = sum(made.rights_mw().values())
    made.idle.add("n0003")
    made.run_until(lambda: made.power("n0003") is Power.YIELDED, 30)
    assert made.rights_mw()["n0003"] == PLAN.reserve_mw
    assert sum(made.rights_mw().values()) == total_mw
    made.cut("n0003")
    made.idle.clear()
    made.run(90)
    others_mw = sum(mw for name, mw in made.rights_mw().items() if name != "n0003")
    made.start("n0003")
    made.run_until(lambda: made.rights_mw().get("n0003", 0) >= 3500 * W, 60)
    assert made.life("n0003") == "n0003x3"
    made.run(10)
    rights_mw = made.rights_mw()
    assert sum(rights_mw.values()) == total_mw
    assert sum(rights_mw.values()) - rights_mw["n0003"] < others_mw


@pytest.mark.parametrize("network", [GOOD, ROUGH], ids=["good network", "bad network"])
@pytest.mark.parametrize("duty", [0, 3])
def test_when_all_would_sleep_as_many_stay_awake_as_there_are_tokens(duty: int, network: Network) -> None:
    made = fleet(network=network, duty=duty)
    made.run(10)
    made.idle |= set(made.names)
    made.run(120)
    awake = [name for name, power in powers(made).items() if power is not Power.YIELDED]
    assert len(awake) == max(1, duty)
    rights_mw = made.rights_mw()
    assert all(mw == PLAN.reserve_mw for name, mw in rights_mw.items() if name not in awake)
    assert sum(rights_mw.values()) == 12 * PLAN.grant_mw
    stores = {name: each.disk[DOMAIN] for name, each in made.machines.items()}
    made.run(60)
    assert {name: each.disk[DOMAIN] for name, each in made.machines.items()} == stores  # at rest
    made.idle.clear()
    made.run(5)
    assert set(powers(made).values()) == {Power.AWAKE}


def test_hosts_go_on_to_sleep_when_the_first_that_had_a_token_is_long_off() -> None:
    made = fleet(duty=1)
    made.run(5)
    for name in ("n0000", "n0001"):
        made.idle.add(name)
        made.run_until(lambda: made.power(name) is Power.YIELDED, 60)  # noqa: B023  # called at once
        made.cut(name)
        made.run(90)
    made.idle.clear()
    made.start("n0000")
    made.idle.add("n0002")
    made.run_until(lambda: made.power("n0002") is Power.YIELDED, 60)


@pytest.mark.parametrize("seed", range(6))
def test_a_fleet_in_a_storm_keeps_its_budget_and_recovers(seed: int) -> None:
    made = fleet(seed, network=ROUGH, need=phases(seed, 1000 * W, 6000 * W, 15.0), hosts=10)
    rng = random.Random(seed)
    for _ in range(60):
        made.run(rng.uniform(0.5, 6))
        match rng.randrange(8):
            case 0:
                made.part(rng.sample(made.names, rng.randrange(6)))
            case 1 | 2:
                name = rng.choice(made.names)
                made.crash(name, loses_disk=rng.random() < 0.5)
                made.run(rng.uniform(0, 1))
                made.start(name)
            case 3:
                made.cut(rng.choice(made.names))
            case 4 if down := [name for name, each in made.machines.items() if not each.on]:
                made.start(rng.choice(down))
            case 5 if len(made.truth.tables) < 8:
                grants = {name: rng.randrange(900, 3500) * W for name in made.names}
                made.sign(made.plan.others_mw + sum(grants.values()), grants, to=rng.sample(made.names, 2))
            case 6:
                made.idle ^= set(rng.sample(made.names, 3))
            case _:
                pass
    made.part([])
    for name, each in made.machines.items():
        if not each.on:
            made.start(name)
    grants = dict.fromkeys(made.names, 2000 * W)
    table = made.sign(made.plan.others_mw + sum(grants.values()), grants)
    made.run_until(lambda: made.are_open(table.epoch), 300)
    assert made.truth.completed == table


def test_a_fleet_through_the_codec_is_the_same_fleet() -> None:
    made = []
    for wire in (False, True):
        each = Fleet(Plan(6, wire=wire), 3, phases(1, 1000 * W, 5000 * W, 10.0))
        each.run(40)
        made.append(each)
    assert made[0].rights_mw() == made[1].rights_mw()
    assert made[1].bytes > 0
