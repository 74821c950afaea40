"""What the power role's socket answers: who sleeps, what would be done, and an operator's wishes."""

from __future__ import annotations

from typing import Any, Protocol

from eagent.api.body import read_object
from eagent.api.routes import Call, Reply, Routes, no_body, reply_json
from eagent.errors import InputError

Json = dict[str, Any]

TEXT_MAX = 200  # characters
_TEXTS = ("who", "why")


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
    texts = read_texts(call.body)
    return reply_json(service.wake(call.path["host"], texts["who"], texts["why"]))


async def post_sleep(service: PowerService, call: Call) -> Reply:
    """Put a host to sleep."""
    texts = read_texts(call.body)
    return reply_json(service.sleep(call.path["host"], texts["who"], texts["why"]))


async def post_resume(service: PowerService, call: Call) -> Reply:
    """Put hosts to sleep again."""
    return reply_json(service.resume(read_texts(call.body)["who"]))


def read_texts(body: bytes) -> dict[str, str]:
    """Who asks and why, for the record: printable, and not long.

    Raises:
        InputError: the body is not that.
    """
    document = read_object(body)
    for key in document:
        if key not in _TEXTS:
            raise InputError(f"unknown key {key[:40]!r} in the body; known are {', '.join(_TEXTS)}")
    for key in _TEXTS:
        text = document.get(key)
        if not isinstance(text, str) or not 0 < len(text) <= TEXT_MAX or not text.isprintable():
            raise InputError(f"{key}: must be a line of 1 to {TEXT_MAX} printable characters")
    return {key: document[key] for key in _TEXTS}


POWER_ROUTES: Routes = (
    ("GET", "/v1/status", get_status),
    ("GET", "/v1/plan", get_plan),
    ("POST", "/v1/hosts/{host}/wake", post_wake),
    ("POST", "/v1/hosts/{host}/sleep", post_sleep),
    ("POST", "/v1/resume", post_resume),
)
