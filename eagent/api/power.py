"""What the power role's socket answers: who sleeps, what would be done, and an operator's wishes."""

from __future__ import annotations

from typing import Any, Protocol

from eagent.access import POWER
from eagent.api.body import Line, read_fields, schema_of
from eagent.api.route import Call, Reply, Route, Routes, no_body, reply_json
from eagent.api.schema import answers
from eagent.api.schema import power as schema
from eagent.api.schema.document import Door, with_document

Json = dict[str, Any]

TEXT_MAX = 200  # characters
TEXTS = {"who": Line(TEXT_MAX, what="Who asks, for the record"), "why": Line(TEXT_MAX, what="Why, for the record")}


class PowerService(Protocol):
    """The power role as HTTP sees it; as with `Service`, the role need not know this file."""

    def status(self) -> Json:
        """Who sleeps, who is being switched, how each host was heard of last, and how far each domain is."""

    def plan(self) -> Json:
        """What acting would do now, and why not more."""

    def wake(self, host: str, who: str, why: str) -> Json:
        """Want a host awake.

        Raises:
            InputError: no host that can be switched.
            RefusedError: nothing is switched in this mode.
        """

    def sleep(self, host: str, who: str, why: str) -> Json:
        """Put a host to sleep, if it has yielded; the errors are those of `wake`."""

    def resume(self, who: str) -> Json:
        """Put hosts to sleep again after failures have stopped that."""


async def get_status(service: PowerService, call: Call) -> Reply:
    """All that is known now."""
    no_body(call)
    return reply_json(service.status())


async def get_plan(service: PowerService, call: Call) -> Reply:
    """What acting would do now."""
    no_body(call)
    return reply_json(service.plan())


async def post_wake(service: PowerService, call: Call) -> Reply:
    """Want a host awake."""
    texts = read_fields(call.body, TEXTS)
    return reply_json(service.wake(call.path["host"], texts["who"], texts["why"]))


async def post_sleep(service: PowerService, call: Call) -> Reply:
    """Put a host to sleep."""
    texts = read_fields(call.body, TEXTS)
    return reply_json(service.sleep(call.path["host"], texts["who"], texts["why"]))


async def post_resume(service: PowerService, call: Call) -> Reply:
    """Put hosts to sleep again."""
    return reply_json(service.resume(read_fields(call.body, TEXTS)["who"]))


DOOR = Door(
    "eagent: the power role of a management host",
    "Who sleeps, what would be done, and an operator's wishes. docs/power.md has more.",
    "curl --unix-socket /run/eagent/power.sock",
    POWER,
    (answers.schemas(),),
)
POWER_ROUTES: Routes = with_document(
    DOOR,
    (
        Route("GET", "/v1/status", get_status, schema.STATUS),
        Route("GET", "/v1/plan", get_plan, schema.PLAN),
        Route("POST", "/v1/hosts/{host}/wake", post_wake, schema.ANSWER, schema_of(TEXTS), may=(409,)),
        Route("POST", "/v1/hosts/{host}/sleep", post_sleep, schema.ANSWER, schema_of(TEXTS), may=(409,)),
        Route("POST", "/v1/resume", post_resume, schema.RESUMED, schema_of(TEXTS), may=(409,)),
    ),
)
