"""Endpoints that stall, flood, lie and jump, over real sockets beside an honest one: they harm their own job only."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from eagent.agent.endpoints import Followers
from eagent.agent.jobs import Jobs
from eagent.endpoint import Endpoint
from eagent.progress.jobs import Job

TOKENS = b"vllm:generation_tokens_total"
FIRST = b"vllm:time_to_first_token_seconds_bucket"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MOST_S = 30.0
PAUSE_S = 0.01

Answers = Callable[[], Iterable[bytes]]  # to one request, piece by piece; endless ones until the client goes


def plain(*bodies: bytes) -> Answers:
    """These, one after another, and the last one again and again."""
    turns = itertools.chain(bodies, itertools.repeat(bodies[-1]))
    return lambda: [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + next(turns)]


def endless(head: bytes, piece: bytes) -> Answers:
    return lambda: itertools.chain([head], itertools.repeat(piece * (4096 // len(piece) + 1)))


def tokens(*values: object) -> Answers:
    return plain(*(b"%s %s\n" % (TOKENS, str(value).encode()) for value in values))


def first_tokens(*buckets: tuple[str, int]) -> bytes:
    return TOKENS + b" 1\n" + b"".join(b'%s{le="%s"} %d\n' % (FIRST, le.encode(), count) for le, count in buckets)


HOSTILE: dict[str, tuple[Answers, str]] = {  # and what is said of it; "": nothing
    "an endless body": (endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), "longer than 2 MiB"),
    "crumbs": (endless(CHUNKED, b"1\r\nx\r\n"), "pieces"),
    "endless patience": (endless(b"", b"HTTP/1.1 100 \r\n\r\n"), "pieces"),
    "endless headers": (endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "not HTTP"),
    "a length beyond numbers": (
        lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"],
        "not HTTP",
    ),
    "thousands of series": (plain(b"".join(b'%s{a="%d"} 1\n' % (TOKENS, n) for n in range(3000))), "more than"),
    "not a number": (tokens("NaN"), "no count"),
    "a negative count": (tokens(-5), "no count"),
    "a bound below zero": (plain(first_tokens(("-5", 1), ("10", 2), ("+Inf", 3))), "a bucket that ends at -5"),
    "no infinite bucket": (plain(first_tokens(("1", 3), ("2.5", 4))), ""),
    "bounds in no order": (plain(first_tokens(("+Inf", 1), ("2.5", 9), ("1", 5))), ""),
    "counts that go back": (tokens(900, 100, 50, 10), ""),
}
FLOODS = ("an endless body", "crumbs", "endless patience")
LATE = "no answer within"  # on a busy machine, the time is over first
ENOUGH = 20  # tokens: three answers of the honest one
GROWING = (-1, list(HOSTILE).index("counts that go back"))


@contextlib.asynccontextmanager
async def served(answers: Answers | None) -> AsyncIterator[int]:
    """A server's port; without answers it accepts and says nothing."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for piece in answers() if answers else ():
                writer.write(piece)
                await writer.drain()
            if answers:
                writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(PAUSE_S)


async def followed(new_device: Any) -> tuple[dict[str, tuple[str, float]], int]:
    """By endpoint what is said of it and how far its job is; and how old the honest one's word is."""
    names = [*HOSTILE, "a stall", "honest"]
    devices = [new_device(number) for number in range(len(names))]
    jobs = [Job((0, number, 1), name, frozenset({devices[number].uuid})) for number, name in enumerate(names)]
    async with contextlib.AsyncExitStack() as stack:
        all_answers = [*(answers for answers, _ in HOSTILE.values()), None, tokens(*range(0, 1000, 10))]
        ports = [await stack.enter_async_context(served(answers)) for answers in all_answers]
        endpoints = [
            Endpoint("127.0.0.1", port, "/metrics", recipe="vllm", gpus=(device.label,))
            for port, device in zip(ports, devices, strict=True)
        ]
        followers = Followers(endpoints, Jobs.__new__(Jobs), lambda: devices, time.monotonic_ns)
        stopping = asyncio.Event()
        following = asyncio.create_task(followers.run(stopping))
        end = time.monotonic() + MOST_S
        while time.monotonic() < end and not following.done():
            await asyncio.sleep(PAUSE_S)
            asked = all(each.problem or each.counted.at_ns for each in followers.each)
            if asked and min(followers.each[place].counted.units for place in GROWING) >= ENOUGH:
                break
        shown = followers.shown(jobs, time.monotonic_ns())
        stopping.set()
        await following
        said = {
            name: (each.problem or "", shown[job.key].units)
            for name, job, each in zip(names, jobs, followers.each, strict=True)
        }
        return said, time.monotonic_ns() - shown[jobs[-1].key].at_ns


def test_an_endpoint_that_stalls_floods_or_lies_is_told_in_a_line_and_costs_no_other_its_progress(
    new_device: Any,
) -> None:
    said, age_ns = asyncio.run(followed(new_device))
    for name, (_, problem) in HOSTILE.items():
        told = said[name][0]
        assert bool(problem) == bool(told), f"{name}: {told}"
        assert problem in told or (name in FLOODS and LATE in told), f"{name}: {told}"
        assert told.isprintable()
    assert LATE in said["a stall"][0]
    assert said["counts that go back"][1] in (100, 150, 160)  # each began anew: all it shows is new, and no more
    assert said["honest"][0] == ""
    assert said["honest"][1] >= ENOUGH
    assert age_ns < 5 * 10**9
