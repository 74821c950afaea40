"""Asking a job's server for its metrics: one GET, bounded in time and size, that nobody else waits for."""

from __future__ import annotations

import asyncio

import h11

from eagent.errors import UnavailableError

BODY_MAX = 2 << 20  # bytes
EVENTS_MAX = 4096  # of what an answer comes in: chunks of a byte each would cost a CPU all that time
TIMEOUT_S = 2.0
PIECE = 65_536


async def scrape(host: str, port: int, target: str) -> bytes:
    """What the server answers.

    Raises:
        UnavailableError: it does not, in time, in full and with 200; in one line.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _get(host, port, target)
    except TimeoutError:
        raise UnavailableError(f"no answer within {TIMEOUT_S:g} s") from None
    except OSError as problem:
        raise UnavailableError(problem.strerror or type(problem).__name__) from None
    except h11.RemoteProtocolError:
        raise UnavailableError("its answer is not HTTP") from None


async def _get(host: str, port: int, target: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, limit=PIECE)
    try:
        http = h11.Connection(h11.CLIENT)
        headers = [("Host", host), ("Accept", "text/plain;version=0.0.4"), ("Connection", "close")]
        request = http.send(h11.Request(method="GET", target=target, headers=headers))
        writer.write((request or b"") + (http.send(h11.EndOfMessage()) or b""))
        body = bytearray()
        for _ in range(EVENTS_MAX):
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(PIECE))
            elif isinstance(event, h11.Response):
                if event.status_code != 200:
                    raise UnavailableError(f"it answers with status {event.status_code}")
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_MAX:
                    raise UnavailableError(f"its answer is longer than {BODY_MAX >> 20} MiB")
            elif isinstance(event, h11.EndOfMessage):
                return bytes(body)
            elif not isinstance(event, h11.InformationalResponse):
                raise UnavailableError("its answer ends early")
        raise UnavailableError(f"its answer comes in more than {EVENTS_MAX} pieces")
    finally:
        writer.close()
