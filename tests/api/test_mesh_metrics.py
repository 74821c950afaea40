"""What a host in the mesh tells a scraper."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eagent.api.metrics import exposition
from eagent.mesh.bounds import Counters

GOLDEN = Path(__file__).with_name("mesh.golden.prom")

Families = dict[str, tuple[str, str, dict[tuple[tuple[str, str], ...], float]]]


def families(text: str) -> Families:
    """Name -> type, help, samples by labels, of the mesh alone."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples},
        )
        for family in text_string_to_metric_families(text)
        if family.name.startswith("eagent_mesh_")
    }


@pytest.fixture
def meshed(status: dict[str, Any]) -> dict[str, Any]:
    """A status of a host in two domains; in one a new table is being sealed, in the other there is none yet."""
    rack: dict[str, Any] = {
        "domain": "rack7",
        "epoch": 3,
        "newest_epoch": 3,
        "stage": "sealed",
        "life": "a1",
        "rights_w": 1300.5,
        "duty": 1,
        "offers_w": 50.0,
        "wants_w": 0.0,
        "refused": None,
        "heard_age_s": 0.5,
        "budget_w": 40_000.0,
        "others_w": 1200.0,
        "promised_w": 38_000.0,
        "grant_w": 1000.0,
        "members": 30,
        "heard": 28,
        "silent": ["n2", "n3"],
        "unsealed": ["n2", "n3", "n4"],
        "duty_in_all": 2,
    }
    site = {"domain": "site", "epoch": 0, "newest_epoch": 0, "stage": "beginning", "life": None, "rights_w": None}
    site |= {"duty": None, "offers_w": 0.0, "wants_w": 0.0, "refused": None, "heard_age_s": None, "budget_w": None}
    status["mesh"] = {
        "joined": True,
        "permission_w": 1300.5,
        "reserve_w": 700.0,
        "nameplate_w": 1400.0,
        "need_w": 1250.0,
        "sleep": {"wanted": False, "reason": "", "acts": False, "hindered": None},
        "domains": [rack, site],
        "transport": asdict(Counters(sent=7, sent_bytes=700, received=6, received_bytes=600, refused=1, limited=2)),
    }
    return status


def scraped(status: dict[str, Any]) -> Families:
    return families(exposition(status).decode())


def test_the_text_is_read_back_as_the_golden_one(meshed: dict[str, Any]) -> None:
    assert scraped(meshed) == families(GOLDEN.read_text(encoding="utf-8"))


def test_a_host_in_no_mesh_has_none_of_it(status: dict[str, Any]) -> None:
    assert scraped(status) == {}


def test_what_is_not_known_before_it_has_joined_is_absent(meshed: dict[str, Any]) -> None:
    meshed["mesh"].update(joined=False, permission_w=None, need_w=None, domains=[], transport=None)
    found = scraped(meshed)
    assert found.pop("eagent_mesh_joined")[2] == {(): 0.0}
    assert found
    assert all(samples == {} for _, _, samples in found.values())


def test_a_domain_without_a_table_has_no_budget_and_no_zero_in_its_place(meshed: dict[str, Any]) -> None:
    found = scraped(meshed)
    site = (("domain", "site"),)
    for name in ("rights_watts", "budget_watts", "promised_watts", "members", "duty_tokens", "unsealed_members"):
        assert site not in found[f"eagent_mesh_{name}"][2]
    assert found["eagent_mesh_epoch"][2][site] == 0


def test_all_counters_of_the_transport_are_told(meshed: dict[str, Any]) -> None:
    for number, name in enumerate(meshed["mesh"]["transport"]):
        meshed["mesh"]["transport"][name] = 1000 + number
    told = {value for _, _, samples in scraped(meshed).values() for value in samples.values()}
    assert {1000.0 + number for number in range(len(meshed["mesh"]["transport"]))} <= told


def test_every_help_names_its_source_and_says_simulated_only_when_it_is(meshed: dict[str, Any]) -> None:
    assert all("Source: " in text and "SIMULATED" not in text for _, text, _ in scraped(meshed).values())
    meshed["simulated"] = True
    assert all(text.startswith("SIMULATED") for _, text, _ in scraped(meshed).values())


def test_names_are_in_base_units_and_only_counters_end_in_total(meshed: dict[str, Any]) -> None:
    kinds = re.findall(r"^# TYPE (eagent_mesh_\S+) (\S+)$", exposition(meshed).decode(), re.MULTILINE)
    assert kinds
    for name, kind in kinds:
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(mw|milliwatts|percent|ms)(_|$)", name)
