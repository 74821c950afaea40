"""What a site for simulated hosts is made of, read as the mesh reads it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from eagent.demo.site import DOMAIN, Site
from eagent.mesh import membership
from eagent.mesh.table import Table

ADDRESSES = {"n1": "127.0.0.1:4001", "n2": "127.0.0.1:4002", "power": "127.0.0.1:4003"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, ADDRESSES)


def sources(site: Site, name: str) -> membership.Sources:
    options = tomllib.loads("\n".join(f"{key} = {value}" for key, value in site.options(name).items()))
    assert options["domains"] == [DOMAIN]
    return membership.Sources(
        name=options["name"],
        key_file=Path(options["key_file"]),
        roster_file=Path(options["roster"]),
        tables=Path(options["tables"]),
        site_key=options["site_key"],
        power_key=options["power_key"],
    )


def table_of(site: Site, name: str) -> Table:
    """The only table that a host finds, read by it."""
    member = membership.load(sources(site, name))
    ((document,), problems) = membership.load_tables(site.home(name) / "tables", member.site_key)
    assert problems == []
    found = member.read(document)
    assert isinstance(found, Table)
    return found


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_member_finds_all_members_in_its_roster(site: Site, name: str) -> None:
    roster = membership.load(sources(site, name)).roster
    assert {peer: found.address for peer, found in roster.hosts.items()} == ADDRESSES
    assert len({found.key for found in roster.hosts.values()}) == len(ADDRESSES)


def test_a_table_that_one_host_is_told_holds_what_was_signed(site: Site) -> None:
    text = site.table(3, 5000.0, 400.5, 1000.0, {"n1": 2000.0, "n2": 1500.25}, duty={"n1": 1}, lives={"n2": "a" * 16})
    site.tell("n2", 3, text)
    found = table_of(site, "n2")
    assert (found.domain, found.epoch, found.budget_mw, found.others_mw) == (DOMAIN, 3, 5_000_000, 400_500)
    assert {name: (each.reserve_mw, each.grant_mw) for name, each in found.members.items()} == {
        "n1": (1_000_000, 2_000_000),
        "n2": (1_000_000, 1_500_250),
    }
    assert {name: (each.life, each.duty) for name, each in found.members.items()} == {
        "n1": ("", 1),
        "n2": ("a" * 16, 0),
    }
    assert list((site.home("n1") / "tables").iterdir()) == []


def test_a_table_above_its_budget_is_none(site: Site) -> None:
    site.tell("n1", 1, site.table(1, 1000.0, 0.0, 500.0, {"n1": 501.0, "n2": 500.0}))
    _, problems = membership.load_tables(site.home("n1") / "tables", site.signer.public_key)
    assert len(problems) == 1


def test_a_table_of_another_site_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ours, others = Site(tmp_path / "a", ADDRESSES), Site(tmp_path / "b", ADDRESSES)
    ours.tell("n1", 1, ours.table(1, 1000.0, 0.0, 400.0, {"n1": 400.0, "n2": 400.0}))
    found, problems = membership.load_tables(ours.home("n1") / "tables", others.signer.public_key)
    assert (found, len(problems)) == ([], 1)


def test_no_key_of_a_site_can_be_read_by_others(site: Site) -> None:
    secret = [*site.directory.glob("*.key"), *site.directory.glob("*/*.key")]
    assert len(secret) == 2 + len(ADDRESSES)
    assert {path.stat().st_mode & 0o077 for path in secret} == {0}
