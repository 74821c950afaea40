"""The OpenAPI document of a socket, made of its table of routes and of the table of who may do what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from eagent import __version__
from eagent.access import Needs
from eagent.api.route import SEGMENT_MAX, Call, Handler, Reply, Route, Routes, no_body, reply_json
from eagent.api.schema.answers import DOCUMENT
from eagent.api.schema.form import ref
from eagent.api.service import Json

TEMPLATE = "/openapi.json"
NAMES = {
    "device": ("gpu0", "A UUID or an unambiguous beginning of one, a PCI address, or as here; cpu0 for a CPU package"),
    "host": ("n12", "A host, as power.toml names it"),
}

# What any request may be answered, whatever it asks for.
ANY: Mapping[int, str] = {
    400: "It can't be used: an unfit body, a body or a query where none belongs, or not HTTP as we speak it",
    403: "Not for who asks",
    408: "The request was not complete in time",
    413: "The body is too long",
    429: "Too many requests or connections of one user, or of all: wait a second",
    431: "The head of the request is too long",
    500: "A failure of eagent or of a driver, which its log explains; not expected",
}
SOME: Mapping[int, str] = {
    404: "No such device or host, or none here",
    409: "It is refused as things stand",
    503: "What it needs is not there: mostly the warden",
}
WRONG_METHOD = {405: "The path takes other methods, which the header Allow names"}


@dataclass(frozen=True, slots=True)
class Door:
    """A socket, as its document tells of it."""

    title: str
    about: str
    way: str  # to it, for people
    needs: Needs
    schemas: tuple[Json, ...]  # by their names
    url: str = "http://localhost"
    further: Mapping[int, str] = field(default_factory=dict)  # what any request may be answered here, too


def with_document(door: Door, routes: Routes) -> Routes:
    """The routes, and one more that describes all of them and itself."""
    known: list[Json] = []

    async def get_openapi(service: object, call: Call) -> Reply:  # noqa: ARG001  # the shape of a handler
        """What there is to ask here: this document."""
        no_body(call)
        if not known:
            known.append(document(door, whole))
        return reply_json(known[0])

    whole = (*routes, Route("GET", TEMPLATE, get_openapi, DOCUMENT))
    return whole


def document(door: Door, routes: Iterable[Route]) -> Json:
    """The OpenAPI document of these routes."""
    paths: Json = {}
    refusals = {**ANY, **SOME, **WRONG_METHOD, **door.further}
    for route in routes:
        if route.template not in paths:
            paths[route.template] = _path(route.template)
        paths[route.template][route.method.lower()] = _operation(route, door)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": door.title,
            "version": __version__,
            "description": door.about,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": door.url, "description": door.way}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for family in door.schemas for name, schema in family.items()},
            "responses": {str(status): _refusal(status, what) for status, what in refusals.items()},
        },
    }


def _path(template: str) -> Json:
    caught = re.findall(r"{(\w+)}", template)
    return {"parameters": [_parameter(name) for name in caught]} if caught else {}


def _parameter(name: str) -> Json:
    example, what = NAMES[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": what,
        "example": example,
        "schema": {"type": "string", "minLength": 1, "maxLength": SEGMENT_MAX},
    }


def _operation(route: Route, door: Door) -> Json:
    role = door.needs[f"{route.method} {route.template}"].label
    summary = _first_line(route.handler)
    refusals = {*ANY, *WRONG_METHOD, *door.further, *route.may, *((404,) if "{" in route.template else ())}
    found: Json = {
        "operationId": getattr(route.handler, "__name__", route.template),
        "summary": summary,
        "description": f"{summary} For {role}s.",
        "x-eagent-role": role,
        "responses": {
            "200": {"description": "Done, or told", "content": {route.content_type: {"schema": route.answer}}},
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(refusals)},
        },
    }
    if route.body is not None:
        found["requestBody"] = {
            "required": route.needs_body,
            "content": {"application/json": {"schema": route.body}},
        }
    if route.method not in ("GET", "HEAD"):
        found["parameters"] = [
            {
                "name": "Eagent-Why",
                "in": "header",
                "required": False,
                "description": "The reason, for the audit log: percent-encoded",
                "schema": {"type": "string"},
            }
        ]
    return found


def _first_line(handler: Handler) -> str:
    return (handler.__doc__ or "").partition("\n")[0]


def _refusal(status: int, what: str) -> Json:
    found: Json = {
        "description": what,
        "content": {"application/json": {"schema": ref("Error")}},
    }
    if status in WRONG_METHOD:
        found["headers"] = {
            "Allow": {"required": True, "schema": {"type": "string"}, "description": "The methods that it takes"}
        }
    return found
