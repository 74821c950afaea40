"""HTTP/1.1, mostly over a unix socket: h11 parses, asyncio carries, `routes.answer` answers. All is bounded."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import h11

from eagent import __version__
from eagent.api.gate import Gate
from eagent.api.listening import SOCKET_MODE, Place, SocketFile
from eagent.api.route import Reply, Routes, reply_error
from eagent.api.routes import ROUTES, answer
from eagent.peer import Peer

log = logging.getLogger(__name__)

READ_BYTES = 65_536
WHY_MAX = 200  # characters
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one client, and all of them together, may take of the agent."""

    connections: int = 64
    of_one_user: int = 32  # of those connections; root and our own user may have them all
    for_operators: int = 8  # beside those connections, when they are taken
    header_bytes: int = 16_384
    body_bytes: int = 65_536
    idle_s: float = 60.0  # between two requests
    request_s: float = 5.0  # from the first byte of a request to its last
    write_s: float = 5.0  # for the client to take a response
    drain_s: float = 2.0  # for requests under way when the server closes


class Server:
    """The HTTP server of a process. `start`, then `close`, both on one event loop."""

    def __init__(
        self,
        service: Any,
        place: Path | Place,
        bounds: Bounds | None = None,
        routes: Routes = ROUTES,
        mode: int = SOCKET_MODE,
        gate: Gate | None = None,
    ) -> None:
        """A server of `service`. Whoever makes one on a unix socket holds the process's lock on its directory.

        Args:
            service: What the routes ask.
            place: Where to listen: the path of a unix socket, or another place.
            bounds: Of sizes and times.
            routes: What there is to ask; else what there is of the agent, a `Service`.
            mode: Of a unix socket's file: who may connect.
            gate: Who may ask what; else root and our own user everything, and nobody else anything.
        """
        self._service = service
        self._routes = routes
        self._place = SocketFile(place, mode) if isinstance(place, Path) else place
        self._gate = gate or Gate()
        self._bounds = bounds or Bounds()
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._closing = False

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the socket cannot be made there.
        """
        listening = self._place.open(self._gate.rights.may_open())
        begin = asyncio.start_unix_server if listening.family == socket.AF_UNIX else asyncio.start_server
        self._listener = await begin(self._accept, sock=listening)

    async def close(self) -> None:
        """Listen no more, let requests under way finish for `drain_s`, then cut them off."""
        self._closing = True
        if self._listener is not None:
            self._listener.close()
        self._place.leave()
        for task, connection in self._connections.items():
            connection.last = True
            if connection.idle:
                task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=self._bounds.drain_s)
        left = list(self._connections)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(self._service, self._routes, self._bounds, self._gate, self._place, reader, writer)
        full = self._is_full_for(connection.peer)
        self._connections[task] = connection
        connection.turned_away = full
        connection.last = self._closing or full
        try:
            if full:
                await connection.turn_away()
            else:
                await connection.serve()
        except asyncio.CancelledError:
            pass  # by close(): asyncio would log it as an error of this callback
        except OSError as problem:  # TimeoutError is one
            log.debug("a client went away or was too slow: %r", problem)
        except Exception:
            log.exception("a connection failed")
        finally:
            del self._connections[task]
            writer.transport.abort()  # all that was answered has left (see _write): what is left is not wanted

    def _is_full_for(self, peer: Peer) -> bool:
        """Whether there is no room for one more. Who is turned away is gone soon, and takes nobody's place."""
        heard = [each.peer.uid for each in self._connections.values() if not each.turned_away]
        most = self._bounds.connections + (self._bounds.for_operators if self._gate.is_operator(peer) else 0)
        most_of_user = most if self._gate.exempts(peer) else self._bounds.of_one_user
        return len(heard) >= most or heard.count(peer.uid) >= most_of_user


class _Connection:
    """One client: requests in turn, until either side has had enough."""

    def __init__(
        self,
        service: Any,
        routes: Routes,
        bounds: Bounds,
        gate: Gate,
        place: Place,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._service = service
        self._routes = routes
        self._bounds = bounds
        self._gate = gate
        self._place = place
        self._socket = writer.get_extra_info("socket")
        self._reader = reader
        self._writer = writer
        self.peer = place.peer(self._socket)
        self._writer.transport.set_write_buffer_limits(high=0)  # so that drain() means: all of it has left
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=bounds.header_bytes)
        self.idle = True  # nothing of a request has arrived
        self.last = False  # close after the next response
        self.turned_away = False
        self._is_head = False  # whose response has no body, a refusal neither

    async def serve(self) -> None:
        """Answer until the client closes, errs, idles, or `last` is set."""
        while True:
            self.idle = not self._http.trailing_data[0]
            if self.idle:
                data = await _within(self._bounds.idle_s, self._reader.read(READ_BYTES))
                self._http.receive_data(data)
                self.idle = False
            try:
                async with asyncio.timeout(self._bounds.request_s):
                    request, body = await self._request()
            except h11.RemoteProtocolError as problem:
                # A transfer encoding that is none of ours would be 501; but that is no failure of this server.
                status = problem.error_status_hint if problem.error_status_hint < 500 else 400
                await self._refuse(status, f"not HTTP as we speak it: {problem}")
                return
            except TimeoutError:
                await self._refuse(408, f"the request was not complete after {self._bounds.request_s:g} s")
                return
            if request is None:
                return
            if body is None:
                await self._refuse(413, f"the body is longer than {self._bounds.body_bytes} bytes")
                return
            if not self._gate.admits(self.peer):
                await self._refuse(429, "too many requests of yours in too short a time: wait a second")
                return
            if misdirected := self._place.misdirected(_header(request, b"host"), self._socket):
                await self._refuse(421, misdirected)
                return
            method, target = request.method.decode("ascii"), request.target.decode("ascii", "replace")
            reply = await answer(
                self._service, method, target, body, self._routes, self.peer, self._gate, _reason(request)
            )
            await self._send(reply, with_body=method != "HEAD")
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def turn_away(self) -> None:
        """Tell a client too many so, without reading what it wants."""
        few = min(self._bounds.connections, self._bounds.of_one_user)
        await self._refuse(429, f"all {few} connections are taken: try again")

    async def _request(self) -> tuple[h11.Request | None, bytes | None]:
        """The next request with its whole body: no request when the client closed, no body when it is too long."""
        request: h11.Request | None = None
        self._is_head = False
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
                    await self._write(self._http.send(go_on))
                self._http.receive_data(await self._reader.read(READ_BYTES))
            elif isinstance(event, h11.Request):
                request = event
                self._is_head = event.method == b"HEAD"
                if _declared_length(event) > self._bounds.body_bytes:
                    return request, None
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._bounds.body_bytes:
                    return request, None
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:  # ConnectionClosed, or PAUSED, which a cycle that was started anew cannot give
                return None, None

    async def _refuse(self, status: int, line: str) -> None:
        """An error response after which the connection can only be closed."""
        self.last = True
        await self._send(reply_error(status, line), with_body=not self._is_head)

    async def _send(self, reply: Reply, *, with_body: bool) -> None:
        headers = [
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            ("Server", f"eagent/{__version__}"),
            *reply.headers,
        ]
        if self.last:
            headers.append(("Connection", "close"))
        response = h11.Response(status_code=reply.status, headers=headers, reason=HTTPStatus(reply.status).phrase)
        data = self._http.send(response) or b""
        if with_body:
            data += self._http.send(h11.Data(data=reply.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        await self._write(data)

    async def _write(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)
            await _within(self._bounds.write_s, self._writer.drain())


def _reason(request: h11.Request) -> str:
    """The reason that a client gives, for the log: percent-encoded, as headers hold no other letters."""
    text = unquote(_header(request, b"eagent-why"), errors="replace")[:WHY_MAX]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _header(request: h11.Request, name: bytes) -> str:
    """The first header of this name, in small letters; empty where there is none."""
    return next((value for key, value in request.headers if key == name), b"").decode("ascii", "replace")


async def _within(seconds: float, work: Awaitable[T]) -> T:
    async with asyncio.timeout(seconds):
        return await work


def _declared_length(request: h11.Request) -> int:
    """The Content-Length of `request`; h11 has checked that it is a number. 0 where it has none."""
    return next((int(value) for name, value in request.headers if name == b"content-length"), 0)
