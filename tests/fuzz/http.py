"""Bytes at the agent's HTTP socket: a real server, whose service answers as an agent's does."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eagent.api.server import Bounds, Server
from eagent.errors import NotFoundError
from tests.fuzz.hostile import TEXTS, VALUES, battered, check_line

DEVICES = ("gpu0", "gpu1")
PATHS = ("/v1/status", "/v1/plan", "/v1/budget", "/v1/devices/gpu0/pin", "/v1/devices/%00/explain", "/v1/restore", "/")
MORE = ("", "", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "A: \0\r\n")
WAIT_S = 10.0


class Service:
    """Answers what is right, and holds what it is given to what a route may let through."""

    def status(self) -> dict[str, Any]:
        return {}

    plan = mesh = status

    def explain(self, device: str) -> dict[str, Any]:
        if device not in DEVICES:
            raise NotFoundError(f"no device {device!r}")
        return {}

    async def set_budget(self, budget_w: float, fixed_w: float | None, safe_cap_w: float | None) -> dict[str, Any]:
        assert all(number is None or 0 <= number <= 1e6 for number in (budget_w, fixed_w, safe_cap_w))
        return {}

    async def clear_budget(self) -> None:
        pass

    def set_pin(
        self, device: str, limit_w: float | None, for_s: float | None, clock_mhz: float | None
    ) -> dict[str, Any]:
        self.explain(device)
        assert limit_w is None or 0 < limit_w <= 1e6
        assert clock_mhz is None or 0 < clock_mhz <= 1e4
        assert for_s is None or for_s > 0
        return {}

    def clear_pin(self, device: str) -> None:
        self.explain(device)

    async def restore(self) -> dict[str, Any]:
        return {}


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request or several, whole or battered."""
    sent = b""
    for _ in range(draw(st.integers(1, 3))):
        keys = st.sampled_from(["budget_w", "fixed_w", "safe_cap_w", "limit_w", "for_s"]) | TEXTS
        body = draw(
            st.dictionaries(keys, VALUES, max_size=3).map(lambda it: json.dumps(it, default=str).encode())
            | st.binary(max_size=20)
            | st.integers(1, 4000).map(lambda depth: b"[" * depth)
            | st.just(b"")
        )
        method = draw(st.sampled_from(["GET", "PUT", "DELETE", "POST", "HEAD", "FOO"]))
        path = draw(st.sampled_from(PATHS) | st.text("/%0aFv1.?#é \x1b", max_size=9).map("/{}".format))
        length = draw(st.sampled_from([len(body), len(body), len(body), 10**12, 0]))
        more = draw(
            st.sampled_from(["", "", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "A: \0\r\n"])
        )
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {length}\r\n\r\n"
        sent += head.encode() + body
    return draw(battered(sent)) if draw(st.booleans()) else sent


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each response in a stream; interim ones are left out. Asserts that there is nothing else."""
    found = []
    while received:
        head, gap, received = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        assert gap, f"half a response: {head!r}"
        assert first.startswith(b"HTTP/1.1 "), f"no response: {first!r}"
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        length = int(headers.get(b"content-length", b"0"))
        is_whole = len(received) >= length and not received.startswith(b"HTTP/1.1 ")  # HEAD has a length and no body
        body, received = (received[:length], received[length:]) if is_whole else (b"", received)
        if (status := int(first.split()[1])) != 100:
            found.append((status, body))
    return found


class _Complaints(logging.Handler):
    """What the server logs as its own failure."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def _talk(path: Path, sent: bytes) -> bytes:
    server = Server(Service(), path, Bounds(request_s=0.2, idle_s=0.2))
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(sent)
        if writer.can_write_eof():
            writer.write_eof()
        try:
            async with asyncio.timeout(WAIT_S):
                return await reader.read()
        except ConnectionResetError:  # it answered without reading all of it
            return b""
        finally:
            writer.close()
    finally:
        await server.close()


def target() -> tuple[Any, Any]:
    """The property, and what to close after it."""
    directory = Path(tempfile.mkdtemp(prefix="fuzz"))
    complaints = _Complaints()
    logger = logging.getLogger("eagent.api")
    logger.addHandler(complaints)
    logger.propagate = False

    @given(requests())
    def any_bytes_are_answered_without_a_failure(sent: bytes) -> None:
        complaints.lines.clear()
        received = asyncio.run(_talk(directory / "api.sock", sent))
        assert complaints.lines == []
        for status, body in answers(received):
            assert status < 500, f"{status} {body!r}"
            if status >= 400 and body:
                check_line(json.loads(body)["error"], 20_000)

    def close() -> None:
        logger.removeHandler(complaints)
        logger.propagate = True
        shutil.rmtree(directory)

    return any_bytes_are_answered_without_a_failure, close
