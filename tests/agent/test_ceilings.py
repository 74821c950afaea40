"""Ceilings brought about through a governor, while the warden dies, hangs or refuses between any two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent import wire
from eagent.agent import orders
from eagent.agent.ceilings import RETRY_S, Ceilings
from eagent.config import Config, Mesh
from eagent.errors import EagentError, ProtocolError, RefusedError, UnavailableError
from eagent.mesh.effects import SETTLE_NS, Lower, Raise, Store
from eagent.mesh.form import MOST_MW
from eagent.mesh.ledger import Ledger
from eagent.mesh.state import State
from eagent.mesh.store import Store as Files
from eagent.model import Budget, Knob
from eagent.policy.goals import Pin
from eagent.warden.budget import check_budget

W = 1000  # milliwatts
FIXED_W, SAFE_W = 500.0, 100.0
RESERVE_MW = 700 * W
MESH = Mesh(("rack",), "00" * 32, reserve_w=700, nameplate_w=1300, psu_efficiency=1.0)
STATE = State("a1", watts=Ledger(RESERVE_MW))


class World:
    """A host in the mesh, its ceilings, and what was done in which order. Sleep is written down and takes no time."""

    def __init__(self, host: Any, path: Path, mesh: Mesh = MESH) -> None:
        self.host = host
        self.warden, self.governor = host.warden, host.governor
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self.now_s = 100.0
        asyncio.run(self.turn())
        self.warden.log.clear()
        files = Files(path, "boot-1", "n01")
        self.ceilings = Ceilings(self.governor, host.config, mesh, files, self.clock, self.sleep)

    def clock(self) -> int:
        return int(self.now_s * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.warden.log.append(("sleep", seconds))
        self.on_sleep()
        if not self.warden.connected and self.warden.here:
            await self.turn()

    async def turn(self, *watts: float) -> None:
        self.now_s += 10
        await self.host.turn(self.now_s, *watts)

    def perform(self, *effects: Any) -> None:
        async def work() -> None:
            for effect in effects:
                await self.ceilings.perform(effect)

        asyncio.run(work())

    def kinds(self) -> list[str]:
        return [entry[0] for entry in self.warden.log]

    @property
    def envelopes_w(self) -> list[float]:
        return [entry[1].envelope_w for entry in self.warden.log if entry[0] == "budget_set"]


@pytest.fixture
def new_world(new_host: Any, tmp_path: Path) -> Any:
    """Makes worlds; a budget given stands in the warden from before."""

    def make(budget: Budget | None = None, mesh: Mesh = MESH, *devices: Any) -> World:
        host = new_host(*devices, fixed_w=FIXED_W, safe_cap_w=SAFE_W, mesh=mesh)
        host.warden.budget = budget
        return World(host, tmp_path, mesh)

    return make


def budget(envelope_w: float) -> Budget:
    return Budget(FIXED_W + envelope_w, FIXED_W, {"GPU-00aa": SAFE_W, "GPU-01aa": SAFE_W})


class Once:
    """Raises what it is told to, once, before or after the warden has done what it was asked for."""

    def __init__(self, warden: Any, problem: EagentError, *, after: bool = False, times: int = 1) -> None:
        self.warden, self.problem, self.after, self.times = warden, problem, after, times
        self.real = warden.set_budget
        warden.set_budget = self

    async def __call__(self, asked: Budget) -> bool:
        self.times -= 1
        if self.times < 0:
            return bool(await self.real(asked))
        if self.after:
            await self.real(asked)
        if not isinstance(self.problem, RefusedError):
            self.warden.connected = False
        raise self.problem


# --- What the ceilings begin with ---


def test_without_a_budget_nothing_bounds_the_host(new_world: Any) -> None:
    assert new_world().ceilings.in_force_mw == MOST_MW


def test_a_budget_of_before_is_what_is_in_force_whatever_fixed_draw_it_was_made_with(new_world: Any) -> None:
    assert new_world(Budget(900, 300, {})).ceilings.in_force_mw == 1100 * W


def test_watts_at_the_wall_are_those_of_the_devices_over_the_efficiency(new_world: Any) -> None:
    world = new_world(mesh=replace(MESH, psu_efficiency=0.9, reserve_w=800))
    assert world.ceilings.wall_mw([90, 90]) == 700 * W
    assert world.ceilings.wall_mw([90.0001, 90]) == 700 * W + 2  # the worse of two roundings


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"fixed_w": None}, r"\[host\] fixed_w is missing"),
        ({"fixed_w": 500.001}, r"reserve_w = 700: at its safe caps this host may draw 700.001 W"),
        ({"safe_cap_w": 150.0}, "may draw 800 W"),
    ],
)
def test_a_reserve_below_what_the_host_falls_to_by_itself_is_refused(
    new_host: Any, tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    options = {"fixed_w": FIXED_W, "safe_cap_w": SAFE_W, **changes}
    with pytest.raises(RefusedError, match=line):
        World(new_host(**options), tmp_path)


def test_a_device_that_can_not_be_capped_counts_in_full(new_host: Any, new_device: Any, tmp_path: Path) -> None:
    devices = new_device(0), new_device(1, writable=False, why="no privilege")
    with pytest.raises(RefusedError, match="may draw 1000 W"):
        World(new_host(*devices, fixed_w=FIXED_W, safe_cap_w=SAFE_W), tmp_path)


def test_a_gpu_that_does_not_answer_counts_at_what_the_warden_keeps_back_for_it(new_host: Any, tmp_path: Path) -> None:
    host = new_host(fixed_w=FIXED_W, safe_cap_w=SAFE_W)
    host.warden.reserved_mw = 400 * W
    with pytest.raises(RefusedError, match="may draw 1100 W"):
        World(host, tmp_path)


# --- One step after the other ---


def test_lowering_settles_for_a_second_and_storing_follows(new_world: Any, tmp_path: Path) -> None:
    world = new_world()
    world.perform(Lower("rack", RESERVE_MW), Store("rack", STATE))
    assert world.kinds() == ["budget_set", "sleep"]
    assert world.slept == [SETTLE_NS / 1e9]
    assert world.envelopes_w == [200.0]
    assert Files(tmp_path, "boot-1", "n01").load("rack") == STATE


def test_a_lowering_that_has_nothing_to_lower_is_done_at_once_after_the_first(new_world: Any) -> None:
    world = new_world(budget(600))
    world.perform(Lower("rack", 1100 * W))  # unchanged, but nobody knows since when
    assert world.slept == [SETTLE_NS / 1e9]
    world.warden.log.clear()
    world.perform(Lower("rack", 1100 * W), Lower("rack", 1300 * W))
    assert world.kinds() == []
    world.perform(Lower("rack", 1099 * W))
    assert world.slept == [SETTLE_NS / 1e9] * 2
    world.warden.budget = None
    asyncio.run(world.turn())  # the warden has lost it: nothing is taken for settled
    world.perform(Lower("rack", 1099 * W))
    assert world.slept == [SETTLE_NS / 1e9] * 3
    assert world.warden.budget is not None


def test_lowering_never_raises(new_world: Any) -> None:
    world = new_world(budget(300))
    world.perform(Lower("rack", 1300 * W))
    assert world.envelopes_w == [300.0]
    assert world.ceilings.in_force_mw == 800 * W


def test_a_lease_is_lowered_before_the_budget_that_it_would_not_fit_into(new_world: Any) -> None:
    world = new_world(budget(700))
    asyncio.run(world.turn(350, 350))
    before = world.warden.leases[-1]
    assert sum(before.values()) > 500 * W
    world.warden.log.clear()
    world.perform(Lower("rack", 1000 * W))
    assert world.kinds()[:2] == ["lease", "budget_set"]
    assert sum(world.warden.leases[0].values()) <= 500 * W


def test_while_the_mesh_is_waited_for_lowering_asks_for_no_lease(new_world: Any) -> None:
    world = new_world(budget(700))
    world.governor.waiting = "the mesh"
    asyncio.run(world.turn(350, 350))
    world.perform(Lower("rack", RESERVE_MW))
    asyncio.run(world.turn(350, 350))
    assert world.warden.leases == []


def test_no_lease_is_above_the_ceiling_before_during_and_after_a_raise(new_world: Any) -> None:
    world = new_world(budget(300))
    asyncio.run(world.turn(350, 350))
    Once(world.warden, UnavailableError("no answer"))
    world.perform(Raise("rack", 1000 * W))
    raised = world.kinds().index("budget_set")
    asyncio.run(world.turn(350, 350))
    leases = [(place, sum(entry[1].values())) for place, entry in enumerate(world.warden.log) if entry[0] == "lease"]
    assert all(total <= 300 * W for place, total in leases if place < raised)
    assert 300 * W < leases[-1][1] <= 500 * W


# --- The warden dies, hangs or refuses ---


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "problem", [UnavailableError("no answer in 6 s"), ProtocolError("can't be read"), RefusedError("a full disk")]
)
def test_what_must_be_lowered_is_tried_until_it_is_and_nothing_is_stored_before(
    new_world: Any, tmp_path: Path, problem: EagentError, *, after: bool
) -> None:
    world = new_world(budget(700))
    Once(world.warden, problem, after=after, times=3)
    seen: list[tuple[str | None, int, bool]] = []
    world.on_sleep = lambda: seen.append(
        (world.ceilings.problem, world.ceilings.in_force_mw, (tmp_path / "rack.state").exists())
    )
    world.perform(Lower("rack", RESERVE_MW), Store("rack", STATE))
    assert world.slept == [RETRY_S] * 3 + [SETTLE_NS / 1e9]
    assert seen[:3] == [(str(problem), 1200 * W, False)] * 3  # it counts as not lowered, though it may have been
    assert (world.ceilings.problem, world.ceilings.in_force_mw) == (None, RESERVE_MW)
    assert world.warden.budget == budget(200)


def test_limits_that_are_not_read_back_are_not_lowered_yet(new_world: Any) -> None:
    world = new_world(budget(700))
    world.warden.in_force = False
    seen: list[str | None] = []

    def heal() -> None:
        seen.append(world.ceilings.problem)
        world.warden.in_force = len(world.slept) >= 2

    world.on_sleep = heal
    world.perform(Lower("rack", RESERVE_MW))
    assert world.slept == [RETRY_S, RETRY_S, SETTLE_NS / 1e9]
    assert seen[:2] == ["the limits have not been read back under the lower ceiling yet"] * 2


def test_a_lowering_after_another_is_not_done_either_before_it_is_read_back(new_world: Any) -> None:
    world = new_world(budget(600))
    world.perform(Lower("rack", 1000 * W))
    world.warden.in_force = False

    def read_back() -> None:
        world.warden.in_force = len(world.slept) >= 4  # one second of settling before, and three tries

    world.on_sleep = read_back
    world.perform(Lower("rack", 900 * W))
    assert world.slept == [SETTLE_NS / 1e9, *[RETRY_S] * 3, SETTLE_NS / 1e9]


def test_a_ceiling_that_was_put_back_settles_before_anything_is_taken_for_lowered(new_world: Any) -> None:
    world = new_world(budget(600))
    world.perform(Lower("rack", 1000 * W))
    world.warden.budget = None
    asyncio.run(world.turn())
    asyncio.run(world.ceilings.keep())
    assert world.warden.budget is not None
    world.slept.clear()
    world.perform(Lower("rack", 1000 * W))
    assert world.slept == [SETTLE_NS / 1e9]


@pytest.mark.parametrize("problem", [UnavailableError("no answer"), ProtocolError("can't be read")])
def test_a_raise_that_is_not_answered_counts_as_done_and_is_asked_for_again(
    new_world: Any, problem: EagentError
) -> None:
    world = new_world(budget(200))
    Once(world.warden, problem, after=True)
    seen: list[int] = []
    world.on_sleep = lambda: seen.append(world.ceilings.in_force_mw)
    world.perform(Raise("rack", 900 * W))
    assert seen == [900 * W]
    assert world.envelopes_w == [400.0, 400.0]


def test_a_raise_that_is_refused_is_said_and_no_more_tried(new_world: Any) -> None:
    world = new_world(budget(200))
    Once(world.warden, RefusedError("it can't be stored"))
    with pytest.raises(RefusedError):
        world.perform(Raise("rack", 900 * W))
    assert world.ceilings.problem == "it can't be stored"
    assert world.slept == []
    assert world.ceilings.in_force_mw == RESERVE_MW
    world.perform(Raise("rack", 800 * W))
    assert (world.warden.budget, world.ceilings.problem) == (budget(300), None)


@pytest.mark.parametrize("waiting", [None, "the mesh"])
def test_a_refused_lowering_leaves_the_governor_by_the_budget_that_stands(new_world: Any, waiting: str | None) -> None:
    world = new_world(budget(700))
    world.governor.waiting = waiting
    asyncio.run(world.turn(350, 350))
    Once(world.warden, RefusedError("no"))
    with pytest.raises(RefusedError):
        asyncio.run(orders.set_budget(world.governor, budget(300), world.clock()))
    assert world.governor.budget == budget(700)
    world.governor.waiting = None
    asyncio.run(world.turn(350, 350))
    assert sum(world.warden.leases[-1].values()) > 500 * W


def test_after_a_lowering_without_an_answer_leases_go_by_what_the_warden_says(
    new_world: Any,
) -> None:
    world = new_world(budget(700))
    asyncio.run(world.turn(350, 350))
    world.warden.log.clear()
    Once(world.warden, UnavailableError("no answer"), after=True)
    with pytest.raises(UnavailableError):
        asyncio.run(orders.set_budget(world.governor, budget(300), world.clock()))
    asyncio.run(world.turn(350, 350))
    assert world.governor.budget == budget(300)
    assert all(sum(lease.values()) <= 300 * W for lease in world.warden.leases)


def test_what_can_not_be_stored_is_tried_again(new_world: Any, tmp_path: Path) -> None:
    world = new_world()
    (tmp_path / "rack.state.new").mkdir()
    world.on_sleep = lambda: (tmp_path / "rack.state.new").rmdir()
    world.perform(Store("rack", STATE))
    assert world.slept == [RETRY_S]
    assert Files(tmp_path, "boot-1", "n01").load("rack") == STATE


# --- Two domains ---


def test_the_least_ceiling_of_two_domains_binds(new_world: Any) -> None:
    world = new_world(mesh=replace(MESH, domains=("rack", "site")))
    world.perform(Lower("rack", 900 * W), Lower("site", 800 * W), Raise("rack", 1300 * W))
    assert world.envelopes_w == [400.0, 300.0, 300.0]
    world.perform(Raise("site", 1200 * W))
    assert world.ceilings.in_force_mw == 1200 * W


# --- A ceiling that is lost ---


def test_a_ceiling_that_the_warden_lost_is_set_again(new_world: Any) -> None:
    world = new_world(budget(700))
    world.perform(Lower("rack", RESERVE_MW))
    for lost in (None, budget(700), budget(200.001), budget(199)):
        world.warden.budget = lost
        asyncio.run(world.turn())
        world.warden.log.clear()
        asyncio.run(world.ceilings.keep())
        assert world.warden.budget == budget(200)
    world.warden.log.clear()
    asyncio.run(world.ceilings.keep())
    assert world.warden.log == []


@pytest.mark.parametrize("lost", [None, budget(700)])
@pytest.mark.parametrize("lowered", [True, False])
def test_nothing_is_leased_above_a_ceiling_that_the_warden_has_lost(
    new_world: Any, lost: Budget | None, lowered: bool
) -> None:
    world = new_world(budget(700) if lowered else budget(200))
    if lowered:
        world.perform(Lower("rack", RESERVE_MW))
    world.governor.pins["GPU-00aa"] = Pin("GPU-00aa", 400.0, None)
    world.warden.close()  # its files are gone, and it was started again
    world.warden.budget = lost
    world.warden.log.clear()
    asyncio.run(world.turn(350, 350))
    asyncio.run(world.turn(350, 350))
    assert world.warden.leases == []
    asyncio.run(world.ceilings.keep())
    asyncio.run(world.turn(350, 350))
    assert {sum(lease.values()) for lease in world.warden.leases} == {200 * W}


def test_a_ceiling_that_can_not_be_put_back_is_said(new_world: Any) -> None:
    world = new_world(budget(200))
    world.warden.budget = None
    asyncio.run(world.turn())
    Once(world.warden, RefusedError("no"))
    with pytest.raises(RefusedError):
        asyncio.run(world.ceilings.keep())
    world.warden.connected = False
    asyncio.run(world.ceilings.keep())  # who is gone is met again first


# --- From permission to budget and back ---


@given(
    st.integers(0, 3000 * W),
    st.lists(st.integers(100 * W, 400 * W), min_size=1, max_size=8),
    st.lists(st.integers(100 * W, 400 * W), max_size=4),
    st.integers(500, 1000),
    st.integers(0, 3000 * W),
)
def test_what_the_warden_takes_never_exceeds_the_permission_and_the_reserve_is_never_refused(
    new_host: Any,
    new_device: Any,
    fixed_mw: int,
    caps_mw: list[int],
    uncapped_mw: list[int],
    permille: int,
    above_mw: int,
) -> None:
    capped = [new_device(n) for n in range(len(caps_mw))]
    others = [replace(new_device(n + 8, writable=False), max_limit_w=each / 1000) for n, each in enumerate(uncapped_mw)]
    capped = [replace(each, min_limit_w=cap / 1000) for each, cap in zip(capped, caps_mw, strict=True)]
    host = new_host(*capped, *others)
    asyncio.run(host.turn(1))
    config = Config(fixed_w=fixed_mw / 1000)
    generous = replace(MESH, psu_efficiency=permille / 1000, reserve_w=1_000_000.0)
    made = Ceilings(host.governor, config, generous, Files(Path("nowhere"), "", ""), lambda: 10**10)
    reserve_mw = made.wall_mw([each / 1000 for each in [*caps_mw, *uncapped_mw]])
    exact = replace(generous, reserve_w=reserve_mw / 1000)
    ceilings = Ceilings(host.governor, config, exact, Files(Path("nowhere"), "", ""), lambda: 10**10, _no_sleep)

    async def work() -> None:
        for ceiling_mw in (reserve_mw, reserve_mw + above_mw):
            await ceilings.perform(Raise("rack", ceiling_mw))
            taken = wire.unpack_budget(wire.pack_budget(host.warden.budget))
            check_budget(taken, host.devices)
            assert ceiling_mw - 3 <= ceilings.wall_mw([taken.envelope_w]) <= ceiling_mw

    asyncio.run(work())


async def _no_sleep(seconds: float) -> None:
    raise AssertionError(seconds)


def test_a_device_that_loses_its_knob_after_the_start_is_said(new_world: Any) -> None:
    world = new_world(budget(700))
    first, second = world.warden.devices
    world.warden.devices = first, replace(second, power_limit=Knob(False, "no privilege any more"))
    asyncio.run(world.turn())
    Once(world.warden, RefusedError("a budget of 700 W can't be kept"))
    seen: list[str | None] = []
    world.on_sleep = lambda: seen.append(world.ceilings.problem)
    world.perform(Lower("rack", RESERVE_MW))
    assert seen[0] == "a budget of 700 W can't be kept"
    assert world.warden.budget.safe_caps_w == {first.uuid: SAFE_W, second.uuid: SAFE_W}
