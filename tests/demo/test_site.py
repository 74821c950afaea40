"""A site for simulated hosts makes files that members take."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagent import config
from eagent.demo.site import DOMAIN, Site
from eagent.mesh import membership
from eagent.mesh.membership import Sources
from eagent.mesh.table import Member, parse

pytest.importorskip("cryptography")

HOSTS = {"n1": "10.0.0.1:7433", "n2.example": "10.0.0.2:7433"}


@pytest.mark.parametrize("name", HOSTS)
def test_each_host_finds_its_key_its_roster_and_its_tables(tmp_path: Path, name: str) -> None:
    site = Site(tmp_path, HOSTS)
    text = site.table(1, 9000, 100.5, 700, {"n1": 1000.25, "n2.example": 900}, duty={"n1": 2}, lives={"n1": "a1"})
    assert parse(text, "text").members == {
        "n1": Member(700_000, 1_000_250, "a1", 2),
        "n2.example": Member(700_000, 900_000),
    }
    site.tell(name, 1, text)
    options = "\n".join(f"{key} = {value}" for key, value in site.options(name).items())
    mesh = config.parse(f"[mesh]\n{options}\nreserve_w = 700\nnameplate_w = 1300\n", "x").mesh
    assert mesh is not None
    sources = Sources(mesh.name, mesh.key_file, mesh.roster, mesh.tables, mesh.site_key, mesh.power_key)
    member = membership.load(sources)
    assert {host: peer.address for host, peer in member.roster.hosts.items()} == HOSTS
    [document], problems = membership.load_tables(mesh.tables, member.site_key)
    assert (document.name, document.number, problems) == (f"table:{DOMAIN}", 1, [])
    assert member.read(document) == parse(text, "text")
