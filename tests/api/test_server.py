import asyncio
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.access import Rights
from eagent.api.gate import Gate, Rate
from eagent.api.server import Bounds, Server
from eagent.audit import Audit, read
from eagent.peer import Peer

STATUS = b"GET /v1/status HTTP/1.1\r\nHost: eagent\r\n\r\n"
LAST_STATUS = b"GET /v1/status HTTP/1.1\r\nHost: eagent\r\nConnection: close\r\n\r\n"


class Talk:
    """One connection to the server, read by h11 as the client it also is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
        self.writer.write(request)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> tuple[h11.Response, bytes]:
        """The next response; `method` is what it answers, which decides whether it has a body."""
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            parser = h11.Connection(h11.CLIENT)
            parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
            parser.send(h11.EndOfMessage())
            parser.receive_data(head)
            response = parser.next_event()
            assert isinstance(response, (h11.Response, h11.InformationalResponse))
            length = 0 if method == "HEAD" else int(dict(response.headers).get(b"content-length", b"0"))
            return response, await self.reader.readexactly(length)

    async def closed(self) -> bool:
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True


@asynccontextmanager
async def serving(service: Any, path: Path, bounds: Bounds | None = None) -> AsyncIterator[Server]:
    server = Server(service, path, bounds)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def talking(path: Path) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


def with_server(
    service: Any, path: Path, work: Callable[[Talk], Awaitable[None]], bounds: Bounds | None = None
) -> None:
    async def run() -> None:
        async with serving(service, path, bounds), talking(path) as talk:
            await work(talk)

    asyncio.run(run())


def test_one_connection_answers_many_requests(service: Any, path: Path) -> None:
    async def work(talk: Talk) -> None:
        for _ in range(3):
            response, body = await talk.ask(STATUS)
            assert (response.status_code, response.reason) == (200, b"OK")
            assert json.loads(body) == service.said

    with_server(service, path, work)


def test_requests_sent_in_one_go_are_answered_in_order(service: Any, path: Path) -> None:
    async def work(talk: Talk) -> None:
        first, _ = await talk.ask(STATUS + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + LAST_STATUS)
        second, _ = await talk.answer()
        third, _ = await talk.answer()
        assert [first.status_code, second.status_code, third.status_code] == [200, 404, 200]
        assert await talk.closed()

    with_server(service, path, work)


def test_a_client_that_shuts_its_half_after_asking_is_answered(service: Any, path: Path) -> None:
    async def work(talk: Talk) -> None:
        talk.writer.write(STATUS)
        talk.writer.write_eof()
        assert (await talk.answer())[0].status_code == 200
        assert await talk.closed()

    with_server(service, path, work)


def test_head_has_the_length_of_get_and_no_body(service: Any, path: Path) -> None:
    async def work(talk: Talk) -> None:
        _, body = await talk.ask(STATUS)
        head, nothing = await talk.ask(STATUS.replace(b"GET", b"HEAD"), "HEAD")
        assert dict(head.headers)[b"content-length"] == str(len(body)).encode()
        assert nothing == b""
        assert (await talk.ask(STATUS))[1] == body  # nothing of a body was left in between

    with_server(service, path, work)


def test_a_head_that_is_refused_has_no_body(service: Any, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(talk: Talk) -> None:
        head = b"HEAD /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n"
        assert (await talk.ask(head, "HEAD"))[0].status_code == 400
        assert await talk.closed()

    with_server(service, path, work)
    assert caplog.records == []


def test_a_body_arrives_whole_in_pieces_or_in_chunks(service: Any, path: Path) -> None:
    async def work(talk: Talk) -> None:
        head = b"PUT /v1/budget HTTP/1.1\r\nHost: x\r\n"
        talk.writer.write(head + b"Content-Length: 18\r\nExpect: 100-continue\r\n\r\n")
        go_on, _ = await talk.answer()
        assert go_on.status_code == 100
        assert (await talk.ask(b'{"budget_w": 2480}'))[0].status_code == 200
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        chunked += b'9\r\n{"budget_\r\n8\r\nw": 2481\r\n1\r\n}\r\n0\r\n\r\n'
        assert (await talk.ask(chunked))[0].status_code == 200
        assert service.asked == [("set_budget", 2480.0, None, None), ("set_budget", 2481.0, None, None)]

    with_server(service, path, work)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 65537\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b" " * 0x8000 + b"\r\n8001\r\n" + b" " * 0x8001 + b"\r\n",
    ],
)
def test_a_body_that_is_too_long_is_413_as_soon_as_that_is_known(service: Any, path: Path, rest: bytes) -> None:
    async def work(talk: Talk) -> None:
        response, body = await talk.ask(b"PUT /v1/budget HTTP/1.1\r\nHost: x\r\n" + rest)
        assert response.status_code == 413
        assert "65536 bytes" in json.loads(body)["error"]
        assert await talk.closed()

    with_server(service, path, work)
    assert service.asked == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\r\n\r\nnonsense\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: " + b"x" * 20_000, 431),
    ],
)
def test_what_is_not_http_is_refused_with_one_line_and_closed(
    service: Any, path: Path, request_: bytes, status: int
) -> None:
    async def work(talk: Talk) -> None:
        response, body = await talk.ask(request_)
        assert response.status_code == status
        assert "not HTTP" in json.loads(body)["error"]
        assert dict(response.headers)[b"connection"] == b"close"
        assert await talk.closed()

    with_server(service, path, work)


def test_a_request_that_never_ends_is_408(service: Any, path: Path) -> None:
    async def work(talk: Talk) -> None:
        assert (await talk.ask(b"GET /v1/status HT"))[0].status_code == 408
        assert await talk.closed()

    with_server(service, path, work, Bounds(request_s=0.02))


def test_an_idle_connection_is_closed_without_a_word(service: Any, path: Path) -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(STATUS)
        assert await talk.closed()

    with_server(service, path, work, Bounds(idle_s=0.02))


def test_a_client_that_does_not_take_its_answer_is_dropped_and_others_are_served(service: Any, path: Path) -> None:
    service.said["alarms"] = ["x" * 1_000_000]  # more than a socket holds

    async def run() -> None:
        async with serving(service, path, Bounds(write_s=0.02, connections=1)):
            async with talking(path) as lazy:
                lazy.writer.transport.pause_reading()
                lazy.writer.write(STATUS)
                await wait_until_turned_away_no_more(path)
            service.said["alarms"] = []

    asyncio.run(run())


async def wait_until_turned_away_no_more(path: Path) -> None:
    """Ask until the one place is free again: the 429 of a full server comes first."""
    async with asyncio.timeout(5):
        while True:
            async with talking(path) as talk:
                response, _ = await talk.ask(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
                if response.status_code == 404:
                    return
                assert response.status_code == 429


def test_a_connection_too_many_is_told_so(service: Any, path: Path) -> None:
    async def run() -> None:
        async with (
            serving(service, path, Bounds(connections=2, for_operators=0)),
            talking(path) as one,
            talking(path) as two,
        ):
            await one.ask(STATUS)
            await two.ask(STATUS)
            async with talking(path) as three:
                response, body = await three.answer()
                assert response.status_code == 429
                assert "all 2 connections" in json.loads(body)["error"]
                assert await three.closed()
            assert (await one.ask(STATUS))[0].status_code == 200

    asyncio.run(run())


def test_an_operator_is_heard_while_others_hold_all_connections(service: Any, path: Path) -> None:
    class Scripted(Gate):
        operators = False

        def is_operator(self, peer: Peer) -> bool:  # noqa: ARG002  # all peers of this test are one
            return self.operators

    async def run() -> None:
        gate = Scripted()
        server = Server(service, path, Bounds(connections=2, for_operators=1), gate=gate)
        await server.start()
        async with talking(path) as one, talking(path) as two:
            await one.ask(STATUS)
            await two.ask(STATUS)
            for _ in range(3):  # who is turned away takes no place
                async with talking(path) as three:
                    assert (await three.answer())[0].status_code == 429
            gate.operators = True
            async with talking(path) as four, talking(path) as five:
                assert (await four.ask(STATUS))[0].status_code == 200
                assert (await five.answer())[0].status_code == 429
        await server.close()

    asyncio.run(run())


def test_close_lets_a_request_under_way_finish_cuts_idle_clients_off_and_removes_the_socket(
    service: Any, path: Path
) -> None:
    async def run() -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow_restore() -> dict[str, Any]:
            asked.set()
            await go_on.wait()
            return {"done": True}

        service.restore = slow_restore
        server = Server(service, path)
        await server.start()
        async with talking(path) as idle, talking(path) as busy:
            await idle.ask(STATUS)
            busy.writer.write(b"POST /v1/restore HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.wait()
            closing = asyncio.create_task(server.close())
            assert await idle.closed()
            assert not path.exists()
            go_on.set()
            response, body = await busy.answer()
            assert json.loads(body) == {"done": True}
            assert dict(response.headers)[b"connection"] == b"close"
            await closing

    asyncio.run(run())


def test_close_does_not_wait_for_ever_for_a_request_that_hangs(service: Any, path: Path) -> None:
    async def run() -> None:
        asked = asyncio.Event()

        async def hang() -> dict[str, Any]:
            asked.set()
            await asyncio.Event().wait()
            return {}

        service.restore = hang
        server = Server(service, path, Bounds(drain_s=0.01))
        await server.start()
        async with talking(path) as talk:
            talk.writer.write(b"POST /v1/restore HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.wait()
            async with asyncio.timeout(5):
                await server.close()
            assert await talk.closed()

    asyncio.run(run())


def test_a_stale_socket_is_replaced(service: Any, path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    path.with_name("api.new").touch()  # an agent died between bind and rename
    before = os.umask(0)
    try:
        with_server(service, path, lambda talk: answered(talk, path))
    finally:
        os.umask(before)


async def answered(talk: Talk, path: Path) -> None:
    assert (await talk.ask(STATUS))[0].status_code == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert not path.with_name("api.new").exists()


def test_close_leaves_the_socket_of_an_agent_started_since(service: Any, path: Path) -> None:
    async def run() -> None:
        old = Server(service, path)
        await old.start()
        async with serving(service, path):
            await old.close()
            async with talking(path) as talk:
                assert (await talk.ask(STATUS))[0].status_code == 200

    asyncio.run(run())


class Errors(logging.Handler):
    """What the server logs as its own fault."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


PIECES = st.sampled_from(
    [
        b"GET ", b"PUT ", b"HEAD ", b"CONNECT ", b"/v1/status", b"/v1/budget", b"/v1/devices/gpu0/pin", b"%ff%00", b"?",
        b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9", b"\r\n", b"\r\n\r\n", b"\n", b"Host: x\r\n", b"Content-Length: 5\r\n",
        b"Content-Length: 99999999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
        b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
        b'{"limit_w": 250}', STATUS, LAST_STATUS,
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300) | st.lists(PIECES | st.binary(max_size=8), max_size=20).map(b"".join))
def test_no_bytes_bring_the_server_down(sent: bytes) -> None:
    class Service:
        def status(self) -> dict[str, Any]:
            return {}

        def explain(self, device: str) -> dict[str, Any]:
            return {"device": device}

        def set_pin(
            self, device: str, limit_w: float | None, for_s: float | None, clock_mhz: float | None
        ) -> dict[str, Any]:
            return {"device": device, "limit_w": limit_w, "for_s": for_s, "clock_mhz": clock_mhz}

    async def run(path: Path) -> None:
        async with serving(Service(), path, Bounds(request_s=2, drain_s=0)):
            async with talking(path) as talk:
                talk.writer.write(sent)
                talk.writer.write_eof()
                async with asyncio.timeout(5):
                    try:
                        answered = await talk.reader.read()
                    except ConnectionResetError:  # it closed with bytes of ours unread
                        answered = b""
                assert answered == b"" or answered.startswith(b"HTTP/1.1 ")
            async with talking(path) as talk:
                assert (await talk.ask(STATUS))[0].status_code == 200

    errors = Errors()
    logger = logging.getLogger("eagent.api")
    logger.addHandler(errors)
    try:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(run(Path(directory) / "s"))
    finally:
        logger.removeHandler(errors)
    assert errors.lines == []


OTHERS = Gate(rights=Rights(frozenset(), observers=frozenset(os.getgroups()) | {os.getegid()}))
PIN = b"PUT /v1/devices/gpu0/pin HTTP/1.1\r\nHost: x\r\nEagent-Why: too%20hot\r\n"
PIN += b'Content-Length: 16\r\n\r\n{"limit_w": 250}'


@asynccontextmanager
async def guarded(service: Any, path: Path, gate: Gate) -> AsyncIterator[Talk]:
    server = Server(service, path, gate=gate)
    await server.start()
    async with talking(path) as talk:
        yield talk
    await server.close()


def test_an_observer_looks_and_changes_nothing(service: Any, path: Path) -> None:
    async def run() -> None:
        async with guarded(service, path, OTHERS) as talk:
            assert (await talk.ask(STATUS))[0].status_code == 200
            response, body = await talk.ask(PIN)
            assert response.status_code == 403
            assert "you are an observer" in json.loads(body)["error"]

    asyncio.run(run())
    assert service.asked == [("status",)]


def test_who_is_nobody_gets_nothing(service: Any, path: Path) -> None:
    async def run() -> None:
        async with guarded(service, path, Gate(rights=Rights(frozenset()))) as talk:
            assert (await talk.ask(STATUS))[0].status_code == 403

    asyncio.run(run())
    assert service.asked == []


def test_a_route_that_is_in_no_table_is_refused_to_everybody(service: Any, path: Path) -> None:
    async def run() -> None:
        async with guarded(service, path, Gate(needs={})) as talk:
            response, body = await talk.ask(STATUS)
            assert response.status_code == 403
            assert "no table" in json.loads(body)["error"]

    asyncio.run(run())


def test_who_asks_too_often_is_told_to_wait(service: Any, path: Path) -> None:
    clock = [0]
    gate = Gate(rights=OTHERS.rights, rate=Rate(per_s=1.0, burst=2.0), clock=lambda: clock[0])

    async def run() -> None:
        async with guarded(service, path, gate) as talk:
            assert [(await talk.ask(STATUS))[0].status_code for _ in range(3)] == [200, 200, 429]
            clock[0] = 1_000_000_000
            async with talking(path) as again:
                assert (await again.ask(STATUS))[0].status_code == 200

    asyncio.run(run())


def test_a_change_is_kept_with_its_reason_and_what_it_changed(service: Any, path: Path, tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit")
    states = iter([{"pin of gpu0": None, "budget": 1}, {"pin of gpu0": {"limit_w": 250}, "budget": 1}])

    async def run() -> None:
        async with guarded(service, path, Gate(audit=audit, look=lambda: next(states))) as talk:
            assert (await talk.ask(PIN))[0].status_code == 200
            assert (await talk.ask(STATUS))[0].status_code == 200

    asyncio.run(run())
    audit.close()
    (line,) = read(tmp_path / "audit")
    assert (line["what"], line["why"], line["outcome"]) == ("PUT /v1/devices/gpu0/pin", "too hot", "done")
    assert (line["before"], line["after"]) == ({"pin of gpu0": None}, {"pin of gpu0": {"limit_w": 250}})
    assert (line["who"]["uid"], line["who"]["pid"], line["asked"]) == (os.geteuid(), os.getpid(), {"limit_w": 250})
