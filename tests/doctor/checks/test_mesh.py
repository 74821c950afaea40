import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.config import Config, Mesh
from eagent.doctor.checks import mesh
from eagent.doctor.host import Host

Tell = Callable[[Any], list[tuple[str, str, str]]]

OPEN = {"domain": "rack", "epoch": 2, "refused": None, "budget_w": 3000.0, "unsealed": [], "silent": []}
HEARD = {**OPEN, "members": 2, "heard": 2}


@pytest.fixture
def site(tmp_path: Path) -> Any:
    pytest.importorskip("cryptography")
    from eagent.demo.site import Site

    (tmp_path / "site").mkdir()
    return Site(tmp_path / "site", {"n1": "127.0.0.1:7433", "n2": "127.0.0.2:7433"})


@pytest.fixture
def member(host: Host, site: Any) -> Host:
    """A host of a mesh whose files are as they should be, without a table and an agent."""
    home = site.home("n1")
    section = Mesh(
        ("rack",),
        site.signer.public_key.hex(),
        700.0,
        1300.0,
        name="n1",
        roster=home / "roster.toml",
        key_file=home / "host.key",
        tables=home / "tables",
    )
    return replace(host, config=replace(host.config, mesh=section))


def changed(host: Host, **changes: Any) -> Host:
    assert host.config.mesh is not None
    return replace(host, config=replace(host.config, mesh=replace(host.config.mesh, **changes)))


def test_of_a_host_in_no_mesh_nothing_is_said(host: Host, tell: Tell) -> None:
    assert tell(mesh.check(host)) == []


def test_a_host_whose_files_hold_is_told_so_and_where_its_table_comes_from(member: Host, tell: Tell) -> None:
    assert tell(mesh.check(member)) == [
        ("ok", "roster", "n1 is one of 2 hosts in roster 1"),
        ("note", "table rack", "there is none on this host: it comes from a host that has one"),
    ]


def test_the_mesh_needs_the_fixed_draw(member: Host, tell: Tell) -> None:
    bare = replace(member, config=Config(mesh=member.config.mesh))
    assert tell(mesh.check(bare))[0][:2] == ("problem", "[mesh]")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "n9"}, "n9 is not in it"),
        ({"name": "n2"}, "another key for n2"),
        ({"site_key": "00" * 32}, "roster.toml"),
        ({"site_key": "00"}, "must be 64 hexadecimal digits"),
        ({"key_file": Path("/no/such.key")}, "/no/such.key: No such file"),
    ],
)
def test_a_key_or_roster_that_does_not_hold_is_a_problem(
    member: Host, tell: Tell, changes: dict[str, Any], words: str
) -> None:
    (found,) = tell(mesh.check(changed(member, **changes)))
    assert found[:2] == ("problem", "files")
    assert words in found[2]


def test_files_that_only_root_may_read_are_no_problem(member: Host, tell: Tell) -> None:
    if os.getuid() == 0:
        pytest.skip("root reads all")
    assert member.config.mesh is not None
    member.config.mesh.key_file.chmod(0)
    assert [found[:2] for found in tell(mesh.check(member))] == [("note", "files")]


@pytest.mark.parametrize(
    ("grants_w", "reserve_w", "severity", "words"),
    [
        ({"n1": 1000, "n2": 1000}, 700, "ok", "epoch 2 grants 1000 W to n1"),
        ({"n1": 1000, "n2": 1000}, 600, "problem", "reserves 600 W for n1, which may draw 700 W"),
        ({"n2": 1000}, 700, "problem", "n1 is not in epoch 2"),
    ],
)
def test_the_newest_table_is_held_against_what_this_host_is(
    member: Host, site: Any, tell: Tell, grants_w: dict[str, float], reserve_w: float, severity: str, words: str
) -> None:
    site.tell("n1", 1, site.table(1, 5000, 0, 700, {"n1": 700}))
    site.tell("n1", 2, site.table(2, 5000, 0, reserve_w, grants_w))
    found = tell(mesh.check(member))[-1]
    assert found[:2] == (severity, "table rack")
    assert words in found[2]


def test_a_table_that_the_site_has_not_signed_is_a_problem(member: Host, site: Any, tell: Tell) -> None:
    site.tell("n1", 1, site.table(1, 5000, 0, 700, {"n1": 700}))
    (site.home("n1") / "tables" / "rack-000001.toml").write_text(site.table(1, 9000, 0, 700, {"n1": 9000}))
    assert [found[:2] for found in tell(mesh.check(member))[1:]] == [("problem", "tables"), ("note", "table rack")]


@pytest.mark.parametrize(
    ("told", "severity", "words"),
    [
        (HEARD, "ok", "all 2 members"),
        ({**OPEN, "members": 2, "heard": 1, "silent": ["n2"]}, "problem", "none of the other 1 members"),
        ({**OPEN, "members": 3, "heard": 2, "silent": ["n3"]}, "warning", "not heard of lately: n3"),
        ({**HEARD, "unsealed": ["n2"]}, "warning", "waits for n2"),
        ({**HEARD, "refused": "table rack 3 reserves too little"}, "problem", "reserves too little"),
        ({"domain": "rack", "refused": None, "budget_w": None}, "warning", "no table is in force"),
    ],
)
def test_what_the_agent_tells_of_each_domain(
    member: Host, tell: Tell, told: dict[str, Any], severity: str, words: str
) -> None:
    found = tell(mesh.check(replace(member, status={"mesh": {"joined": True, "domains": [told]}})))[-1]
    assert found[:2] == (severity, "domain rack")
    assert words in found[2]


@pytest.mark.parametrize("told", [None, {"joined": False, "domains": []}])
def test_an_agent_that_takes_no_part_is_a_problem(member: Host, tell: Tell, told: Any) -> None:
    assert tell(mesh.check(replace(member, status={"mesh": told})))[-1][:2] == ("problem", "agent")
