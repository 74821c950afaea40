import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.access import POWER
from eagent.api import power
from eagent.api.body import read_fields
from eagent.api.gate import Gate
from eagent.api.power import POWER_ROUTES
from eagent.api.routes import answer
from eagent.errors import InputError, RefusedError
from eagent.peer import Peer

ROOT = Peer(1, 0)


class Role:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.problem: Exception | None = None

    def _note(self, *asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        if self.problem is not None:
            raise self.problem
        return {"asked": list(asked)}

    def status(self) -> dict[str, Any]:
        return self._note("status")

    def plan(self) -> dict[str, Any]:
        return self._note("plan")

    def wake(self, host: str, who: str, why: str) -> dict[str, Any]:
        return self._note("wake", host, who, why)

    def sleep(self, host: str, who: str, why: str) -> dict[str, Any]:
        return self._note("sleep", host, who, why)

    def resume(self, who: str) -> dict[str, Any]:
        return self._note("resume", who)


def ask(role: Role, method: str, target: str, body: bytes = b"") -> tuple[int, Any]:
    reply = asyncio.run(answer(role, method, target, body, POWER_ROUTES, ROOT, Gate(POWER)))
    return reply.status, json.loads(reply.body)


BODY = b'{"who": "root", "why": "a test"}'


@pytest.mark.parametrize(
    ("method", "target", "body", "asked"),
    [
        ("GET", "/v1/status", b"", ["status"]),
        ("GET", "/v1/plan", b"", ["plan"]),
        ("POST", "/v1/hosts/n1.site/wake", BODY, ["wake", "n1.site", "root", "a test"]),
        ("POST", "/v1/hosts/n1/sleep", BODY, ["sleep", "n1", "root", "a test"]),
        ("POST", "/v1/resume", BODY, ["resume", "root"]),
    ],
)
def test_each_route_asks_the_role(method: str, target: str, body: bytes, asked: list[str]) -> None:
    assert ask(Role(), method, target, body) == (200, {"asked": asked})


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", "the body is not JSON in UTF-8"),
        (b"{}", "who: must be a line of 1 to 200 printable characters"),
        (b'{"who": "root"}', "why: must be a line of 1 to 200 printable characters"),
        (b'{"who": "root", "why": "a\\nb"}', "why: must be a line of 1 to 200 printable characters"),
        (b'{"who": "root", "why": 3}', "why: must be a line of 1 to 200 printable characters"),
        (b'{"who": "root", "why": "x", "force": true}', 'unknown key "force" in the body; known are who, why'),
    ],
)
def test_who_asks_and_why_is_needed_in_one_line_each(body: bytes, line: str) -> None:
    role = Role()
    assert ask(role, "POST", "/v1/hosts/n1/sleep", body) == (400, {"error": line})
    assert role.asked == []


def test_what_the_role_refuses_is_a_conflict() -> None:
    role = Role()
    role.problem = RefusedError("n1: it says that it is awake")
    assert ask(role, "POST", "/v1/hosts/n1/sleep", BODY) == (409, {"error": "n1: it says that it is awake"})


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/v1/budget"), ("POST", "/v1/hosts//wake"), ("GET", "/metrics")]
)
def test_what_only_the_agent_answers_is_not_found(method: str, target: str) -> None:
    assert ask(Role(), method, target)[0] == 404


@given(
    st.binary(max_size=60)
    | st.dictionaries(st.text(max_size=4), st.text(max_size=5)).map(lambda d: json.dumps(d).encode())
)
def test_any_body_is_two_texts_or_an_input_error(body: bytes) -> None:
    with contextlib.suppress(InputError):
        assert set(read_fields(body, power.TEXTS)) == {"who", "why"}
