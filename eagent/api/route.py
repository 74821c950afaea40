"""One route: what is asked, who answers, and what its body and its answer are.

Requests are answered from a table of these (`routes.answer`), and the OpenAPI document is made from the same table.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eagent.api.service import Json
from eagent.errors import InputError
from eagent.peer import NOBODY, Peer

SEGMENT_MAX = 128  # longer than any UUID or PCI address
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its body, what the path's template caught, and who asks."""

    body: bytes = b""
    path: Mapping[str, str] = field(default_factory=dict)
    peer: Peer = NOBODY


@dataclass(frozen=True, slots=True)
class Reply:
    """One response."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Any, Call], Awaitable[Reply]]  # the service is that of the routes


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a table of routes. What it does is the first line of its handler's docstring.

    `may` names the refusals of this route beside those that any route has: 404 no such device or host, 409 it will not
    be done as things stand, 503 what it needs is not there.
    """

    method: str
    template: str  # {name} catches one segment of the path
    handler: Handler
    answer: Json  # the schema of what a 200 holds
    body: Json | None = None  # the schema of what it takes; None: nothing
    may: tuple[int, ...] = ()
    content_type: str = JSON  # of a 200
    needs_body: bool = True  # where it takes one


Routes = tuple[Route, ...]


def reply_json(document: Json, status: int = 200) -> Reply:
    """A response that holds `document`."""
    return Reply(status, json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def reply_error(status: int, line: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A response that says in one line what is wrong."""
    body = json.dumps({"error": " ".join(line.split())}, ensure_ascii=False).encode(errors="replace") + b"\n"
    return Reply(status, body, headers=headers)


def no_body(call: Call) -> None:
    """Refuse a body where none has a meaning."""
    if call.body:
        raise InputError("this request takes no body")
