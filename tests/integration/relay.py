"""Carries TCP of this machine to a unix socket, as other users: `python -m tests.integration.relay SOCKET UIDS GID`.

For clients that know no unix sockets. Each connection is of the next of the users (one that is told, or 1000-1999), in
this one group. It prints its port, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Iterator


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def _join(path: str, users: Iterator[int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    there, back = await asyncio.open_unix_connection(sock=_connected(path, next(users)))
    await asyncio.gather(_carry(reader, back), _carry(there, writer))
    for each in (back, writer):
        each.close()


def _connected(path: str, uid: int) -> socket.socket:
    """A connection whose other end is told that it is of this user."""
    made = socket.socket(socket.AF_UNIX)
    own = os.geteuid()
    os.seteuid(uid)
    try:
        made.connect(path)
    finally:
        os.seteuid(own)
    return made


async def _main(path: str, users: Iterator[int]) -> None:
    server = await asyncio.start_server(lambda *pair: _join(path, users, *pair), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    reading = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reading), sys.stdin)
    await reading.read()


def main(path: str, uids: str, gid: str) -> None:
    """The program."""
    first, _, last = uids.partition("-")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setegid(int(gid))
    asyncio.run(_main(path, itertools.cycle(range(int(first), int(last or first) + 1))))


if __name__ == "__main__":
    main(*sys.argv[1:])
