"""The service as the API calls it, over a governor that a test steps."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eagent.agent.agent import Agent
from eagent.agent.footprint import PAGE_B, Footprints
from eagent.errors import InputError, RefusedError, UnavailableError
from eagent.model import Budget, Knob
from eagent.policy.goals import Hint
from eagent.wish import Wish

SECOND_NS = 1_000_000_000
FIRST, SECOND = "GPU-00aa", "GPU-01aa"


class Clock:
    def __init__(self) -> None:
        self.now_ns = 2 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


def agent_of(host: Any, clock: Clock | None = None) -> Agent:
    calendar = datetime(2026, 7, 22, 10, 0, tzinfo=UTC)
    return Agent(host.governor, host.config, clock or Clock(), lambda: calendar, "c01")


def test_a_status_tells_host_warden_and_devices(host: Any) -> None:
    host.ring.stats |= {"started_ns": 1, "read_ns": 20_000_000, "write_ns": 0, "missed": 3, "lateness_max_ns": 400_000}
    asyncio.run(host.turn(2, 312.4, 60))
    status = agent_of(host).status()
    assert json.loads(json.dumps(status, allow_nan=False)) == status
    assert (status["host"], status["simulated"], status["time"]) == ("c01", False, "2026-07-22T10:00:00.000+00:00")
    assert status["warden"] == {
        "connected": True,
        "why": None,
        "role": "operator",
        "stale_s": 0.0,
        "halves": {"reading": {"silent_s": 0.0, "hangs": False}, "writing": {"silent_s": 0.0, "hangs": False}},
        "nvml_time_share": pytest.approx(0.01),
        "lateness_max_s": 0.0004,
        "missed_periods": 3,
        "read_errors": 0,
        "write_errors": 0,
    }
    assert (status["budget"], status["lease"], status["alarms"]) == (None, None, [])
    first = status["devices"][0]
    assert (first["device"], first["uuid"], first["pci_bus_id"]) == ("gpu0", FIRST, "00000000:03:00.0")
    assert first["readings"]["power"] == {
        "value": pytest.approx(312.4),
        "unit": "W",
        "status": "ok",
        "sensor": "nvml instant",
        "window_s": 0.025,
        "age_s": 0.0,
    }
    assert first["readings"]["temperature"] == {
        "value": None,
        "unit": "°C",
        "status": "missing",
        "sensor": "",
        "window_s": 0.0,
        "age_s": None,
    }
    assert first["power_limit"] == {
        "requested_w": 400.0,
        "enforced_w": 400.0,
        "age_s": 0.0,
        "ours_w": None,
        "baseline_w": 400.0,
        "min_w": 100,
        "max_w": 400,
        "state": "baseline",
        "writable": True,
        "why": "",
        "exposure": {"seconds": 0.0, "joules": 0.0, "now": False},
        "foreign": None,
    }


def test_a_status_tells_what_eagent_costs_and_what_it_misses(host: Any, tmp_path: Path) -> None:
    stats = {"started_ns": 1, "read_ns": 9_000_000, "write_ns": 1_000_000, "refreshes": 5, "reads": 8, "writes": 2}
    host.ring.stats |= stats | {"lateness": [0] * 5 + [3] + [0] * 14, "cpu_ns": 4_000_000}
    asyncio.run(host.turn(1, 200, 60))
    host.ring.stats = {**host.ring.stats, "read_ns": 14_000_000, "refreshes": 15, "refreshes_missed": 6}
    host.ring.stats |= {"refreshes_shed": 5, "shed_since_ns": SECOND_NS, "lateness": [0] * 5 + [4] + [0] * 14}
    asyncio.run(host.turn(2, 200, 60))
    footprints = Footprints(tmp_path)
    cost = Agent(host.governor, host.config, Clock(), footprints=footprints).status()["cost"]
    assert json.loads(json.dumps(cost, allow_nan=False)) == cost
    assert cost["read_share"] == {
        "value": pytest.approx(0.005),
        "unit": "ratio",
        "status": "ok",
        "sensor": "warden's loop",
        "window_s": 1.0,
        "age_s": 0.0,
    }
    assert cost["write_share"]["value"] == 0.0
    assert cost["read_share_since_start"] == pytest.approx(0.007)
    assert cost["write_share_since_start"] == pytest.approx(0.0005)
    assert (cost["read_s"], cost["write_s"], cost["loop_cpu_s"]) == (0.014, 0.001, 0.004)
    assert (cost["reads"], cost["writes"]) == (8, 2)
    assert (cost["refreshes_caught"], cost["refreshes_missed"], cost["refreshes_shed"]) == (15, 6, 5)
    assert (cost["unseen_share"]["value"], cost["shed_share"]["value"]) == (
        pytest.approx(1 / 16),
        pytest.approx(5 / 16),
    )
    assert (cost["shedding_s"], cost["lateness_p99"]["value"]) == (1.0, 32e-6)
    assert cost["lateness"][5] == 4
    assert cost["processes"] == {"warden": None, "agent": None}, "an empty /proc shows nobody"


def test_what_eagent_costs_is_not_known_before_there_is_a_ring(host: Any) -> None:
    host.warden.here = False
    cost = agent_of(host).status()["cost"]
    shares = ("read_share", "write_share", "unseen_share", "shed_share", "lateness_p99")
    assert {cost[name]["status"] for name in shares} == {"missing"}
    told = {name: value for name, value in cost.items() if name not in (*shares, "processes")}
    assert set(told.values()) == {None}


def test_the_processes_of_eagent_are_told_by_name(host: Any, tmp_path: Path) -> None:
    for pid, pages in ((4711, 100), (os.getpid(), 200)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (eagent) R {'0 ' * 10}50 50 {'0 ' * 6}9 0 {pages} 0\n")
    asyncio.run(host.turn(2))
    footprints = Footprints(tmp_path)
    processes = Agent(host.governor, host.config, Clock(), footprints=footprints).status()["cost"]["processes"]
    assert (processes["warden"]["pid"], processes["agent"]["pid"]) == (4711, os.getpid())
    assert processes["agent"]["resident_b"] == 2 * processes["warden"]["resident_b"] == 200 * PAGE_B
    assert (processes["warden"]["cpu_share"]["status"], processes["warden"]["cpu_share"]["unit"]) == ("ok", "ratio")


def test_before_the_warden_answers_there_is_a_status_that_says_so(host: Any) -> None:
    host.warden.here = False
    asyncio.run(host.turn(2))
    status = agent_of(host).status()
    assert status["warden"]["connected"] is False
    assert status["warden"]["stale_s"] is None
    assert status["devices"] == []
    assert any("no warden" in alarm for alarm in status["alarms"])


def test_what_a_lost_warden_said_of_its_knobs_is_not_told_as_now(host: Any) -> None:
    asyncio.run(host.turn(2, 200, 60))
    host.warden.close()
    limit = agent_of(host).status()["devices"][0]["power_limit"]
    assert (limit["state"], limit["ours_w"], limit["baseline_w"]) == ("unknown", None, None)
    assert limit["requested_w"] == 400, "the ring is fresh, and tells"


def test_a_simulated_host_is_called_simulated(host: Any) -> None:
    host.warden.simulated = True
    asyncio.run(host.turn(2))
    assert agent_of(host).status()["simulated"] is True


def test_a_budget_is_told_with_what_is_spent_of_it(new_host: Any, new_device: Any) -> None:
    host = new_host(new_device(0), new_device(1, writable=False))
    host.warden.budget = Budget(1400, 400, {FIRST: 150})
    host.ring.show(0, 200, 2 * SECOND_NS, limit_w=250)
    asyncio.run(host.turn(2))
    assert agent_of(host).status()["budget"] == {
        "budget_w": 1400,
        "fixed_w": 400,
        "envelope_w": 1000,
        "limits_w": 650,
        "reserved_w": 650,
        "headroom_w": 350,
        "safe_caps_w": {FIRST: 150},
    }


def test_while_the_writing_half_hangs_nothing_that_it_had_read_is_told_and_its_watts_stay_counted(host: Any) -> None:
    host.warden.budget = Budget(1400, 400, {FIRST: 150, SECOND: 150})
    asyncio.run(host.turn(2, 200, 60))
    before = agent_of(host).status()
    clock = Clock()
    clock.now_ns = 7 * SECOND_NS
    host.ring.stats = {**host.ring.stats, "heartbeat_ns": 7 * SECOND_NS}  # the other half reads on
    asyncio.run(host.turn(7))
    status = agent_of(host, clock).status()
    assert status["warden"]["halves"]["writing"] == {"silent_s": 5.0, "hangs": True}
    assert not status["warden"]["halves"]["reading"]["hangs"]
    limit = status["devices"][0]["power_limit"]
    assert (limit["requested_w"], limit["enforced_w"], limit["age_s"]) == (None, None, None)
    assert limit["why"] == "not read back: the warden's writing half hangs"
    assert (limit["baseline_w"], limit["state"]) == (400, "baseline")
    assert status["budget"]["limits_w"] is None
    assert status["budget"]["reserved_w"] == before["budget"]["limits_w"] == 800
    assert any("writing half hangs in a call of the driver for 5 s" in alarm for alarm in status["alarms"])


def test_a_lease_is_told_by_the_time_it_has_left(host: Any) -> None:
    clock = Clock()
    agent = agent_of(host, clock)
    asyncio.run(host.turn(1))
    agent.set_pin("gpu0", 250, None)
    asyncio.run(host.turn(2))
    assert agent.status()["lease"] == {"until_s": 8.0}
    clock.now_ns = 11 * SECOND_NS
    assert agent.status()["lease"] is None


def test_an_explanation_tells_who_won_who_lost_and_until_when(host: Any) -> None:
    host.warden.budget = Budget(1000, 400, {FIRST: 150, SECOND: 150})
    agent = agent_of(host)
    asyncio.run(host.turn(2, 200, 60))
    agent.set_pin(FIRST, 250, 60)
    asyncio.run(host.turn(2, 200, 60))
    explained = agent.explain("0")
    knob, clock = explained["knobs"]
    assert (clock["knob"], clock["winner"]) == ("gpu_clock", None)
    assert (explained["device"], knob["knob"], knob["decided"]) == ("gpu0", "power_limit", 250)
    assert knob["winner"]["policy"] in ("pin", "budget")
    by_policy = {each["policy"]: each for each in (knob["winner"], *knob["losers"])}
    assert by_policy["pin"] == {
        "policy": "pin",
        "priority": "pin",
        "low": 250,
        "high": 250,
        "until_s": 60.0,
        **{key: by_policy["pin"][key] for key in ("reason", "fate") if key in by_policy["pin"]},
    }
    assert by_policy["budget"]["priority"] == "budget"
    assert json.dumps(explained, allow_nan=False)


def test_an_explanation_without_any_wish_has_no_winner(host: Any) -> None:
    asyncio.run(host.turn(2, 200, 60))
    knob, _ = agent_of(host).explain("gpu0")["knobs"]
    assert (knob["winner"], knob["losers"], knob["decided"], knob["value"]) == (None, [], None, 400.0)


def test_an_explanation_says_why_a_limit_cannot_be_set(new_host: Any, new_device: Any) -> None:
    host = new_host(new_device(0, writable=False, why="needs root"))
    asyncio.run(host.turn(2, 200))
    knob, _ = agent_of(host).explain("gpu0")["knobs"]
    assert knob["note"] == "the power limit can't be set here: needs root"


def test_an_unknown_device_cannot_be_explained_or_pinned(host: Any) -> None:
    asyncio.run(host.turn(2))
    agent = agent_of(host)
    for ask in (
        lambda: agent.explain("gpu9"),
        lambda: agent.set_pin("gpu9", 200, None),
        lambda: agent.clear_pin("gpu9"),
    ):
        with pytest.raises(InputError, match="no device 'gpu9'"):
            ask()


def test_a_pin_is_held_until_its_time(host: Any) -> None:
    clock = Clock()
    agent = agent_of(host, clock)
    asyncio.run(host.turn(2))
    told = {"device": "gpu1", "uuid": SECOND, "limit_w": 220, "clock_mhz": None, "until_s": 5}
    assert agent.set_pin("gpu1", 220, 5) == told
    asyncio.run(host.turn(3))
    assert host.warden.leases[-1] == {SECOND: 220_000}
    asyncio.run(host.turn(7))
    assert host.warden.log[-1] == ("release",)


def test_a_pin_is_held_until_it_is_cleared(host: Any) -> None:
    agent = agent_of(host)
    asyncio.run(host.turn(2))
    agent.set_pin("gpu1", 220, None)
    asyncio.run(host.turn(9))
    assert host.warden.leases
    agent.clear_pin("gpu1")
    agent.clear_pin("gpu1")
    asyncio.run(host.turn(9.1))
    assert host.warden.log[-1] == ("release",)


def test_a_pin_outlasts_that_its_gpu_is_detached_and_none_is_set_meanwhile(host: Any) -> None:
    agent = agent_of(host)
    asyncio.run(host.turn(1, 300, 300))
    agent.set_pin("gpu1", 220, None)
    asyncio.run(host.turn(2, 300, 300))
    assert host.warden.leases[-1][SECOND] == 220_000
    told = asyncio.run(agent.detach("gpu1", "root", "XID 79"))
    assert told == {"device": "gpu1", "uuid": SECOND, "why": "detached by root: XID 79", "already": False}
    asyncio.run(host.turn(3, 300, 300))
    assert SECOND not in (host.warden.leases[-1] if host.governor.lease_until_ns else {})
    with pytest.raises(RefusedError, match="gpu1: its power limit can't be set here: detached by root: XID 79"):
        agent.set_pin("gpu1", 230, None)
    asyncio.run(agent.attach("gpu1"))
    asyncio.run(host.turn(4, 300, 300))
    assert host.warden.leases[-1][SECOND] == 220_000


@pytest.mark.parametrize(
    ("limit_w", "for_s"), [(99, None), (401, None), (float("nan"), None), (200, 0), (200, -1), (200, float("inf"))]
)
def test_a_pin_the_device_cannot_have_is_an_error(host: Any, limit_w: float, for_s: float | None) -> None:
    asyncio.run(host.turn(2))
    with pytest.raises(InputError):
        agent_of(host).set_pin("gpu0", limit_w, for_s)
    assert host.governor.pins == {}


def with_clocks(new_host: Any, new_device: Any, **changes: Any) -> Any:
    clocks = {"clock": Knob(True), "clocks_mhz": tuple(range(210, 1411, 15)), **changes}
    return new_host(replace(new_device(0), **clocks), new_device(1))


def test_a_pinned_ceiling_is_leased_in_steps_of_the_device_and_explained(new_host: Any, new_device: Any) -> None:
    host = with_clocks(new_host, new_device)
    agent = agent_of(host)
    asyncio.run(host.turn(2))
    agent.set_pin("gpu0", None, 60, 1007)
    asyncio.run(host.turn(3))
    assert (host.warden.leases[-1], host.warden.clocks_mhz) == ({}, {FIRST: 1005})
    limit, clock = agent.explain("gpu0")["knobs"]
    assert limit["winner"] is None
    assert (clock["decided"], clock["winner"]["policy"], clock["winner"]["reason"]) == (
        *(1007, "pin", "pinned by an operator"),
    )
    assert agent.standing()["pin of gpu0"] == {"limit_w": None, "clock_mhz": 1007, "for_s": 60.0}
    agent.set_pin("gpu0", 250, None)
    asyncio.run(host.turn(4))
    assert (host.warden.leases[-1], host.warden.clocks_mhz) == ({FIRST: 250_000}, {}), "it takes the other's place"


def test_a_pin_at_the_highest_clock_keeps_others_from_lowering_it(new_host: Any, new_device: Any) -> None:
    host = with_clocks(new_host, new_device)
    agent = agent_of(host)
    host.governor.hints = lambda now_ns: (
        Hint(FIRST, Wish(clock_mhz=900), "its job asks for no more", now_ns + SECOND_NS),
    )
    host.governor._modes["hint"] = "act"
    asyncio.run(host.turn(2))
    assert host.warden.clocks_mhz == {FIRST: 900}
    agent.set_pin("gpu0", None, None, 1410)
    asyncio.run(host.turn(3))
    assert host.warden.log[-1] == ("release",)


@pytest.mark.parametrize("clock_mhz", [209, 1411, float("nan")])
def test_a_ceiling_the_device_cannot_have_is_an_error(new_host: Any, new_device: Any, clock_mhz: float) -> None:
    host = with_clocks(new_host, new_device)
    asyncio.run(host.turn(2))
    with pytest.raises(InputError, match="MHz: gpu0 takes ceilings from 210 to 1410 MHz"):
        agent_of(host).set_pin("gpu0", None, None, clock_mhz)
    with pytest.raises(InputError, match="a pin names limit_w, clock_mhz, or both"):
        agent_of(host).set_pin("gpu0", None, 60)


def test_a_ceiling_that_cannot_be_set_is_refused(new_host: Any, new_device: Any) -> None:
    host = with_clocks(new_host, new_device, clock=Knob(False, "needs root"))
    asyncio.run(host.turn(2))
    with pytest.raises(RefusedError, match="gpu0: its clock ceiling can't be set here: needs root"):
        agent_of(host).set_pin("gpu0", None, None, 1200)


def test_a_pin_where_nothing_can_be_set_is_refused(new_host: Any, new_device: Any) -> None:
    host = new_host(new_device(0, writable=False, why="needs root"))
    asyncio.run(host.turn(2))
    with pytest.raises(RefusedError, match="gpu0: its power limit can't be set here: needs root"):
        agent_of(host).set_pin("gpu0", 200, None)


def test_a_budget_takes_what_it_is_not_told_from_the_configuration(new_host: Any) -> None:
    host = new_host(fixed_w=400.0)
    asyncio.run(host.turn(2))
    told = asyncio.run(agent_of(host).set_budget(1000, None, None))
    assert host.warden.budget == Budget(1000, 400, {FIRST: 100, SECOND: 100}), "safe caps: each device's least limit"
    assert (told["envelope_w"], told["in_force"]) == (600, True)
    host = new_host(fixed_w=400.0, safe_cap_w=180.0)
    asyncio.run(host.turn(2))
    asyncio.run(agent_of(host).set_budget(1000, 300, None))
    assert host.warden.budget == Budget(1000, 300, {FIRST: 180, SECOND: 180})
    asyncio.run(agent_of(host).set_budget(1000, 300, 200))
    assert host.warden.budget == Budget(1000, 300, {FIRST: 200, SECOND: 200})


def test_a_budget_without_a_known_fixed_draw_is_an_error(host: Any) -> None:
    asyncio.run(host.turn(2))
    with pytest.raises(InputError, match="fixed_w"):
        asyncio.run(agent_of(host).set_budget(1000, None, None))
    assert host.warden.budget is None


@pytest.mark.parametrize("numbers", [(float("nan"), 0.0, None), (1000.0, -1.0, None), (1000.0, 0.0, float("inf"))])
def test_a_budget_of_no_number_is_an_error(host: Any, numbers: tuple[Any, ...]) -> None:
    asyncio.run(host.turn(2))
    with pytest.raises(InputError, match="finite"):
        asyncio.run(agent_of(host).set_budget(*numbers))


def test_a_budget_the_warden_refuses_changes_nothing(host: Any) -> None:
    asyncio.run(host.turn(2))
    host.warden.refusal = "a budget of 100 W can't be kept"
    with pytest.raises(RefusedError, match="100 W"):
        asyncio.run(agent_of(host).set_budget(100, 0, None))
    assert host.governor.budget is None


def test_without_a_warden_there_is_no_budget_and_no_restoring(host: Any) -> None:
    asyncio.run(host.turn(2))
    host.warden.here = False
    host.warden.close()
    agent = agent_of(host)
    for ask in (lambda: agent.set_budget(1000, 0, None), agent.clear_budget, agent.restore):
        with pytest.raises(UnavailableError):
            asyncio.run(ask())


def test_a_budget_is_cleared(host: Any) -> None:
    agent = agent_of(host)
    asyncio.run(host.turn(2))
    asyncio.run(agent.set_budget(1000, 400, None))
    asyncio.run(host.turn(3))
    assert host.warden.leases
    asyncio.run(agent.clear_budget())
    assert agent.status()["budget"] is None
    asyncio.run(host.turn(4))
    assert host.warden.log[-1] == ("release",)


def test_restoring_drops_the_pins_and_gives_the_lease_back(host: Any) -> None:
    agent = agent_of(host)
    asyncio.run(host.turn(2))
    agent.set_pin("gpu0", 250, None)
    asyncio.run(host.turn(3))
    told = asyncio.run(agent.restore())
    assert told["pins_dropped"] == 1
    assert told["devices"][0] == {"device": "gpu0", "uuid": FIRST, "baseline_w": 400.0}
    assert host.warden.log[-2:] == [("release",), ("take_back", None)]
    asyncio.run(host.turn(9))
    assert host.warden.log[-2:] == [("release",), ("take_back", None)]


def test_under_a_budget_nothing_is_given_back(host: Any) -> None:
    agent = agent_of(host)
    host.warden.budget = Budget(1000, 400, {})
    asyncio.run(host.turn(2))
    agent.set_pin("gpu0", 250, None)
    with pytest.raises(RefusedError, match=r"^a budget of 1000 W is in force: `eagent budget clear` first$"):
        asyncio.run(agent.restore())
    assert set(host.governor.pins) == {FIRST}


@pytest.mark.parametrize(
    "call", [lambda a: a.set_budget(900, None, None), lambda a: a.clear_budget(), lambda a: a.restore()]
)
def test_a_budget_that_the_mesh_keeps_is_not_changed_by_hand(world: Any, call: Any) -> None:
    agent = Agent(world.governor, world.host.config, member=world.member)
    asyncio.run(world.turn())
    world.warden.log.clear()
    with pytest.raises(RefusedError, match=r"comes from the mesh \(rack\): have the site sign another table"):
        asyncio.run(call(agent))
    assert world.warden.log == []


def test_a_pin_holds_beside_the_mesh_once_it_has_begun(world: Any) -> None:
    agent = Agent(world.governor, world.host.config, member=world.member)
    asyncio.run(world.turn())
    agent.set_pin("gpu0", 150, None)
    asyncio.run(world.turn())
    assert world.warden.leases == []
    world.governor.waiting = None
    asyncio.run(world.turn())
    assert world.warden.leases == [{"GPU-00aa": 150_000}]


def test_a_status_tells_the_mesh_in_short_and_its_alarms_once(world: Any) -> None:
    agent = Agent(world.governor, world.host.config, member=world.member)
    world.member._mind("begin", "waits for the warden")
    told = agent.status()
    assert told["alarms"] == ["mesh: waits for the warden"]
    assert told["mesh"]["joined"] is False
    assert told["mesh"].keys().isdisjoint({"peers", "name", "alarms"})
    whole = agent.mesh()
    assert (whole["name"], whole["simulated"], whole["halted"]) == ("n01", False, None)
    assert whole["alarms"] == ["mesh: waits for the warden"]


def test_why_a_host_of_the_mesh_leases_nothing_is_told(world: Any) -> None:
    from eagent.agent.member import WAITS  # here: it needs what the mesh needs

    agent = Agent(world.governor, world.host.config, lambda: int(world.now_s * 1e9), member=world.member)

    async def work(world: Any) -> None:
        assert agent.status()["held_back"] == WAITS
        await world.until(lambda: world.governor.waiting is None)
        assert agent.status()["held_back"] is None
        world.governor.budget = None
        assert "lost the ceiling" in agent.status()["held_back"]

    world.live(work)


def test_without_a_mesh_there_is_none_to_tell_of(host: Any) -> None:
    assert agent_of(host).status()["mesh"] is None
    with pytest.raises(InputError, match="this host is in no mesh"):
        agent_of(host).mesh()


def test_a_host_without_a_mesh_loads_nothing_of_it() -> None:
    program = "import sys, eagent.agent.main, eagent.agent.agent; print([m for m in sys.modules if 'mesh' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
