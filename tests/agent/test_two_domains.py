"""A host in two domains: both are begun before anything is leased, and the least of both binds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.agent.world import DOMAIN, RESERVE_W, World, begun, running

pytest.importorskip("cryptography")


def test_a_domain_that_is_not_begun_holds_up_the_leases(new_world: Any) -> None:
    world = new_world(DOMAIN, "site")
    in_the_way = world.path / "mesh" / "site.state.new"
    in_the_way.mkdir(parents=True)

    async def work(world: World) -> None:
        await world.until(lambda: world.domain.get("life") and world.member.alarms)
        for _ in range(1000):
            await asyncio.sleep(0)
        await world.turn(350, 350)
        assert world.warden.leases == []
        in_the_way.rmdir()
        await world.until(lambda: begun(world))

    world.live(work)


def test_two_domains_are_begun_both_before_anything_is_leased(new_world: Any) -> None:
    world = new_world(DOMAIN, "site")

    async def work(world: World) -> None:
        told = world.member.status()
        assert [each["domain"] for each in told["domains"]] == [DOMAIN, "site"]
        assert [each["rights_w"] for each in told["domains"]] == [RESERVE_W, RESERVE_W]
        world.table()
        await world.until(lambda: world.domain["rights_w"] == 1000.0)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert world.member.status()["permission_w"] == RESERVE_W  # the site's table does not say more

    with running(world) as steps:
        steps.append(work)
    assert set(world.asked_w) == {200.0}
