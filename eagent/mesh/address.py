"""Where a host listens, as text: "10.1.0.1:7433", "[2001:db8::1]:7433", "n01.example.org:7433"."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable

from eagent.errors import ConfigError


def split(address: str) -> tuple[str, int]:
    """Host, without brackets, and port.

    Raises:
        ConfigError: it is not HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not port.isascii() or not port.isdigit() or int(port[:6]) > 65_535:
        raise ConfigError(f"{address!r} is no address: must be HOST:PORT")
    return host, int(port)


def join(host: str, port: int) -> str:
    """The text of an address; IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_literal(host: str) -> bool:
    """Whether it is an IP address, not a name that has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listening_socket(listen: str, backlog: int) -> socket.socket:
    """A TCP socket that listens at an address; the host `*` means all of this host's.

    Raises:
        ConfigError: no address, or it can't be listened at.
    """
    host, port = split(listen)
    try:
        if host == "*":
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            made = socket.create_server(("", port), family=family, backlog=backlog, dualstack_ipv6=both)
        else:
            family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            made = socket.create_server(where, family=family, backlog=backlog)
    except OSError as problem:
        raise ConfigError(f"can't listen at {listen}: {problem.strerror or problem}") from None
    made.setblocking(False)
    return made


def look_up(host: str, port: int, then: Callable[[list[str]], None]) -> None:
    """Ask the resolver, in a thread, and call `then` on this event loop with the addresses it knows, maybe none.

    A thread of its own, which nobody waits for: in a partition the resolver may take half a minute, in which neither
    libzmq's only I/O thread, which would ask by itself, nor the end of the process should be held up.
    """
    loop = asyncio.get_running_loop()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            answers = []
        found = list(dict.fromkeys(join(str(where[0]), port) for *_, where in answers))
        try:
            loop.call_soon_threadsafe(then, found)
        except RuntimeError:  # the loop has ended meanwhile
            return

    threading.Thread(target=ask, name="mesh-resolver", daemon=True).start()
