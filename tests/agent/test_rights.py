"""What a host tells of the mesh: its own part, its domains and its peers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.demo.site import DOMAIN
from eagent.mesh import codec
from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.messages import Delta
from eagent.mesh.records import Held, Payload, Power, Record
from eagent.mesh.table import parse
from eagent.mesh.transport import clock_ns
from eagent.model import Reading, Status
from eagent.policy.goals import Pin
from tests.agent.world import NAMEPLATE_W, RESERVE_W, W, World, begun, running

pytest.importorskip("cryptography")


def test_a_host_that_has_not_joined_tells_what_it_was_told_to_be(world: World) -> None:
    told = world.member.status()
    assert told == {
        "name": "n01",
        "joined": False,
        "alarms": [],
        "permission_w": None,
        "reserve_w": RESERVE_W,
        "nameplate_w": NAMEPLATE_W,
        "need_w": None,
        "sleep": {
            "wanted": False,
            "reason": "it has not been looked at yet",
            "acts": False,
            "hindered": None,
            "draws_w": None,
        },
        "domains": [],
        "peers": [],
        "transport": None,
    }


def standing(epoch: int, stage: Stage, rights_mw: int, table: str = "") -> Standing:
    return Standing(DOMAIN, "b2", epoch, stage, table, rights_mw=rights_mw)


@pytest.mark.parametrize(
    ("heard", "age_ms", "other_w", "silent", "unsealed"),
    [
        (None, 0, 900.0, ["n02"], ["n02"]),  # who was not heard of may hold its grant
        (standing(0, Stage.OUT, 700 * W), 0, 900.0, [], ["n02"]),  # it may have sealed since
        (standing(0, Stage.OUT, 1300 * W), 0, 1300.0, [], ["n02"]),  # or draw on as before
        (standing(1, Stage.SEALED, 800 * W), 0, 800.0, [], []),
        (standing(1, Stage.SEALED, 500 * W), 0, 700.0, [], []),  # its reserve, whatever it says
        (standing(1, Stage.SEALED, 800 * W), 90_000, 800.0, ["n02"], []),
    ],
)
def test_what_a_domain_may_draw_is_the_worst_that_is_known(
    world: World, heard: Standing | None, age_ms: int, other_w: float, silent: list[str], unsealed: list[str]
) -> None:
    async def work(world: World) -> None:
        await world.until(lambda: begun(world))
        lives = {"n01": world.domain["life"], "n02": "b2"}
        grants_w = {"n01": 1000.0, "n02": 900.0}
        text = world.site.table(1, 5000, 100, RESERVE_W, grants_w, lives=lives, duty={"n02": 1})
        world.site.tell("n01", 1, text)
        if heard is not None:
            own = replace(heard, table=parse(text, "t").digest) if heard.epoch else heard
            delta = Delta(((Record("n02", 5, Payload(standings=(own,))), age_ms),), (), ())
            world.transports[-1].arriving.put_nowait(("n02", codec.encode(delta)))
            await world.until(lambda: len(world.member.status()["peers"]) == 2)
        await world.until(lambda: world.domain["epoch"] == 1)
        told = world.domain
        assert told["promised_w"] == told["rights_w"] + other_w
        assert (told["silent"], told["unsealed"]) == (silent, unsealed)
        assert told["heard_age_s"] is None if heard is None else told["heard_age_s"] >= age_ms / 1000
        assert (told["others_w"], told["members"], told["heard"]) == (100.0, 2, 2 - len(silent))
        assert (told["grant_w"], told["duty_in_all"], told["newest_epoch"]) == (1000.0, 1, 1)
        assert told["lines"]["n02"] == {"grant_w": 900.0, "life": "b2", "duty": 1}

    world.live(work)


def test_peers_are_told_with_their_age_and_what_they_hold(world: World) -> None:
    async def work(world: World) -> None:
        standing = Standing(DOMAIN, "b2", 3, Stage.OPEN, "", rights_mw=900 * W, duty=1)
        payload = Payload(power_w=450.0, power=Power.YIELDED, standings=(standing,), devices=2, busy=1)
        delta = Delta(((Record("n02", 5, payload), 90_000),), (), ())
        world.transports[-1].arriving.put_nowait(("n02", b"rubbish"))
        world.transports[-1].arriving.put_nowait(("n02", codec.encode(delta)))
        await world.until(lambda: len(world.member.status()["peers"]) == 2)
        own, peer = world.member.status()["peers"]
        assert (own["host"], own["stale"], own["domains"][0]["stage"]) == ("n01", False, "out")
        assert 90 <= peer.pop("age_s") < 120
        assert peer == {
            "host": "n02",
            "stale": True,
            "power": "yielded",
            "devices": 2,
            "busy": 1,
            "power_w": 450.0,
            "limits_w": None,
            "domains": [{"domain": DOMAIN, "life": "b2", "epoch": 3, "stage": "open", "rights_w": 900.0, "duty": 1}],
        }
        assert world.member.station is not None
        assert world.member.station.undecodable == 1
        assert "peers" not in world.member.summary()

    with running(world) as steps:
        steps.append(work)


@pytest.mark.parametrize(
    ("mode", "pin_w", "need_w"), [("act", None, 1300.0), ("act", 150.0, 1050.0), ("observe", None, 700.0)]
)
def test_a_host_needs_no_more_than_it_would_use(new_world: Any, mode: str, pin_w: float | None, need_w: float) -> None:
    world = new_world(mode_budget=mode)

    async def work(world: World) -> None:
        state = world.governor.state
        ok = Reading(1.0, Status.OK, "test")
        held = {"power_recent_w": replace(ok, value=100.0), "capped_share": ok}
        world.governor.state = replace(state, devices=tuple(replace(each, **held) for each in state.devices))
        if pin_w is not None:
            world.governor.pins["GPU-00aa"] = Pin("GPU-00aa", pin_w)
        world.member._observe()
        assert world.member.status()["need_w"] == need_w

    with running(world) as steps:
        steps.append(work)


def test_a_second_host_of_the_same_name_is_an_alarm_while_it_speaks(world: World) -> None:
    async def work(world: World) -> None:
        await world.until(lambda: begun(world))
        node = world.member.node
        assert node is not None
        record = Record("n01", 2**60, Payload(standings=(standing(0, Stage.OUT, 700 * W),)))
        node.gossip.double = Held(record, clock_ns())
        (line,) = world.member.alarms
        assert line.startswith("mesh: another host says that it is n01, and has its key (life b2): ")
        node.gossip.double = Held(record, clock_ns() - 90_000_000_000)
        assert world.member.alarms == []

    world.live(work)
