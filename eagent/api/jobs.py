"""What anybody on the host may ask the agent: what their own windows drew, and for less power on what they hold.

They may tell it how far their jobs are, too. Nothing else is answered at this socket.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from eagent.access import JOBS, of_jobs
from eagent.api.body import Fields, Line, Number, read_fields, read_object, schema_of
from eagent.api.gate import Gate, Rate
from eagent.api.route import SEGMENT_MAX, Call, Reply, Route, Routes, no_body, reply_error, reply_json
from eagent.api.schema import answers
from eagent.api.schema import jobs as schema
from eagent.api.schema.document import Door, with_document
from eagent.api.server import Bounds, Server
from eagent.api.service import Json
from eagent.asking import WINDOWS_MAX
from eagent.audit import Audit
from eagent.errors import InputError, RefusedError
from eagent.wish import Wish

SOCKET_MODE = 0o666  # anybody: who asks gets only what its own processes held
DEVICES_MAX = 64
TIME_MAX_NS = 2**62
BOUNDS = Bounds(
    connections=128,
    of_one_user=32,
    header_bytes=4096,
    body_bytes=32_768,  # of which 256 windows take at most 12,000
    idle_s=5.0,
    request_s=2.0,
    write_s=2.0,
    drain_s=0.5,
)

RATE = Rate(per_s=100.0, burst=500.0, all_per_s=500.0, all_burst=2000.0)  # windows may be short, and many
HINT_S = 3600.0
HINT = {
    "limit_w": Number("watts", 10_000.0, what="The most that the power limit is to be", example=250),
    "clock_mhz": Number("MHz", 10_000.0, what="The most that the clock is to be"),
    "slowdown": Number(
        "its time, as a share", 0.5, what="How much longer the job may take where that takes less energy", example=0.1
    ),
    "first_token_p99_s": Number(
        "seconds", 600.0, what="What a server's p99 of the time to the first token may be", example=2.5
    ),
    "between_tokens_p99_s": Number("seconds", 600.0, what="Likewise of the time between two tokens", example=0.2),
    "for_s": Number("seconds", 7 * 86_400.0, what="How long, if the job does not end before; else an hour"),
}
WINDOWS = {
    "type": "object",
    "properties": {
        "windows": {
            "type": "array",
            "minItems": 1,
            "maxItems": WINDOWS_MAX,
            "items": {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "items": {"type": "integer", "minimum": 0, "maximum": TIME_MAX_NS},
                "description": "Begin and end, in nanoseconds of this host's monotonic clock, the lesser first",
            },
        },
        "devices": {
            "type": "array",
            "maxItems": DEVICES_MAX,
            "items": {"type": "string", "minLength": 1, "maxLength": SEGMENT_MAX},
            "description": "Names, as gpu0; none: all GPUs that processes of the caller held",
        },
    },
    "required": ["windows"],
    "additionalProperties": False,
}

BEAT: Fields = {
    "n": Number("units", 1e15, zero=True, what="How much more work is done, in `unit`; else one", example=1),
    "unit": Line(16, what="What they are, such as token; else step", required=False),
    "name": Line(64, 0, "What the job is called, so that it is known again in its next run", required=False),
}

Span = tuple[int, int]


class JobService(Protocol):
    """What these requests need of the agent; see `eagent.agent.windows`."""

    async def windows(self, pid: int, uid: int, spans: list[Span], names: list[str]) -> Json:
        """What the devices that a caller's processes held drew over windows, in monotonic nanoseconds."""

    def set_hint(self, pid: int, uid: int, device: str, wish: Wish, for_s: float) -> Json:
        """Note that a caller wants no more of a device that its processes hold, or that its job may take longer."""

    def beat(self, pid: int, uid: int, units: float, unit: str, name: str) -> Json:
        """Note how much more a caller's job has done."""

    def clear_hint(self, uid: int, device: str) -> None:
        """Drop what a caller wanted of a device."""


async def post_windows(service: JobService, call: Call) -> Reply:
    """The joules of windows."""
    spans, names = read_windows(call.body)
    return reply_json(await service.windows(call.peer.pid, call.peer.uid, spans, names))


async def post_beat(service: JobService, call: Call) -> Reply:
    """Tell that more is done."""
    told, peer = read_fields(call.body, BEAT), call.peer
    units = 1.0 if told["n"] is None else told["n"]
    return reply_json(service.beat(peer.pid, peer.uid, units, told["unit"] or "step", told["name"] or ""))


async def put_hint(service: JobService, call: Call) -> Reply:
    """Ask for less."""
    asked = read_fields(call.body, HINT)
    for_s = asked.pop("for_s")
    asks = Wish(**asked), HINT_S if for_s is None else for_s
    try:
        return reply_json(service.set_hint(call.peer.pid, call.peer.uid, call.path["device"], *asks))
    except RefusedError as problem:
        return reply_error(403, str(problem))


async def delete_hint(service: JobService, call: Call) -> Reply:
    """Ask no more."""
    no_body(call)
    service.clear_hint(call.peer.uid, call.path["device"])
    return reply_json({})


DOOR = Door(
    "eagent: what jobs may ask",
    "What a job's own processes drew, and hints for less power or energy on what they hold. docs/api.md has more.",
    "curl --unix-socket /run/eagent/jobs/ask.sock",
    JOBS,
    (answers.schemas(),),
)
ROUTES: Routes = with_document(
    DOOR,
    (
        Route("POST", "/v1/windows", post_windows, schema.WINDOWS, WINDOWS, may=(404, 409)),
        Route("POST", "/v1/beat", post_beat, schema.BEATEN, schema_of(BEAT)),
        Route("PUT", "/v1/devices/{device}/hint", put_hint, schema.HINTED, schema_of(HINT)),
        Route("DELETE", "/v1/devices/{device}/hint", delete_hint, answers.EMPTY, may=(409,)),
    ),
)


def job_server(service: JobService, path: Path, gate: Gate | None = None) -> Server:
    """The server of the job socket; its directory must be there."""
    return Server(service, path, BOUNDS, ROUTES, SOCKET_MODE, gate or job_gate())


def job_gate(audit: Audit | None = None, look: Callable[[], Json] = dict) -> Gate:
    """The gate of the job socket: anybody may come, and nobody may more than anybody else."""
    return Gate(JOBS, of_jobs(), audit=audit, look=look, rate=RATE)


def read_windows(body: bytes) -> tuple[list[Span], list[str]]:
    """The windows and the devices in a request's body.

    Raises:
        InputError: it holds anything else, or too much of it.
    """
    document = read_object(body)
    if not document.keys() <= {"windows", "devices"}:
        raise InputError("the body takes 'windows' and 'devices', and nothing else")
    windows, names = document.get("windows"), document.get("devices", [])
    if not isinstance(windows, list) or not 1 <= len(windows) <= WINDOWS_MAX:
        raise InputError(f"windows: must be a list of 1 to {WINDOWS_MAX} pairs [begin_ns, end_ns]")
    if not isinstance(names, list) or len(names) > DEVICES_MAX or not all(map(_is_name, names)):
        raise InputError(f"devices: must be a list of at most {DEVICES_MAX} names, as gpu0")
    return [_span(each) for each in windows], names


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= SEGMENT_MAX and value.isprintable()


def _span(value: object) -> Span:
    if isinstance(value, list) and len(value) == 2 and all(type(each) is int for each in value):
        begin_ns, end_ns = value
        if 0 <= begin_ns <= end_ns <= TIME_MAX_NS:
            return begin_ns, end_ns
    raise InputError("a window is a pair [begin_ns, end_ns] of whole monotonic nanoseconds, the lesser first")
