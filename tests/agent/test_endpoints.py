"""A job's metrics, asked for over real sockets: what may go wrong there costs nobody else anything."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from eagent.agent import listener
from eagent.agent.endpoints import Followed, Followers
from eagent.agent.jobs import Jobs
from eagent.agent.scrape import BODY_MAX, EVENTS_MAX, scrape
from eagent.endpoint import RECIPES as NAMES
from eagent.endpoint import Endpoint, Endpoints
from eagent.errors import ConfigError, UnavailableError
from eagent.progress.jobs import Job
from eagent.progress.recipes import RECIPES

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
BODY = b"vllm:generation_tokens_total 5\n"


def answering(answer: bytes, *, end: bool = True) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if end:
            writer.close()
        else:
            await reader.read()  # until the client goes

    return serve


def asked(serve: Serve) -> bytes:
    async def ask() -> bytes:
        writers: list[asyncio.StreamWriter] = []

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with contextlib.suppress(OSError):
                await serve(reader, writer)

        server = await asyncio.start_server(served, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await scrape("127.0.0.1", port, "/metrics")
        finally:
            server.close()
            for writer in writers:
                writer.transport.abort()
            for _ in range(10):  # until all of them are gone
                await asyncio.sleep(0)

    return asyncio.run(ask())


def test_what_a_server_answers_in_full_is_taken() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert asked(answering(head + BODY)) == BODY
    assert asked(answering(chunked, end=False)) == BODY


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answers with status 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "not HTTP|ends early"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_MAX + 1), "longer than 2 MiB"),
        (b"", "not HTTP|ends early"),
    ],
)
def test_what_a_server_answers_wrongly_is_one_line(answer: bytes, line: str) -> None:
    with pytest.raises(UnavailableError, match=line):
        asked(answering(answer))


def test_a_server_that_does_not_answer_in_time_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eagent.agent.scrape.TIMEOUT_S", 0.05)
    with pytest.raises(UnavailableError, match="no answer within"):
        asked(answering(b"HTTP/1.1 200 OK\r\n", end=False))


def test_a_scrape_that_fails_ages_and_is_told_and_the_next_goes_on() -> None:
    followed = Followed(Endpoint("127.0.0.1", 9, "/metrics", recipe="vllm"))
    answers: list[bytes | None] = [None, BODY, None, BODY.replace(b"5", b"9")]

    async def fetch(*_: object) -> bytes:
        answer = answers.pop(0)
        if answer is None:
            raise UnavailableError("Connection refused")
        return answer

    times = []
    for second in range(4):
        asyncio.run(followed.ask(fetch, lambda second=second: second * 10**9))  # type: ignore[misc]
        times.append((followed.shown().units, followed.shown().at_ns // 10**9, followed.problem))
    assert times[0] == (0.0, 0, "Connection refused")
    assert times[2] == (0.0, 1, "Connection refused")
    assert times[3] == (4.0, 3, None)


def test_a_counter_of_steps_is_asked_for_often_and_unevenly_and_a_slow_one_or_a_recipe_once_a_second() -> None:
    async def fetch(*_: object) -> bytes:
        return b"steps_total 5\n"

    steps = Followed(Endpoint("127.0.0.1", 9, "/metrics", counter="steps_total"))
    asyncio.run(steps.ask(fetch, lambda: 0))
    waits = [steps.wait_s for _ in range(200)]
    assert 0.15 <= min(waits) < 0.2 < 0.3 < max(waits) <= 0.35
    times = iter((0, 10**8, 10**8))  # an answer takes 0.1 s
    asyncio.run(steps.ask(fetch, lambda: next(times)))
    assert min(steps.wait_s for _ in range(200)) >= 0.6
    assert Followed(Endpoint("127.0.0.1", 9, "/metrics", recipe="vllm")).wait_s == 1.0


def test_the_kernel_tells_who_listens_and_of_our_own_which_process() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ((uid, inode),) = listener.listeners(port)
        assert uid == os.getuid()
        assert listener.holds(os.getpid(), inode) is True
        assert listener.holds(os.getpid(), inode + 1_000_000) is False
    assert list(listener.listeners(port)) == []
    assert listener.holds(2**22 + 1, inode) is None


def test_an_endpoint_with_named_gpus_is_of_the_job_on_them(new_device: Any) -> None:
    device, other = new_device(0), new_device(1)
    endpoint = Endpoint("127.0.0.1", 9, "/metrics", recipe="vllm", gpus=(device.label, "gpu9"))
    jobs = [Job((1, 2, 3), "a", frozenset({device.uuid})), Job((1, 4, 5), "b", frozenset({other.uuid}))]
    followers = Followers([endpoint], Jobs.__new__(Jobs), lambda: [device, other], time.monotonic_ns)
    shown = followers.shown(jobs, 0)
    assert list(shown) == [(1, 2, 3)]
    assert "has not answered yet" in shown[1, 2, 3].why


def test_each_recipe_that_may_be_named_is_there() -> None:
    assert set(NAMES) == set(RECIPES)


def test_a_table_of_the_configuration_is_an_endpoint() -> None:
    table = {"url": "http://127.0.0.1:8000", "counter": "steps_total", "unit": "step", "labels": {"a": "b"}}
    (endpoint,) = Endpoints().read([table], "x")
    assert endpoint == Endpoint("127.0.0.1", 8000, "/metrics", "", "steps_total", "step", (("a", "b"),), ())
    (v6,) = Endpoints().read([{"url": "http://[::1]:8000/m?a=1", "recipe": "tgi", "gpus": ["gpu0"]}], "x")
    assert v6.where == "[::1]:8000/m?a=1"


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({}, "url = None: must be http://HOST:PORT/PATH"),
        ({"url": "https://127.0.0.1:1/"}, "must be http://HOST:PORT/PATH"),
        ({"url": "http://127.0.0.1:99999/"}, "must be http://HOST:PORT/PATH"),
        ({"url": "http://127.0.0.1:1/\r\nX: y"}, "must be http://HOST:PORT/PATH"),
        ({"url": "http://10.0.0.1:1/", "recipe": "vllm"}, "not of this host; say elsewhere = true"),
        ({"url": "http://localhost:1/"}, "needs a recipe"),
        ({"url": "http://localhost:1/", "recipe": "vllm", "counter": "x"}, "needs a recipe"),
        ({"url": "http://localhost:1/", "recipe": "vlm"}, "must be one of vllm"),
        ({"url": "http://localhost:1/", "counter": "a b"}, "must be the name of a metric"),
        ({"url": "http://localhost:1/", "recipe": "vllm", "gpu": ["gpu0"]}, "unknown key 'gpu'; did you mean 'gpus'?"),
        ({"url": "http://localhost:1/", "recipe": "vllm", "labels": {"a": 1}}, "must be a table of texts"),
    ],
)
def test_a_table_that_is_not_whole_is_one_line(table: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line.replace("?", r"\?")) as refusal:
        Endpoints().read([table], "[progress] metrics")
    assert str(refusal.value).startswith("[progress] metrics, table 1: ")
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n", b""])
def test_an_answer_in_crumbs_is_given_up_for_what_it_would_cost(answer: bytes) -> None:
    crumb = b"1\r\nx\r\n" if answer else b"HTTP/1.1 100 \r\n\r\n"
    end = b"0\r\n\r\n" if answer else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(UnavailableError, match=f"more than {EVENTS_MAX} pieces"):
        asked(answering(answer + crumb * EVENTS_MAX + end))
