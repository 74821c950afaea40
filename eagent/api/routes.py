"""What the HTTP application answers: an explicit table of method and path, each with one handler. No socket in here."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import unquote

from eagent.access import API, TCP
from eagent.api.body import Line, Number, read_fields, read_object, schema_of
from eagent.api.gate import Gate
from eagent.api.health import unhealthy
from eagent.api.metrics import CONTENT_TYPE, exposition
from eagent.api.route import SEGMENT_MAX, Call, Handler, Reply, Route, Routes, no_body, reply_error, reply_json
from eagent.api.schema import answers, devices, host, mesh
from eagent.api.schema.document import Door, with_document
from eagent.api.schema.form import ref
from eagent.api.service import Service
from eagent.errors import EagentError, InputError, NotFoundError, RefusedError, UnavailableError
from eagent.peer import NOBODY, Peer, user_name

log = logging.getLogger(__name__)

HOST_MAX_W = 1_000_000.0
TEXT_MAX = 200
PIN_MAX_S = 366 * 86_400.0
CLOCK_MAX_MHZ = 10_000.0

BUDGET = {
    "budget_w": Number("watts", HOST_MAX_W, required=True, what="The most that the host may draw", example=6000),
    "fixed_w": Number(
        "watts", HOST_MAX_W, zero=True, what="What all draws at most that eagent can't cap; else configured"
    ),
    "safe_cap_w": Number("watts", HOST_MAX_W, what="What a GPU falls to when nobody governs it; else configured"),
}
PIN = {
    "limit_w": Number("watts", HOST_MAX_W, what="Where the power limit is held", example=250),
    "clock_mhz": Number("MHz", CLOCK_MAX_MHZ, what="Where the clock ceiling is held", example=1200),
    "for_s": Number("seconds", PIN_MAX_S, what="How long; else until it is cleared"),
}
WHY = {"why": Line(TEXT_MAX, least=0, what="What for")}
NOTHING = {"type": "object", "maxProperties": 0, "description": "An empty object, or nothing at all"}


async def get_status(service: Service, call: Call) -> Reply:
    """All that is known now."""
    no_body(call)
    return reply_json(service.status())


async def get_explain(service: Service, call: Call) -> Reply:
    """Why the knobs of one device stand where they stand."""
    no_body(call)
    return reply_json(service.explain(call.path["device"]))


async def get_plan(service: Service, call: Call) -> Reply:
    """What every policy asks for now, whether it acts or only observes."""
    no_body(call)
    return reply_json(service.plan())


async def get_mesh(service: Service, call: Call) -> Reply:
    """This host's part in the mesh, its domains and its peers."""
    no_body(call)
    return reply_json(service.mesh())


async def put_budget(service: Service, call: Call) -> Reply:
    """Put the host under a budget."""
    numbers = read_fields(call.body, BUDGET)
    return reply_json(await service.set_budget(numbers["budget_w"], numbers["fixed_w"], numbers["safe_cap_w"]))


async def delete_budget(service: Service, call: Call) -> Reply:
    """End the budget."""
    no_body(call)
    await service.clear_budget()
    return reply_json({})


async def put_pin(service: Service, call: Call) -> Reply:
    """Pin one device's power limit, its clock ceiling, or both."""
    numbers, device = read_fields(call.body, PIN), call.path["device"]
    return reply_json(service.set_pin(device, numbers["limit_w"], numbers["for_s"], numbers["clock_mhz"]))


async def delete_pin(service: Service, call: Call) -> Reply:
    """Drop one device's pin."""
    no_body(call)
    service.clear_pin(call.path["device"])
    return reply_json({})


async def put_detachment(service: Service, call: Call) -> Reply:
    """Take a GPU out, so that it can be reset."""
    why = read_fields(call.body, WHY)["why"]
    return reply_json(await service.detach(call.path["device"], user_name(call.peer.uid), why))


async def delete_detachment(service: Service, call: Call) -> Reply:
    """Take it in again."""
    no_body(call)
    return reply_json(await service.attach(call.path["device"]))


async def post_restore(service: Service, call: Call) -> Reply:
    """Give every knob back."""
    if call.body and read_object(call.body):
        raise InputError("restore takes no keys in its body")
    return reply_json(await service.restore())


async def get_metrics(service: Service, call: Call) -> Reply:
    """The same truth for Prometheus."""
    no_body(call)
    return Reply(200, exposition(service.status()), CONTENT_TYPE)


async def get_health(service: Service, call: Call) -> Reply:
    """200 only while the hardware is seen, and seen now."""
    no_body(call)
    reason = unhealthy(service.status())
    return reply_error(503, reason) if reason else reply_json({"healthy": True})


# One line a route. Who may ask for it stands in `access.API`.
DOOR = Door(
    "eagent: the agent of a host",
    "Status, budgets, pins and explanations of the GPUs and CPU packages of one host. docs/api.md has more.",
    "curl --unix-socket /run/eagent/api.sock",
    API,
    (answers.schemas(), host.schemas(), devices.schemas(), mesh.schemas()),
)
_ROUTES: Routes = (
    Route("GET", "/v1/status", get_status, ref("Status")),
    Route("GET", "/v1/devices/{device}/explain", get_explain, ref("Explanation")),
    Route("GET", "/v1/plan", get_plan, ref("Plan")),
    Route("GET", "/v1/mesh", get_mesh, ref("Mesh"), may=(404,)),
    Route("PUT", "/v1/budget", put_budget, ref("BudgetSet"), schema_of(BUDGET), may=(409, 503)),
    Route("DELETE", "/v1/budget", delete_budget, answers.EMPTY, may=(409, 503)),
    Route("PUT", "/v1/devices/{device}/pin", put_pin, answers.PINNED, schema_of(PIN), may=(409,)),
    Route("DELETE", "/v1/devices/{device}/pin", delete_pin, answers.EMPTY),
    Route(
        "PUT",
        "/v1/devices/{device}/detachment",
        put_detachment,
        answers.DETACHED,
        schema_of(WHY),
        may=(409, 503),
    ),
    Route("DELETE", "/v1/devices/{device}/detachment", delete_detachment, answers.ATTACHED, may=(409, 503)),
    Route("POST", "/v1/restore", post_restore, answers.RESTORED, NOTHING, may=(409, 503), needs_body=False),
    Route("GET", "/metrics", get_metrics, answers.METRICS, content_type=CONTENT_TYPE),
    Route("GET", "/healthz", get_health, answers.HEALTH, may=(503,)),
)
ROUTES: Routes = with_document(DOOR, _ROUTES)
READS: Routes = tuple(route for route in _ROUTES if f"{route.method} {route.template}" in TCP)


async def answer(
    service: Any,
    method: str,
    target: str,
    body: bytes = b"",
    routes: Routes = ROUTES,
    peer: Peer = NOBODY,
    gate: Gate | None = None,
    why: str = "",
) -> Reply:
    """The response to one request. Never raises, and never shows a client more than one line of a problem.

    What changes something, and what is refused for who asks, goes into the gate's log.

    Args:
        service: what the routes ask: the agent, or the power role.
        method: as sent. HEAD is answered as GET; whoever writes the response leaves the body out.
        target: the request target as sent, percent-encoded.
        body: all of it.
        routes: what there is to ask.
        peer: who asks.
        gate: says whether they may; None: only root and our own user.
        why: the reason that they give, for the log.
    """
    gate = gate or Gate()
    path, query, _ = target.partition("?")
    template, handlers, caught = _find(path, routes)
    if not handlers:
        return reply_error(404, f"no such path: {path[:SEGMENT_MAX]}")
    handler = handlers.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = ", ".join([*handlers, "HEAD"] if "GET" in handlers else handlers)
        return reply_error(405, f"{path} takes {allowed}, not {method[:16]}", (("Allow", allowed),))
    what = f"{method} {path}"
    if refusal := gate.refusal(peer, method, template):
        gate.note(peer, what, f"refused: {refusal}", body, why, {}, {})
        return reply_error(403, refusal)
    if query:
        return reply_error(400, f"{path} takes no query")
    call = Call(body, caught, peer)
    if not gate.is_change(method, template):
        return await _handled(handler, service, call, what)
    before = gate.look()
    reply = await _handled(handler, service, call, what)
    outcome = "done" if reply.status < 400 else f"not done: {json.loads(reply.body)['error']}"
    gate.note(peer, what, outcome, body, why, before, gate.look())
    return reply


async def _handled(handler: Handler, service: Any, call: Call, what: str) -> Reply:
    """What a handler answers, or the response to what it raises."""
    try:
        return await handler(service, call)
    except NotFoundError as problem:
        return reply_error(404, str(problem))
    except InputError as problem:
        return reply_error(400, str(problem))
    except RefusedError as problem:
        return reply_error(409, str(problem))
    except UnavailableError as problem:
        return reply_error(503, str(problem))
    except EagentError as problem:
        log.error("%s: %s: %s", what, type(problem).__name__, problem)
        return reply_error(500, str(problem))
    except Exception:
        log.exception("%s failed", what)
        return reply_error(500, "eagent failed to answer this; its log says why")


def _find(path: str, routes: Routes) -> tuple[str, dict[str, Handler], dict[str, str]]:
    """The template that is like `path`, its handlers by method, and what it caught; no handlers, no such path."""
    found, handlers = "", {}
    caught: dict[str, str] = {}
    for route in routes:
        match = _match(route.template, path)
        if match is not None:
            found, handlers[route.method], caught = route.template, route.handler, match
    return found, handlers, caught


def _match(template: str, path: str) -> dict[str, str] | None:
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    caught: dict[str, str] = {}
    for want, have in zip(wanted, given, strict=True):
        if want.startswith("{"):
            # Decoded after the split, so that an encoded slash stays inside its segment.
            caught[want[1:-1]] = name = unquote(have)
            if not name or len(name) > SEGMENT_MAX or not name.isprintable():
                return None
        elif want != have:
            return None
    return caught
