from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eagent.access import API, JOBS, POWER, TCP, Role
from eagent.api import tcp
from eagent.api.schema.document import document
from eagent.api.server import Server
from eagent.api.tcp import BOUNDS, Beside, Port, tcp_server
from tests.api import described

NAMES = ("n12.example.org",)


def number_of(server: Server) -> int:
    listener = server._listener
    assert listener is not None
    return int(listener.sockets[0].getsockname()[1])


@asynccontextmanager
async def serving(service: Any, host: str = "127.0.0.1") -> AsyncIterator[int]:
    server = tcp_server(service, Port(host, 0, NAMES))
    await server.start()
    try:
        yield number_of(server)
    finally:
        await server.close()


def _exchange(number: int, sent: bytes, host: str) -> bytes:
    received = b""
    with socket.create_connection((host, number), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):  # it answered without reading all of it
            connection.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65_536):
                received += data
    return received


async def exchange(number: int, sent: bytes, host: str = "127.0.0.1") -> bytes:
    return await asyncio.to_thread(_exchange, number, sent, host)


def request(method: str, target: str, host: str = "127.0.0.1", body: bytes = b"") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def status(number: int, *asked: Any) -> int:
    return int((await exchange(number, request(*asked))).split()[1])


def with_port(service: Any, work: Callable[[int], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving(service) as number:
            await work(number)

    asyncio.run(run())


def test_what_observers_may_read_is_read(service: Any) -> None:
    del service.said["devices"][1]  # the one that makes the host unwell

    async def work(number: int) -> None:
        for route in TCP:
            if route != "GET /v1/mesh":  # the fake has none
                method, target = route.replace("{device}", "gpu0").split()
                assert await status(number, method, target) == 200, route
        said = (await exchange(number, request("GET", "/v1/status"))).partition(b"\r\n\r\n")[2]
        assert json.loads(said) == service.said

    service.plan = dict
    with_port(service, work)


def test_nothing_else_is_there_whoever_asks(service: Any) -> None:
    """We are root, or whom the agent runs as: at its socket we might do everything."""

    async def work(number: int) -> None:
        for route in {**API, **JOBS, **POWER}.keys() - TCP.keys():
            method, target = route.replace("{device}", "gpu0").replace("{host}", "n1").split()
            body = b'{"budget_w": 5000}' if "budget" in target else b'{"limit_w": 250}'
            assert await status(number, method, target, "127.0.0.1", body) in (404, 405), route
        assert service.asked == []

    with_port(service, work)


def test_the_table_is_of_reading_alone_and_so_is_the_document() -> None:
    assert set(TCP.values()) == {Role.OBSERVER}
    assert all(route.startswith("GET ") for route in TCP)
    assert {f"{route.method} {route.template}" for route in tcp.ROUTES} == set(TCP)
    told = described.TCP
    assert {key for item in told["paths"].values() for key in item} <= {"get", "parameters"}
    assert all("421" in item["get"]["responses"] for item in told["paths"].values())
    assert document(tcp.DOOR, tcp.ROUTES) == told


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9400", 200),
        ("localhost", 200),
        ("LocalHost:9400", 200),
        ("n12.example.org:9400", 200),
        ("N12.Example.Org.", 200),
        ("evil.example", 421),
        ("n12.example.org.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("127.0.0.2", 421),
        ("root@127.0.0.1", 421),
        ("[::1]", 421),
        ("", 421),
    ],
)
def test_only_who_names_this_host_is_answered(service: Any, host: str, code: int) -> None:
    async def work(number: int) -> None:
        assert await status(number, "GET", "/v1/status", host) == code

    with_port(service, work)
    assert service.asked == [("status",)] * (code == 200)


def test_a_request_without_a_host_is_not_answered(service: Any) -> None:
    async def work(number: int) -> None:
        assert b" 421 " in await exchange(number, b"GET /v1/status HTTP/1.0\r\n\r\n")
        assert b" 400 " in await exchange(number, b"GET /v1/status HTTP/1.1\r\n\r\n")
        twice = b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"
        assert b" 400 " in await exchange(number, twice)

    with_port(service, work)
    assert service.asked == []


def test_an_address_of_the_sixth_version_is_named_in_brackets(service: Any) -> None:
    async def run() -> None:
        async with serving(service, "::1") as number:
            assert b" 200 " in await exchange(number, request("GET", "/v1/status", "[::1]:9400"), "::1")
            assert b" 421 " in await exchange(number, request("GET", "/v1/status", "127.0.0.1"), "::1")

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    asyncio.run(run())


def test_sizes_and_rates_are_bounded_for_all_callers_together(service: Any) -> None:
    async def work(number: int) -> None:
        assert b" 413 " in await exchange(number, request("GET", "/v1/status", body=b" " * (BOUNDS.body_bytes + 1)))
        assert b" 431 " in await exchange(number, b"GET / HTTP/1.1\r\nA: " + b"x" * BOUNDS.header_bytes)
        many = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 150
        assert b" 429 " in await exchange(number, many)
        assert await status(number, "GET", "/healthz") == 429, "another connection is no other user"

    with_port(service, work)


def test_no_more_connections_are_kept_than_are_meant(service: Any) -> None:
    async def work(number: int) -> None:
        pairs = [await asyncio.open_connection("127.0.0.1", number) for _ in range(BOUNDS.connections)]
        assert await status(number, "GET", "/v1/status") == 429
        for _, writer in pairs:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    with_port(service, work)


@pytest.mark.parametrize(
    ("host", "level", "line"),
    [
        ("127.0.0.1", logging.INFO, "every user of this host"),
        ("0.0.0.0", logging.WARNING, "everybody who can reach it"),
    ],
)
def test_the_log_says_who_may_read(
    service: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str, level: int, line: str
) -> None:
    async def run() -> None:
        both = Beside(Server(service, tmp_path / "api.sock"), Port(host, 0), service)
        await both.start()
        try:
            answer = await exchange(number_of(both._other), request("GET", "/v1/status", "127.0.0.1"))
            assert b" 200 " in answer, "by the address that was connected to"
            assert both.alarms() == []
        finally:
            await both.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert [record.levelno for record in caplog.records if line in record.getMessage()] == [level]


def test_a_port_that_is_taken_is_an_alarm_and_no_reason_not_to_govern(service: Any, tmp_path: Path) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            both = Beside(Server(service, tmp_path / "api.sock"), Port("127.0.0.1", number), service)
            await both.start()
            assert (tmp_path / "api.sock").is_socket()
            assert both.alarms() == [
                f"the API can't listen at 127.0.0.1:{number}: Address already in use: it is tried again with the "
                "agent's next start"
            ]
            await both.close()
            assert not (tmp_path / "api.sock").exists()

    asyncio.run(run())


def test_a_port_is_read_from_the_configurations_words() -> None:
    assert Port.of("127.0.0.1:9400", ["N1.Example"]) == Port("127.0.0.1", 9400, ("n1.example",))
    assert str(Port.of("[::1]:9400", [])) == "[::1]:9400"
