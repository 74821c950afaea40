from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.access import JOBS
from eagent.api.jobs import BOUNDS, DEVICES_MAX, ROUTES, TIME_MAX_NS, job_gate, job_server, read_windows
from eagent.api.routes import ROUTES as AGENT_ROUTES
from eagent.api.server import Bounds, Server
from eagent.asking import WINDOWS_MAX
from eagent.errors import InputError


def body(windows: Any, **more: Any) -> bytes:
    return json.dumps({"windows": windows, **more}).encode()


@given(
    st.lists(st.tuples(st.integers(0, TIME_MAX_NS), st.integers(0, TIME_MAX_NS)), min_size=1, max_size=20),
    st.lists(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20), max_size=5),
)
def test_what_is_a_request_is_read_as_it_was_written(spans: list[tuple[int, int]], names: list[str]) -> None:
    spans = [(min(span), max(span)) for span in spans]
    assert read_windows(body(spans, devices=names)) == (spans, names)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    JSON | st.fixed_dictionaries({"windows": JSON | st.lists(st.lists(JSON, max_size=3), max_size=3), "devices": JSON})
)
def test_whatever_else_is_json_is_refused_or_bounded(document: Any) -> None:
    try:
        spans, names = read_windows(json.dumps(document).encode())
    except InputError:
        return
    assert 1 <= len(spans) <= WINDOWS_MAX
    assert all(0 <= begin_ns <= end_ns <= TIME_MAX_NS for begin_ns, end_ns in spans)
    assert len(names) <= DEVICES_MAX


@given(st.binary(max_size=200))
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        read_windows(data)


@pytest.mark.parametrize(
    "data",
    [
        body([]),
        body([[0, 1]] * (WINDOWS_MAX + 1)),
        body([[1, 0]]),
        body([[0, 1.0]]),
        body([[0, True]]),
        body([[-1, 1]]),
        body([[0, TIME_MAX_NS + 1]]),
        body([[0, 1, 2]]),
        body([[0, 1]], devices="gpu0"),
        body([[0, 1]], devices=["gpu0"] * (DEVICES_MAX + 1)),
        body([[0, 1]], devices=["x" * 129]),
        body([[0, 1]], devices=["a\nb"]),
        body([[0, 1]], pid=1),
        b'{"windows": [[0, 1' + b"0" * 5000 + b"]]}",
        b'{"windows": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    ],
)
def test_a_request_that_is_too_much_or_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        read_windows(data)


def test_a_full_request_fits_into_what_is_read() -> None:
    spans = [[TIME_MAX_NS, TIME_MAX_NS]] * WINDOWS_MAX
    assert len(body(spans, devices=["x" * 128] * DEVICES_MAX)) < BOUNDS.body_bytes


class FakeJobs:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    def beat(self, *asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        return {"counts": True}

    async def windows(self, *asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        await self.go_on.wait()
        return {"simulated": True, "windows": []}


def request(path: str = "/v1/windows", method: str = "POST", data: bytes = body([[1, 2]])) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        + data
    )


async def talk(path: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    answer = b""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):  # who is turned away is not read to the end
            while chunk := await reader.read(65_536):
                answer += chunk
    writer.close()
    return answer


def with_jobs(path: Path, work: Callable[[FakeJobs], Awaitable[None]], bounds: Bounds | None = None) -> None:
    async def run() -> None:
        jobs = FakeJobs()
        server = Server(jobs, path, bounds, ROUTES, 0o666, job_gate()) if bounds else job_server(jobs, path)
        await server.start()
        try:
            await work(jobs)
        finally:
            await server.close()

    asyncio.run(run())


def test_anybody_may_connect_and_is_known_by_the_kernels_word(tmp_path: Path) -> None:
    path = tmp_path / "ask.sock"

    async def work(jobs: FakeJobs) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert b" 200 OK" in await talk(path, request())
        assert jobs.asked == [(os.getpid(), os.geteuid(), [(1, 2)], [])]

    before = os.umask(0o077)
    try:
        with_jobs(path, work)
    finally:
        os.umask(before)


def test_nothing_else_of_the_agent_is_served_there(tmp_path: Path) -> None:
    path = tmp_path / "ask.sock"

    async def work(jobs: FakeJobs) -> None:
        for route in AGENT_ROUTES:
            if f"{route.method} {route.template}" in JOBS:
                continue  # the document of what there is here
            target = route.template.replace("{device}", "gpu0")
            assert b" 404 " in await talk(path, request(target, route.method, b""))
        assert b" 405 " in await talk(path, request("/v1/windows", "GET", b""))
        assert b" 400 " in await talk(path, request("/v1/windows?pid=1"))
        assert b" 413 " in await talk(path, request(data=b" " * (BOUNDS.body_bytes + 1)))
        assert jobs.asked == []

    with_jobs(path, work)


def test_one_user_does_not_take_all_connections(tmp_path: Path) -> None:
    path = tmp_path / "ask.sock"

    async def work(jobs: FakeJobs) -> None:
        jobs.go_on.clear()
        waiting = [asyncio.ensure_future(talk(path, request())) for _ in range(3)]
        while len(jobs.asked) < 3:
            await asyncio.sleep(0.001)
        assert b" 429 " in await talk(path, request())
        jobs.go_on.set()
        assert all(b" 200 " in answer for answer in await asyncio.gather(*waiting))
        assert b" 200 " in await talk(path, request())

    with_jobs(path, work, Bounds(connections=10, of_one_user=3))


def test_who_connects_and_says_nothing_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "ask.sock"

    async def work(_: FakeJobs) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request()[:40])
        async with asyncio.timeout(5):
            assert b" 408 " in await reader.read()
        writer.close()

    with_jobs(path, work, Bounds(idle_s=0.05, request_s=0.05))


def test_the_peer_is_the_one_who_connected_and_not_who_writes(tmp_path: Path) -> None:
    """A connection that is handed on speaks for who made it: the kernel keeps its word from then."""
    path = tmp_path / "ask.sock"

    async def work(jobs: FakeJobs) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            script = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).sendall(sys.stdin.buffer.read())"
            command, number = [sys.executable, "-c", script], connection.fileno()
            subprocess.run([*command, str(number)], input=request(), pass_fds=[number], timeout=60, check=True)
            connection.setblocking(False)
            while not jobs.asked:
                await asyncio.sleep(0.001)
        assert jobs.asked[0][0] == os.getpid()

    with_jobs(path, work)


def test_a_beat_is_told_with_the_kernels_word_on_who_told_it(tmp_path: Path) -> None:
    async def work(jobs: FakeJobs) -> None:
        path = tmp_path / "ask.sock"
        answer = await talk(path, request("/v1/beat", data=b'{"n": 512, "unit": "image", "name": "resnet"}'))
        assert b'{"counts": true}' in answer or b'{"counts":true}' in answer
        await talk(path, request("/v1/beat", data=b"{}"))
        who = os.getpid(), os.getuid()
        assert jobs.asked == [(*who, 512.0, "image", "resnet"), (*who, 1.0, "step", "")]

    with_jobs(tmp_path / "ask.sock", work)


@pytest.mark.parametrize(
    "data", [b"[]", b'{"n": -1}', b'{"n": NaN}', b'{"n": 1e300}', b'{"m": 1}', b'{"name": "a\\n"}']
)
def test_a_beat_that_is_none_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    async def work(jobs: FakeJobs) -> None:
        assert b" 400 " in await talk(tmp_path / "ask.sock", request("/v1/beat", data=data))
        assert jobs.asked == []

    with_jobs(tmp_path / "ask.sock", work)
