"""Files that the site signs, replaced, damaged and lost while a host runs."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from eagent.cli.draft import Wish, draft
from eagent.mesh.gossip import DOCUMENTS_MAX
from eagent.mesh.membership import signature_of
from tests.agent.world import DOMAIN, FIXED_W, RESERVE_W, W, World, begun, envelope, running

pytest.importorskip("cryptography")


def test_a_new_table_is_sealed_and_opened_and_the_ceiling_follows(world: World) -> None:
    async def work(world: World) -> None:
        world.table()
        await world.until(lambda: world.domain["stage"] == "open" and world.warden.budget == envelope(500))
        told = world.domain
        assert (told["budget_w"], told["grant_w"], told["promised_w"]) == (5000.0, 1000.0, 1000.0)
        assert (told["members"], told["heard"], told["silent"], told["unsealed"]) == (1, 1, [], [])
        assert world.member.status()["permission_w"] == 1000.0
        world.table(2, grant_w=800)
        await world.until(lambda: world.domain["epoch"] == 2 and world.warden.budget == envelope(300))

    with running(world) as steps:
        steps.append(work)


def test_a_draft_of_what_a_host_tells_is_a_table_that_it_opens(world: World) -> None:
    async def work(world: World) -> None:
        for epoch, budget_mw in ((1, 900_000), (2, 1_100_000)):
            told = {**world.member.status(), "simulated": True}
            world.site.tell("n01", epoch, draft(told, Wish(DOMAIN, budget_mw, 700_000)))
            await world.until(lambda: world.warden.budget == envelope(budget_mw / W - FIXED_W))  # noqa: B023
        life = world.domain["life"]
        assert world.domain["lines"] == {"n01": {"grant_w": 1100.0, "life": life, "duty": 0}}
        assert "lines" not in world.member.summary()["domains"][0]

    with running(world) as steps:
        steps.append(work)


def test_a_table_that_reserves_too_little_is_an_alarm_and_not_sealed(world: World) -> None:
    async def work(world: World) -> None:
        world.table(reserve_w=600)
        await world.until(lambda: world.member.alarms)
        assert "reserves 600000 mW for n01" in world.member.alarms[0]
        assert (world.domain["epoch"], world.domain["newest_epoch"]) == (0, 1)

    with running(world) as steps:
        steps.append(work)


def test_a_reserve_that_was_raised_since_the_table_was_sealed_is_an_alarm(world: World) -> None:
    async def first(world: World) -> None:
        world.table()
        await world.until(lambda: world.warden.budget == envelope(500))

    with running(world) as steps:
        steps.append(first)
    world.born(replace(world.mesh, reserve_w=750))
    seen: list[str] = []

    async def second(world: World) -> None:
        seen.extend(world.member.alarms)

    with running(world) as steps:
        steps.append(second)
    assert seen == [
        "mesh: table rack 1 is in force and reserves 700 W for n01, which may draw 750 W without asking: have the site "
        "sign another"
    ]


def test_rubbish_beside_the_tables_is_one_alarm_and_the_good_ones_count(world: World) -> None:
    tables = world.home / "tables"

    async def work(world: World) -> None:
        (tables / "a.toml").write_bytes(b"\xff\x00")
        (tables / "b.toml").mkdir()
        (tables / "c.toml").symlink_to(tables / "c.toml")
        (tables / "d.toml").write_text("unsigned")
        (tables / "notes").write_text("not a table")
        world.table()
        await world.until(lambda: world.warden.budget == envelope(500))
        assert world.member.alarms == [f"mesh: {tables}/a.toml.sig: No such file or directory"]

    with running(world) as steps:
        steps.append(work)


def test_many_tables_of_other_domains_do_not_crowd_out_its_own(world: World) -> None:
    async def work(world: World) -> None:
        for n in range(DOCUMENTS_MAX + 1):
            path = world.home / "tables" / f"a{n}.toml"
            text = world.site.table(1, 5000, 0, RESERVE_W, {"n01": 800}).replace('"rack"', f'"a{n}"')
            world.site._sign(path, text)
        world.table()
        await world.until(lambda: world.warden.budget == envelope(500))

    with running(world) as steps:
        steps.append(work)


def test_a_file_that_was_replaced_under_its_old_date_is_read(world: World) -> None:
    async def work(world: World) -> None:
        world.table()
        await world.until(lambda: world.warden.budget == envelope(500))
        [path] = (world.home / "tables").glob("*.toml")
        dates = {each: each.stat().st_mtime_ns for each in (path, signature_of(path))}
        world.site._sign(path, path.read_text().replace("epoch = 1", "epoch = 2").replace("1000000", "900000"))
        for each, date_ns in dates.items():
            os.utime(each, ns=(date_ns, date_ns))
        await world.until(lambda: world.warden.budget == envelope(400))

    with running(world) as steps:
        steps.append(work)


def test_a_directory_of_tables_that_is_gone_is_an_alarm_until_it_is_back(world: World) -> None:
    tables = world.home / "tables"

    async def work(world: World) -> None:
        tables.rmdir()
        await world.until(lambda: world.member.alarms)
        assert world.member.alarms == [f"mesh: {tables}: No such file or directory"]
        tables.mkdir()
        await world.until(lambda: not world.member.alarms)

    with running(world) as steps:
        steps.append(work)


def sign_roster(world: World, text: str) -> None:
    world.site._sign(world.home / "roster.toml", text)


def test_a_new_roster_counts_and_one_without_this_host_is_an_alarm(world: World) -> None:
    text = (world.home / "roster.toml").read_text()
    without_n02 = text[: text.index('[hosts."n02"]')]
    without_n01 = "serial = 3\n" + text[text.index('[hosts."n02"]') :]

    async def work(world: World) -> None:
        sign_roster(world, without_n02.replace("serial = 1", "serial = 2"))
        await world.until(lambda: "n02" not in world.transports[-1].roster.hosts)
        assert world.member.alarms == []
        sign_roster(world, without_n01)
        await world.until(lambda: world.member.alarms)
        assert "n01 is not in it" in world.member.alarms[0]
        assert set(world.transports[-1].roster.hosts) == {"n02"}  # whom else it revokes is revoked
        assert world.warden.budget == envelope(200)
        sign_roster(world, text.replace("serial = 1", "serial = 4"))
        await world.until(lambda: not world.member.alarms)

    with running(world) as steps:
        steps.append(work)


def test_a_roster_that_was_forged_or_lost_changes_nothing_but_the_alarms(world: World) -> None:
    async def work(world: World) -> None:
        (world.home / "roster.toml").write_text("serial = 9\n")
        await world.until(lambda: any("not signed" in line for line in world.member.alarms))
        (world.home / "roster.toml").unlink()
        await world.until(lambda: any("No such file" in line for line in world.member.alarms))
        assert set(world.transports[-1].roster.hosts) == {"n01", "n02"}
        assert begun(world)

    with running(world) as steps:
        steps.append(work)


def test_a_key_file_that_is_gone_is_missed_at_the_next_start_only(world: World) -> None:
    async def work(world: World) -> None:
        (world.home / "host.key").unlink()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert world.member.alarms == []
        assert begun(world)

    with running(world) as steps:
        steps.append(work)
