"""What `eagent mesh` says: every line once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.cli.mesh import budget_lines, peer_lines, status_lines
from eagent.cli.status import mesh_lines
from eagent.errors import UnavailableError


@pytest.fixture
def domain() -> dict[str, Any]:
    """What a host tells of a domain whose table is open."""
    return {
        "domain": "rack7",
        "epoch": 3,
        "newest_epoch": 3,
        "stage": "open",
        "life": "5f0c",
        "rights_w": 1300.0,
        "duty": 0,
        "offers_w": 0.0,
        "wants_w": 0.0,
        "refused": None,
        "heard_age_s": 0.2,
        "budget_w": 40_000.0,
        "others_w": 1200.0,
        "promised_w": 38_000.5,
        "grant_w": 1000.0,
        "members": 30,
        "heard": 30,
        "silent": [],
        "unsealed": [],
        "duty_in_all": 1,
        "lines": {},
    }


@pytest.fixture
def told(domain: dict[str, Any]) -> dict[str, Any]:
    """What a host tells of the mesh that it is in."""
    return {
        "simulated": False,
        "halted": None,
        "name": "n1",
        "joined": True,
        "alarms": [],
        "permission_w": 1300.0,
        "reserve_w": 700.0,
        "nameplate_w": 1400.0,
        "need_w": 1250.4,
        "sleep": {"wanted": False, "reason": "gpu0 is at work, or nobody can tell", "acts": False, "hindered": "x"},
        "domains": [domain],
        "peers": [],
        "transport": None,
    }


def test_a_host_tells_what_it_may_draw_what_it_holds_and_why_it_is_awake(told: dict[str, Any]) -> None:
    assert status_lines(told) == [
        "n1 may draw 1300 W at the wall (reserve 700 W, nameplate 1400 W) and needs 1250.4 W",
        "rack7: epoch 3, open: holds 1300 W (life 5f0c)",
        "sleep only observes: stays awake, because gpu0 is at work, or nobody can tell",
    ]


def test_what_is_traded_held_and_waited_for_is_told(told: dict[str, Any], domain: dict[str, Any]) -> None:
    domain.update(offers_w=50.0, duty=2, stage="sealed", unsealed=["n2", "n3"])
    told["sleep"].update(wanted=True, acts=True, reason="it has had nothing to do for 700 s", hindered="rack7: tokens")
    told["alarms"] = ["mesh: no"]
    assert status_lines(told)[1:] == [
        "rack7: epoch 3, sealed: holds 1300 W, offers 50 W, 2 duty tokens: stays awake (life 5f0c)",
        "  waits for n2, n3 to seal it",
        "sleep may act: would sleep, because it has had nothing to do for 700 s; before it can be switched off: rack7: "
        "tokens",
        "ALARM: mesh: no",
    ]
    domain.update(offers_w=0.0, wants_w=120.5, duty=1, unsealed=[])
    told["sleep"]["hindered"] = None
    assert status_lines(told)[1:3] == [
        "rack7: epoch 3, sealed: holds 1300 W, asks for 120.5 W, 1 duty token: stays awake (life 5f0c)",
        "sleep may act: would sleep, because it has had nothing to do for 700 s",
    ]


def test_a_host_that_begins_or_has_not_joined_says_so(told: dict[str, Any], domain: dict[str, Any]) -> None:
    domain.update(epoch=0, stage="beginning", life=None, rights_w=None, duty=None, budget_w=None)
    assert status_lines(told)[1] == "rack7: epoch 0, beginning: its reserve is being brought into force"
    domain.update(stage="out", life="5f0c", rights_w=700.0)
    assert status_lines(told)[1] == "rack7: no table of it is known here, so the host keeps to its reserve (life 5f0c)"
    assert mesh_lines(told)[0].endswith("; rack7: no table yet")
    told.update(joined=False, domains=[], alarms=["mesh: host.key: No such file"])
    assert status_lines(told) == ["n1 has not joined the mesh", "ALARM: mesh: host.key: No such file"]


def test_watts_too_few_to_be_shown_are_not_said_to_be_none(told: dict[str, Any], domain: dict[str, Any]) -> None:
    domain.update(offers_w=0.04)
    assert "offers" not in status_lines(told)[1]


def test_peers_are_a_table_of_hosts_and_domains(told: dict[str, Any]) -> None:
    assert peer_lines(told) == ["nobody was heard of"]
    standing = {"domain": "rack7", "life": "a", "epoch": 3, "stage": "open", "rights_w": 1300.0, "duty": 1}
    about = {"age_s": 1.5, "stale": False, "power": "awake", "devices": 8, "busy": 3, "limits_w": None}
    about["power_w"] = 912.3
    told["peers"] = [
        {"host": "n1", **about, "domains": [standing, {**standing, "domain": "site", "duty": 0}]},
        {"host": "power", **about, "age_s": 90.0, "stale": True, "power_w": None, "domains": []},
    ]
    assert peer_lines(told) == [
        "HOST           HEARD  POWER    BUSY    DRAWS  LIMITS  DOMAIN  EPOCH  STAGE  RIGHTS  DUTY",
        "n1              1.5s  awake  3 of 8  912.3 W       —  rack7       3  open   1300 W     1",
        "n1              1.5s  awake  3 of 8  912.3 W       —  site        3  open   1300 W     0",
        "power  1m30s (stale)  awake  3 of 8        —       —  —           —  —           —     —",
    ]


def test_a_budget_is_told_with_who_is_silent_and_who_holds_up_a_change(
    told: dict[str, Any], domain: dict[str, Any]
) -> None:
    assert budget_lines(told) == [
        "rack7: budget 40000 W in epoch 3: by what was heard hosts may draw 38000.5 W, others 1200 W",
        "  30 of 30 members heard of lately; the others count as they told last, or with their grants",
    ]
    domain.update(heard=20, silent=[f"n{n}" for n in range(10)], unsealed=["n2"], refused="it reserves too little")
    told["alarms"] = ["mesh: it reserves too little"]
    assert budget_lines(told)[1:] == [
        "  20 of 30 members heard of lately; the others count as they told last, or with their grants",
        "  silent: n0, n1, n2, n3, n4, n5, n6, n7 and 2 more",
        "  epoch 3 waits for n2: until then nobody raises",
        "  refused: it reserves too little",
        "ALARM: mesh: it reserves too little",
    ]


def test_a_table_that_is_refused_before_there_was_any_is_told(told: dict[str, Any], domain: dict[str, Any]) -> None:
    domain.update(budget_w=None, refused="it reserves too little")
    assert budget_lines(told) == [
        "rack7: no table is in force here; this host keeps to its reserve",
        "  refused: it reserves too little",
    ]
    told["domains"] = []
    assert budget_lines(told) == ["this host is in no domain"]


def test_status_has_a_line_of_the_mesh(told: dict[str, Any], domain: dict[str, Any]) -> None:
    assert mesh_lines(None) == []
    told["domains"].append({**domain, "domain": "site", "epoch": 1, "stage": "sealed"})
    assert mesh_lines(told) == [
        "mesh     may draw 1300 W at the wall, needs 1250.4 W; rack7 epoch 3 (open), site epoch 1 (sealed)"
    ]
    told.update(joined=False, domains=[])
    assert mesh_lines(told) == ["mesh     not joined yet: nothing is asked of the warden before"]


Run = Callable[..., Any]


def test_the_verb_asks_the_agent_and_shows_what_was_asked_for(eagent: Run, agent: Any, told: dict[str, Any]) -> None:
    agent.meshed = told
    assert eagent("mesh").out == eagent("mesh", "status").out == "\n".join([*status_lines(told), ""])
    assert eagent("mesh", "peers").out == "nobody was heard of\n"
    assert eagent("mesh", "budget").out.startswith("rack7: budget")
    for words in (("mesh", "--json"), ("mesh", "--json", "peers"), ("mesh", "budget", "--json")):
        assert json.loads(eagent(*words).out) == told
    told["simulated"] = True
    assert eagent("mesh", "peers").out == "SIMULATED\nnobody was heard of\n"


def test_a_host_in_no_mesh_is_one_line(eagent: Run, agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def mesh() -> Any:
        raise UnavailableError("this host is in no mesh")

    monkeypatch.setattr(agent, "mesh", mesh)
    assert eagent("mesh") == (1, "", "eagent: this host is in no mesh\n")


def test_keys_are_made_once_and_what_they_sign_is_verified(eagent: Run, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    site, host, roster = tmp_path / "site.key", tmp_path / "host.key", tmp_path / "roster.toml"
    digits = eagent("mesh", "site-key", str(site)).out.strip()
    assert len(bytes.fromhex(digits)) == 32
    public = eagent("mesh", "host-key", str(host)).out.strip()
    assert len(public) == 40
    assert (site.stat().st_mode & 0o777, host.stat().st_mode & 0o777) == (0o600, 0o600)
    roster.write_text(f"serial = 1\n[hosts.n1]\naddress = \"10.0.0.1:7433\"\nkey = '{public}'\n")
    assert eagent("mesh", "sign", str(roster), "--key", str(site)) == (0, f"{roster}.sig\n", "")

    from eagent.mesh import membership

    assert set(membership.load_roster(roster, bytes.fromhex(digits)).hosts) == {"n1"}
    for words in (("site-key", str(site)), ("host-key", str(host))):
        said = eagent("mesh", *words)
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    roster.write_text("serial = 1\n[hosts]\n")
    said = eagent("mesh", "sign", str(roster), "--key", str(site))
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)


def test_rubbish_is_not_signed(eagent: Run, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    site, rubbish = tmp_path / "site.key", tmp_path / "table.toml"
    eagent("mesh", "site-key", str(site))
    for text in ("a = " + "[" * 100_000, "a = " + "9" * 5000, "members = 3", "\0"):
        rubbish.write_text(text)
        said = eagent("mesh", "sign", str(rubbish), "--key", str(site))
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1), text[:20]
    assert not Path(f"{rubbish}.sig").exists()
