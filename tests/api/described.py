"""Holding answers to the document: with its objects shut, so that nothing may be told that is not described."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonschema_rs

from eagent.api import jobs, power, routes, tcp
from eagent.api.schema.document import document

Json = dict[str, Any]
AGENT = document(routes.DOOR, routes.ROUTES)
JOBS = document(jobs.DOOR, jobs.ROUTES)
POWER = document(power.DOOR, power.POWER_ROUTES)
TCP = document(tcp.DOOR, tcp.ROUTES)
DOCUMENTS = {"api": AGENT, "jobs": JOBS, "power": POWER, "tcp": TCP}


def shut(told: Json) -> Json:
    """A copy in which no object has a key that its schema does not name. The document itself lets keys come."""
    copy = deepcopy(told)
    _shut(copy["paths"])
    _shut(copy["components"])
    return copy


def answer_of(told: Json, route: str) -> Json:
    """The schema of what a 200 of `GET /v1/status` holds."""
    method, path = route.split()
    content: Json = told["paths"][path][method.lower()]["responses"]["200"]["content"]
    return next(iter(content.values()))["schema"]  # type: ignore[no-any-return]


def body_of(told: Json, route: str) -> Json:
    """The schema of what a route takes."""
    method, path = route.split()
    return told["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"]  # type: ignore[no-any-return]


def problems(told: Json, schema: Json, value: Any) -> list[str]:
    """What is wrong with a value by a schema of a document."""
    whole = {**schema, "components": told["components"]}
    found = jsonschema_rs.Draft202012Validator(whole).iter_errors(value)
    return [f"{'/'.join(map(str, each.instance_path))}: {each.message[:200]}" for each in found]


def _shut(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") in ("object", ["object", "null"]) and "properties" in node:
            node.setdefault("additionalProperties", False)
        for each in node.values():
            _shut(each)
    elif isinstance(node, list):
        for each in node:
            _shut(each)
