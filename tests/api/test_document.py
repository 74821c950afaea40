from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st

from eagent.access import API, JOBS, POWER, TCP, Needs, Role
from eagent.api import jobs, power, routes
from eagent.api.body import read_fields
from eagent.api.gate import Gate
from eagent.api.routes import answer
from eagent.api.schema import devices, mesh
from eagent.api.schema import jobs as jobs_schema
from eagent.api.schema import power as power_schema
from eagent.engines.power.adapter import PowerState
from eagent.engines.power.wishes import Kind
from eagent.errors import InputError
from eagent.mesh.epoch import Stage
from eagent.mesh.records import Power
from eagent.peer import Peer
from eagent.warden import foreign
from tests.api import described

TABLES = [("api", API), ("jobs", JOBS), ("power", POWER), ("tcp", TCP)]
UNITS = re.compile(r"(_w|_s|_j|_b|_mhz|_share|_ns)$")
UNIT_WORDS = re.compile(r"watt|second|joule|MHz|`unit`|`setting_unit`|as a share|0 to 1|byte", re.IGNORECASE)
METHODS = ("get", "put", "post", "delete")


def operations(told: Any) -> Iterator[tuple[str, Any]]:
    for path, item in told["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def nodes(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All schemas below, each with the key that it stands at."""
    if isinstance(node, dict):
        yield name, node
        for key, each in node.items():
            yield from nodes(each, key if key != "items" else name)
    elif isinstance(node, list):
        for each in node:
            yield from nodes(each, name)


@pytest.mark.parametrize(("name", "needs"), TABLES)
def test_each_route_is_described_with_the_role_that_it_needs_and_no_other_is(name: str, needs: Needs) -> None:
    told = dict(operations(described.DOCUMENTS[name]))
    assert {route: each["x-eagent-role"] for route, each in told.items()} == {
        route: role.label for route, role in needs.items()
    }
    assert all(each["summary"].endswith(".") for each in told.values())
    identifiers = [each["operationId"] for each in told.values()]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("name", described.DOCUMENTS)
def test_the_document_is_one_of_openapi(name: str) -> None:
    told = described.DOCUMENTS[name]
    schemathesis.openapi.from_dict(told).validate()
    for schema in [
        *told["components"]["schemas"].values(),
        *(described.answer_of(told, it) for it, _ in operations(told)),
    ]:
        jsonschema_rs.meta.validate(schema)
    missing = {each["$ref"] for _, each in nodes(told) if "$ref" in each} - {
        f"#/components/{kind}/{key}" for kind in ("schemas", "responses") for key in told["components"][kind]
    }
    assert missing == set()


@pytest.mark.parametrize("name", described.DOCUMENTS)
def test_every_number_says_its_unit(name: str) -> None:
    told = described.DOCUMENTS[name]
    bare = [
        f"{key}: {each}"
        for key, each in nodes({"paths": told["paths"], "components": told["components"]})
        if "number" in (each.get("type") or ())
        and "string" not in each["type"]
        and not UNITS.search(key)
        and not UNIT_WORDS.search(each.get("description", ""))
    ]
    assert bare == []


def test_the_words_of_rooms_that_the_agent_does_not_load_are_theirs() -> None:
    assert tuple(each.name.lower() for each in Stage) == mesh.STAGES
    assert (*(each.name.lower() for each in Power), "asleep") == mesh.POWERS
    assert tuple(each.name.lower() for each in Power) == power_schema.SAYS
    assert set(power_schema.STATES) == set(PowerState)
    assert set(power_schema.STEPS) == {*Kind, "none"}
    assert {foreign.STANDS, foreign.OVERRULED, foreign.MOVED_BACK} < set(devices.FATES)
    assert jobs_schema.FLAGS == ("stuck", "aliasing", "disagreement", "gap", "reset")


def test_an_observer_and_any_job_get_the_document_of_their_socket(service: Any) -> None:
    rights = Gate().rights
    assert rights.role(Peer(1, 0)) is Role.OPERATOR
    for table, gate, expected in (
        (routes.ROUTES, Gate(API), described.AGENT),
        (jobs.ROUTES, jobs.job_gate(), described.JOBS),
        (power.POWER_ROUTES, Gate(POWER), described.POWER),
    ):
        reply = asyncio.run(answer(service, "GET", "/openapi.json", b"", table, Peer(1, 0), gate))
        assert (reply.status, json.loads(reply.body)) == (200, json.loads(json.dumps(expected)))


def test_a_key_that_is_not_described_is_a_breach_for_the_tests_and_none_for_clients() -> None:
    health = described.answer_of(described.AGENT, "GET /healthz")
    assert described.problems(described.AGENT, health, {"healthy": True, "new": 1}) == []
    told = described.shut(described.AGENT)
    assert described.problems(told, described.answer_of(told, "GET /healthz"), {"healthy": True}) == []
    assert described.problems(told, described.answer_of(told, "GET /healthz"), {"healthy": True, "new": 1}) != []
    assert described.problems(told, described.answer_of(told, "GET /healthz"), {}) != []


VALUES = st.none() | st.booleans() | st.floats(-10, 2e6) | st.integers(-1, 2_000_000) | st.text(max_size=3)
BODIES = {
    "PUT /v1/budget": routes.BUDGET,
    "PUT /v1/devices/{device}/pin": routes.PIN,
    "PUT /v1/devices/{device}/detachment": routes.WHY,
}


@pytest.mark.parametrize("route", BODIES)
@given(data=st.data())
def test_a_body_is_read_exactly_if_it_fits_the_schema(route: str, data: st.DataObject) -> None:
    known = BODIES[route]
    keys = st.sampled_from([*known, "other"])
    body = data.draw(st.dictionaries(keys, VALUES, max_size=4) | st.lists(VALUES, max_size=1))
    fits = described.problems(described.AGENT, described.body_of(described.AGENT, route), body) == []
    if isinstance(body, dict) and not all(value.isprintable() for value in body.values() if isinstance(value, str)):
        return  # a schema has no word for that
    try:
        read_fields(json.dumps(body).encode(), known)
        is_read = True
    except InputError:
        is_read = False
    assert is_read == fits


SPANS = st.lists(st.lists(st.integers(-1, 3) | st.floats(0, 3) | st.booleans(), max_size=3), max_size=2)


@given(st.fixed_dictionaries({"windows": SPANS}, optional={"devices": st.lists(st.text(max_size=2), max_size=2)}))
def test_windows_that_are_read_fit_the_schema(body: Any) -> None:
    schema = described.body_of(described.JOBS, "POST /v1/windows")
    try:
        jobs.read_windows(json.dumps(body).encode())
    except InputError:
        return
    assert described.problems(described.JOBS, schema, body) == []
