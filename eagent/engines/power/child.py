"""Run somebody else's program: no shell, an environment of its own, bounded in time and in what it may say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO

from eagent.errors import UnavailableError

OUTPUT_BYTES_MAX = 65_536  # of each stream; what is beyond is read and dropped
WORDS_MAX = 200  # characters of a program's last words in an error
# Ours is not handed on: a daemon's environment may hold what no program of the site should see.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_KILLED_S = 5.0  # a killed process that is not gone by then hangs in the kernel
_CHUNK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program left behind. A negative status is the signal that ended it."""

    status: int
    output: str
    errors: str

    def last_words(self) -> str:
        """The last line that says anything, of its errors or else of its output: printable, and cut."""
        lines = [line.strip() for text in (self.output, self.errors) for line in text.splitlines() if line.strip()]
        printable = "".join(c if c.isprintable() else "?" for c in lines[-1]) if lines else "it said nothing"
        return printable[:WORDS_MAX]


Run = Callable[[Sequence[str], float], Awaitable[Finished]]


async def run(argv: Sequence[str], timeout_s: float) -> Finished:
    """Run a program to its end; at the time-out, or when cancelled, kill its process group.

    It has ended when it is gone and nobody holds its output any more. It gets no input, and ENVIRONMENT.

    Args:
        argv: The program, as an absolute path, and its arguments.
        timeout_s: The seconds that it may take.

    Raises:
        UnavailableError: it can't be started, or took too long. The error names the program and not its arguments.
    """
    name = PurePath(argv[0]).name
    with contextlib.ExitStack() as ends:
        try:
            out, err = (_pipe(ends) for _ in range(2))
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out[1], stderr=err[1], env=ENVIRONMENT, start_new_session=True
            )
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "an argument holds a zero byte"
            raise UnavailableError(f"{name}: can't be started: {why}") from None
        for _, writer in (out, err):
            writer.close()
        try:
            return await _follow(process, out[0], err[0], timeout_s)
        except TimeoutError:
            raise UnavailableError(f"{name}: not done after {timeout_s:g} s, and killed") from None
        except OSError as problem:  # no descriptor is left to follow it by
            raise UnavailableError(f"{name}: can't be followed, and was killed: {problem.strerror}") from None


def _pipe(ends: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    reader, writer = os.pipe()
    return ends.enter_context(os.fdopen(reader, "rb", 0)), ends.enter_context(os.fdopen(writer, "wb", 0))


class _Stream:
    """What comes out of a pipe: the beginning is kept, the rest is dropped, so that the program never blocks on us."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = bytearray()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(pipe, self._read)

    def _read(self) -> None:
        data = os.read(self._pipe.fileno(), _CHUNK_BYTES)
        if not data:
            self.close()
            self.ended.set_result(None)
        self._kept += data[: max(0, OUTPUT_BYTES_MAX - len(self._kept))]

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe)

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


async def _follow(process: subprocess.Popen[bytes], out: IO[bytes], err: IO[bytes], timeout_s: float) -> Finished:
    """Wait for the program's end and that of its output, whichever is later.

    The program is not reaped before that: as long as it is a zombie, nobody else can get its number, so that killing
    its group never hits a stranger.

    Raises:
        TimeoutError: it took too long; its group has been killed.
    """
    loop = asyncio.get_running_loop()
    streams: list[_Stream] = []
    gone: asyncio.Future[None] = loop.create_future()
    handle = -1
    try:
        handle = os.pidfd_open(process.pid)
        loop.add_reader(handle, _end, loop, handle, gone)
        streams += _Stream(out), _Stream(err)
        async with asyncio.timeout(timeout_s):
            for awaited in (gone, *(stream.ended for stream in streams)):
                await asyncio.shield(awaited)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # it leads its group from its first instruction on: a new session
        if handle >= 0:
            await asyncio.wait([gone], timeout=_KILLED_S)
        raise
    finally:
        for stream in streams:
            stream.close()
        if handle >= 0:
            loop.remove_reader(handle)
            os.close(handle)
        process.poll()
    return Finished(process.returncode, streams[0].text(), streams[1].text())


def _end(loop: asyncio.AbstractEventLoop, handle: int, gone: asyncio.Future[None]) -> None:
    loop.remove_reader(handle)
    gone.set_result(None)
