"""A host's part in the mesh: how it begins, what may be in the way, and what it tells of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagent.agent.member import WAITS
from eagent.demo.site import DOMAIN
from eagent.errors import ConfigError, EagentError, UnavailableError
from eagent.mesh.records import Power
from eagent.mesh.transport import clock_ns
from eagent.model import Budget, Reading, Status
from tests.agent.world import NAMEPLATE_W, RESERVE_W, TURNS, World, begun, envelope, running
from tests.api import described

pytest.importorskip("cryptography")


# --- How it begins ---


def test_a_host_begins_a_life_with_its_reserve_and_only_then_leases(world: World) -> None:
    world.warden.budget = envelope(800)  # of an earlier boot

    async def work(world: World) -> None:
        world.warden.log.clear()
        await world.turn(350, 350)
        assert world.governor.waiting == WAITS
        await world.until(lambda: begun(world))
        await world.turn(350, 350)
        assert world.domain["stage"] == "out"
        assert world.domain["rights_w"] == RESERVE_W

    world.live(work)
    assert world.asked_w[0] == 200.0
    assert len(world.asked_w) > 1
    assert max(world.asked_w) == 200.0
    assert world.transports[-1].closed


def test_no_lease_is_asked_for_while_the_reserve_is_not_in_force(world: World) -> None:
    world.warden.budget = envelope(800)
    world.warden.in_force = False

    async def work(world: World) -> None:
        await world.until(lambda: len([1 for entry in world.warden.log if entry[0] == "budget_set"]) > 3)
        assert world.warden.leases == []
        assert world.governor.waiting == WAITS
        assert any("not been read back" in line for line in world.member.alarms)
        assert world.domain["life"] is None
        world.warden.in_force = True
        await world.until(lambda: begun(world))

    world.live(work)
    assert world.member.alarms == []


def test_before_there_is_a_ceiling_a_host_may_draw_all_that_it_can_and_says_so(world: World) -> None:
    world.warden.refusal = "a full disk"

    async def work(world: World) -> None:
        await world.until(lambda: world.member.node is not None)
        assert world.member.status()["permission_w"] == NAMEPLATE_W

    world.live(work)


def test_an_agent_that_begins_again_goes_on_with_its_life_and_its_rights(world: World) -> None:
    async def first(world: World) -> None:
        await world.until(lambda: begun(world))
        world.table()
        await world.until(lambda: world.domain.get("rights_w") == 1000.0 and world.warden.budget == envelope(500))

    world.live(first)
    assert world.governor.waiting == WAITS
    world.warden.log.clear()
    world.born(world.mesh)

    async def second(world: World) -> None:
        await world.until(lambda: begun(world))
        assert (world.domain["rights_w"], world.domain["stage"], world.domain["epoch"]) == (1000.0, "open", 1)

    world.live(second)
    assert world.warden.budget == envelope(500)
    assert min(world.asked_w, default=500.0) == 500.0


@pytest.mark.parametrize("change", ["boot", "name", "lost", "raised"])
def test_what_speaks_for_another_life_is_worth_the_reserve(world: World, change: str) -> None:
    lives: list[str] = []

    async def first(world: World) -> None:
        await world.until(lambda: begun(world))
        world.table()
        await world.until(lambda: world.warden.budget == envelope(500))
        lives.append(world.domain["life"])

    world.live(first)
    mesh = world.mesh
    if change == "boot":
        world.governor.hello = replace(world.governor.hello, boot_id="boot-2")
    elif change == "name":
        mesh = replace(mesh, name="n02", key_file=world.site.home("n02") / "host.key")
    elif change == "lost":
        (world.path / "mesh" / f"{DOMAIN}.state").unlink()
    else:
        world.warden.budget = envelope(501)  # by a person, while the host was in no mesh
    world.warden.log.clear()
    world.born(mesh)

    async def second(world: World) -> None:
        await world.until(lambda: begun(world))
        assert world.domain["life"] not in (None, *lives)

    world.live(second)
    assert world.asked_w[0] == 200.0


# --- What is in the way ---


def break_key(world: World) -> None:
    (world.home / "host.key").unlink()


def break_roster(world: World) -> None:
    (world.home / "roster.toml").write_text("serial = 2\n")


@pytest.mark.parametrize(
    ("damage", "alarm"), [(break_key, "host.key: No such file"), (break_roster, "not signed"), (None, "port is taken")]
)
def test_a_host_that_can_not_join_keeps_to_its_reserve_all_the_same(
    world: World, damage: Callable[[World], None] | None, alarm: str
) -> None:
    if damage:
        damage(world)
    else:
        world.member._make_transport = refuse  # type: ignore[assignment]

    async def work(world: World) -> None:
        await world.until(lambda: world.warden.budget == envelope(200))
        told = world.member.status()
        assert (told["joined"], told["domains"], told["peers"], told["transport"]) == (False, [], [], None)
        assert any(alarm in line for line in world.member.alarms)
        await world.turn(350, 350)
        assert world.warden.leases == []

    world.live(work)


def refuse(*_: Any) -> Any:
    raise ConfigError("the port is taken")


def test_a_host_that_can_not_join_leaves_a_budget_as_it_stands(world: World) -> None:
    world.warden.budget = envelope(300)
    break_key(world)

    async def work(world: World) -> None:
        await world.until(lambda: any("host.key" in line for line in world.member.alarms))

    world.live(work)
    assert world.asked_w == []


def test_without_a_warden_it_waits_and_says_so(world: World) -> None:
    world.warden.here = False

    async def work(world: World) -> None:
        await world.until(lambda: world.member.alarms)
        assert world.member.alarms == ["mesh: waits for the warden"]
        world.warden.here = True
        await world.until(lambda: begun(world))

    world.live(work)


@pytest.mark.parametrize("changes", [{"fixed_w": None}, {"safe_cap_w": 150.0}])
def test_a_host_that_can_keep_no_ceiling_says_so_and_leases_nothing(new_world: Any, changes: dict[str, Any]) -> None:
    world = new_world(**changes)

    async def work(world: World) -> None:
        await world.until(lambda: world.member.alarms and "waits" not in world.member.alarms[0])
        assert world.governor.waiting == WAITS

    world.live(work)
    assert world.asked_w == []


def test_a_station_that_fails_is_begun_again_and_nothing_is_leased_meanwhile(world: World) -> None:
    async def work(world: World) -> None:
        await world.until(lambda: begun(world))

        async def gone() -> Any:
            raise UnavailableError("the socket is gone")

        world.transports[-1].receive = gone  # type: ignore[method-assign]
        world.transports[-1].arriving.put_nowait(("n02", b""))
        await world.until(lambda: len(world.transports) == 2)
        assert world.transports[0].closed
        await world.until(lambda: begun(world))

    world.live(work)


def test_a_fault_of_ours_ends_the_agent_and_is_not_passed_over(world: World) -> None:
    async def work(world: World) -> None:
        await world.until(lambda: begun(world))
        assert world.member.ceilings is not None
        world.member.ceilings.keep = broken  # type: ignore[method-assign]
        for _ in range(1000):
            await asyncio.sleep(0)

    with pytest.raises(ZeroDivisionError):
        world.live(work)


async def broken() -> None:
    raise ZeroDivisionError


def test_it_stops_while_a_lowering_is_tried_again_and_again(world: World) -> None:
    world.warden.in_force = False

    async def work(world: World) -> None:
        await world.until(lambda: world.member.alarms and "not been read back" in world.member.alarms[0])

    world.live(work)
    assert world.governor.waiting == WAITS
    assert not (world.path / "mesh").exists()


def test_it_stops_in_the_middle_of_an_effect_and_the_next_process_goes_by_what_came_of_it(world: World) -> None:
    real = world.warden.set_budget
    hangs = asyncio.Event()

    async def set_budget(budget: Budget) -> bool:
        await real(budget)
        await hangs.wait()
        return True

    world.warden.set_budget = set_budget
    world.warden.budget = envelope(800)

    async def work(world: World) -> None:
        for _ in range(TURNS):
            if world.asked_w:
                break
            await asyncio.sleep(0)

    world.live(work)
    assert world.warden.budget == envelope(200)
    world.warden.set_budget = real
    world.warden.connected = False  # the request was given up half-way
    world.born(world.mesh)

    async def second(world: World) -> None:
        await world.until(lambda: begun(world))

    world.live(second)
    assert world.domain == {}
    assert max(world.asked_w) == 200.0


def test_a_ceiling_that_the_warden_lost_comes_back_while_it_takes_part(world: World) -> None:
    async def work(world: World) -> None:
        await world.until(lambda: begun(world))
        world.warden.budget = None
        await world.turn()
        await world.until(lambda: world.warden.budget == envelope(200))
        world.warden.budget, world.warden.refusal = None, "a full disk"
        await world.turn()
        await world.until(lambda: "mesh: a full disk" in world.member.alarms)
        world.warden.refusal = None
        await world.until(lambda: world.warden.budget == envelope(200) and not world.member.alarms)

    world.live(work)


# --- What it tells of itself ---


def resting(world: World, **changes: Any) -> None:
    """Let the GPUs be idle by all evidence, and the CPUs, too."""
    ok = Reading(0.0, Status.OK, "test")
    idle = {"gpu_utilisation": ok, "busy_share": ok, "compute_processes": ok, "power_mean_w": replace(ok, value=50.0)}
    state = world.governor.state
    devices = tuple(replace(each, **{**idle, **changes}) for each in state.devices)
    world.governor.state = replace(state, devices=devices, busy_cpus=ok)


@pytest.mark.parametrize(
    ("mode", "halted", "power"),
    [("observe", None, Power.AWAKE), ("act", None, Power.YIELDING), ("act", "halted", Power.AWAKE)],
)
def test_a_host_yields_only_if_its_operator_lets_it_and_nothing_is_halted(
    new_world: Any, mode: str, halted: str | None, power: Power
) -> None:
    world = new_world(mode_sleep=mode, sleep_after_s=60.0)

    async def work(world: World) -> None:
        world.governor.halted = halted
        assert world.member.node is not None
        for wanted in (False, True):
            resting(world)
            world.member._observe()
            assert world.member.rest.wanted is wanted
            assert world.member.node.observed.power is (power if wanted else Power.AWAKE)
            world.now_s += 60
        assert world.member.sleeps is (power is Power.YIELDING)

    with running(world) as steps:
        steps.append(work)


def test_what_can_not_be_read_keeps_it_awake_and_begins_the_wait_anew(new_world: Any) -> None:
    world = new_world(mode_sleep="act", sleep_after_s=60.0)

    async def work(world: World) -> None:
        missing = Reading(None, Status.STALE, "test")
        for changes, wanted in (({}, False), ({"compute_processes": missing}, False), ({}, False), ({}, True)):
            resting(world, **changes)
            world.now_s += 60
            world.member._observe()
            assert world.member.rest.wanted is wanted

    with running(world) as steps:
        steps.append(work)


@pytest.mark.parametrize(("away_s", "wanted"), [(9, True), (11, False)])
def test_an_agent_that_stood_still_begins_the_wait_anew(
    new_world: Any, monkeypatch: pytest.MonkeyPatch, away_s: int, wanted: bool
) -> None:
    world = new_world(mode_sleep="act", sleep_after_s=60.0)

    async def work(world: World) -> None:
        resting(world)
        world.member._observe()
        world.now_s += 60
        now_ns = clock_ns() + away_s * 1_000_000_000
        monkeypatch.setattr("eagent.agent.member.clock_ns", lambda: now_ns)
        world.member._observe()  # by a state of before: no turn has been taken since
        assert world.member.rest.wanted is wanted
        assert world.member.node.observed.power is (Power.YIELDING if wanted else Power.AWAKE)

    with running(world) as steps:
        steps.append(work)


def test_rest_is_not_counted_while_nobody_looks(new_world: Any) -> None:
    world = new_world(sleep_after_s=60.0)

    async def again(world: World) -> None:
        resting(world)
        world.member._observe()
        since_ns = world.member.rest.since_ns
        world.now_s += 3600

        async def gone() -> Any:
            raise UnavailableError("the socket is gone")

        world.transports[-1].receive = gone  # type: ignore[method-assign]
        world.transports[-1].arriving.put_nowait(("n02", b""))
        while len(world.transports) < 2 or not begun(world):
            await asyncio.sleep(0)  # without a turn of the governor, which would see work
        assert not world.member.rest.wanted
        assert world.member.rest.since_ns == int(world.now_s * 1e9) != since_ns

    with running(world) as steps:
        steps.append(again)


def test_watts_of_devices_are_told_whole_or_not_at_all(world: World) -> None:
    async def work(world: World) -> None:
        assert world.member.node is not None
        resting(world)
        first, second = world.governor.state.devices
        world.member._observe()
        assert world.member.node.observed.power_w == 100.0
        gone = replace(second, power_mean_w=Reading(None, Status.GPU_LOST, "test"))
        world.governor.state = replace(world.governor.state, devices=(first, gone))
        world.member._observe()
        assert world.member.node.observed.power_w is None
        assert world.member.node.observed.limits_w is None

    with running(world) as steps:
        steps.append(work)


def test_every_error_of_a_start_is_one_line(world: World) -> None:
    def fail(*_: Any) -> Any:
        raise EagentError("it is so")

    world.member._make_transport = fail  # type: ignore[assignment]

    async def work(world: World) -> None:
        await world.until(lambda: world.member.alarms)
        assert world.member.alarms == ["mesh: it is so"]

    world.live(work)


def test_what_is_told_of_the_mesh_is_what_the_api_describes(world: World) -> None:
    told = described.shut(described.AGENT)
    schemas = told["components"]["schemas"]

    def check() -> None:
        whole = {"simulated": True, "halted": None, **world.member.status()}
        assert described.problems(told, schemas["Mesh"], whole) == []
        assert described.problems(told, schemas["MeshSummary"], world.member.summary()) == []
        assert described.problems(told, schemas["Sleep"], world.member.plan()) == []

    check()

    async def work(world: World) -> None:
        await world.until(lambda: begun(world))
        check()
        world.table()
        await world.until(lambda: world.domain.get("rights_w") == 1000.0)
        assert [set(domain["lines"]) for domain in world.member.status()["domains"]] == [{"n01"}]
        check()

    world.live(work)
