"""Reading over TCP, off unless configured: what observers may read and nothing else, for scrapers on other hosts.

Nobody is known there, so whoever reaches the port is an observer, and no route that changes anything is in its table.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from eagent.access import TCP, Rights, Role
from eagent.api.gate import Gate
from eagent.api.route import Routes
from eagent.api.routes import DOOR as AGENT
from eagent.api.routes import READS
from eagent.api.schema.document import Door, with_document
from eagent.api.server import Bounds, Server
from eagent.api.service import Service
from eagent.errors import UnavailableError
from eagent.peer import NOBODY, Peer

log = logging.getLogger(__name__)

# All callers together are one user to the gate: they take no more than one at the socket.
BOUNDS = Bounds(connections=32, of_one_user=32, body_bytes=1024, idle_s=10.0)
DOOR = Door(
    "eagent: what may be read of a host",
    f"{AGENT.about} Here it is only read, and the header Host must name this host.",
    "[api] listen of the configuration",
    TCP,
    AGENT.schemas,
    url="/",
    further={421: "The header Host names another: for a browser that was led here by a name that is not ours"},
)
ROUTES: Routes = with_document(DOOR, READS)


@dataclass(frozen=True, slots=True)
class Port:
    """Where to listen, and by which names beside that address callers may know us."""

    host: str  # a literal address
    number: int
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, listen: str, names: Iterable[str]) -> Port:
        """The port of `[api] listen`, which the configuration has read: HOST:PORT, with brackets around an IPv6 one."""
        host, _, number = listen.rpartition(":")
        return cls(host.strip("[]"), int(number), tuple(name.lower() for name in names))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.number}" if ":" in self.host else f"{self.host}:{self.number}"

    def open(self, groups: Iterable[int]) -> socket.socket:  # noqa: ARG002  # nobody is known here
        """A listening socket.

        Raises:
            UnavailableError: the address is not ours, or is taken.
        """
        listening = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if listening.family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((self.host, self.number))
            listening.listen()
        except OSError as problem:
            listening.close()
            raise UnavailableError(f"the API can't listen at {self}: {problem.strerror}") from None
        listening.setblocking(False)
        return listening

    def leave(self) -> None:
        """Nothing is left of a port."""

    def peer(self, connected: socket.socket) -> Peer:  # noqa: ARG002
        """Nobody: the kernel tells nothing of who is at the other end."""
        return NOBODY

    def misdirected(self, host: str, connected: socket.socket) -> str | None:
        """Why a request with this header Host is not for us: else a page could read us by a name that leads here."""
        name, address = _bare(host), connected.getsockname()[0]
        if name in (address, *self.names) or (name == "localhost" and ipaddress.ip_address(address).is_loopback):
            return None
        return f"the header Host says {name[:60]!r}: ask by {address}, or by a name in [api] listen_names"


def tcp_server(service: Service, port: Port) -> Server:
    """The server of what may be read over TCP."""
    gate = Gate(TCP, Rights(frozenset(), others=Role.OBSERVER))
    return Server(service, port, BOUNDS, ROUTES, gate=gate)


class Beside:
    """A server, and the one over TCP beside it, which is no reason not to govern if it can't be."""

    def __init__(self, first: Server, port: Port, service: Service) -> None:
        """Neither listens yet."""
        self._first = first
        self._port = port
        self._other = tcp_server(service, port)
        self._problem: str | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the first can't; that the other can't is an alarm.
        """
        await self._first.start()
        try:
            await self._other.start()
        except UnavailableError as problem:
            self._problem = f"{problem}: it is tried again with the agent's next start"
            log.error("%s", self._problem)
            return
        if ipaddress.ip_address(self._port.host).is_loopback:
            log.info("the API may be read at http://%s, by every user of this host", self._port)
        else:
            log.warning("the API may be read at http://%s, by everybody who can reach it", self._port)

    async def close(self) -> None:
        """Close both."""
        await self._other.close()
        await self._first.close()

    def alarms(self) -> list[str]:
        """What is wrong, a line each."""
        return [] if self._problem is None else [self._problem]


def _bare(host: str) -> str:
    """The name or address in a header Host, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")
