"""The way to the agent, or to the power role: one HTTP request over its unix socket, one JSON answer.

Each request has its own connection and the server closes it after the answer, so the answer ends where the stream ends.
That needs no HTTP library, whose import would take longer than all else that `eagent status` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

from eagent.errors import EagentError, InputError, RefusedError, UnavailableError

TIMEOUT_S = 15.0
ANSWER_MAX_BYTES = 16 * 1024 * 1024
START = "start it with `eagent up`"
OWN = "start your own agent with `eagent up`"

_KINDS = {
    400: InputError,
    403: RefusedError,
    404: InputError,
    405: InputError,
    408: UnavailableError,
    409: RefusedError,
    413: InputError,
    429: UnavailableError,
    431: InputError,
    503: UnavailableError,
}

Json = dict[str, Any]


class NoAgentError(UnavailableError):
    """There is no agent behind the socket, which is more than that it did not answer."""


class Client:
    """Requests to the agent, or who else, that listens at one socket."""

    def __init__(
        self, path: Path, timeout_s: float = TIMEOUT_S, who: str = "agent", start: str = START, own: str = OWN
    ) -> None:
        """A client of who listens at `path`; nothing is opened yet.

        Args:
            path: The socket.
            timeout_s: How long an answer is waited for.
            who: Who listens there, for errors.
            start: What to do when nobody does.
            own: What else to do than to ask for somebody's that may not be opened.
        """
        self._path = path
        self._timeout_s = timeout_s
        self._who = who
        self._start = start
        self._own = own

    def request(self, method: str, target: str, body: Json | None = None, why: str | None = None) -> Json:
        """The agent's answer; `why` goes into its audit log.

        Raises:
            NoAgentError: no agent listens there.
            UnavailableError: the socket may not be opened, the agent does not answer, or it lacks what it needs.
            InputError: the agent could not use the request.
            RefusedError: the agent will not do it.
            EagentError: the agent failed, or what answers is no agent.
        """
        status, answer = _parse(self._exchange(_render(method, target, body, why)), f"the {self._who} at {self._path}")
        if 200 <= status < 300:
            return answer
        line = answer.get("error")
        kind = _KINDS.get(status, EagentError)
        raise kind(line if isinstance(line, str) else f"the {self._who} answered with HTTP status {status}")

    def _exchange(self, request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout_s)
            try:
                self._connect(connection)
                with contextlib.suppress(ConnectionError):  # it may have said why before it closed
                    connection.sendall(request)
                return self._receive(connection)
            except TimeoutError:
                raise UnavailableError(
                    f"the {self._who} at {self._path} did not answer within {self._timeout_s:g} s: is it stopped?"
                ) from None
            except OSError as problem:
                raise UnavailableError(f"the {self._who} at {self._path} went away: {problem.strerror}") from None

    def _receive(self, connection: socket.socket) -> bytes:
        """All that comes until the stream ends; it ends with a reset if the agent answered without reading it all."""
        received = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += chunk
                if len(received) > ANSWER_MAX_BYTES:
                    raise EagentError(f"what answers at {self._path} does not stop: is it the {self._who}?")
        return bytes(received)

    def _connect(self, connection: socket.socket) -> None:
        try:
            connection.connect(os.fspath(self._path))
        except FileNotFoundError:
            raise NoAgentError(f"no {self._who} runs here (there is no {self._path}): {self._start}") from None
        except NotADirectoryError:
            raise NoAgentError(
                f"no {self._who} runs here ({self._path.parent} is no directory): {self._start}"
            ) from None
        except ConnectionRefusedError:
            raise NoAgentError(
                f"the {self._who} of {self._path} is dead and left its socket behind: {self._start}"
            ) from None
        except PermissionError:
            raise UnavailableError(
                f"you may not open {self._path}: run as {_owner(self._path)}, or {self._own}"
            ) from None
        except BlockingIOError:
            raise UnavailableError(
                f"the {self._who} of {self._path} has more callers than it takes: try again"
            ) from None
        except OSError as problem:  # "AF_UNIX path too long" has no errno
            raise UnavailableError(
                f"cannot reach the {self._who} at {self._path}: {problem.strerror or problem}"
            ) from None


def _render(method: str, target: str, body: Json | None, why: str | None = None) -> bytes:
    data = b"" if body is None else json.dumps(body, allow_nan=False).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: eagent", "Connection: close"]
    if why:
        lines.append(f"Eagent-Why: {_encoded(why)}")
    if data:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + data


def _parse(received: bytes, whom: str) -> tuple[int, Json]:
    """Status and JSON of a whole answer; `whom` is what errors call who gave it.

    Raises:
        EagentError: cut short, or no answer of ours.
    """
    head, gap, data = received.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    try:
        version, status, *_ = first.split(b" ")
        document = json.loads(data)
        whole = gap and version.startswith(b"HTTP/1.") and int(headers[b"content-length"]) == len(data)
        if not whole or not isinstance(document, dict):
            raise ValueError("not a whole answer")
        return int(status), document
    except (KeyError, ValueError):
        if not received:
            raise UnavailableError(f"{whom} closed the connection without an answer") from None
        raise EagentError(f"the answer of {whom} is cut short, or not one of eagent's") from None


def _owner(path: Path) -> str:
    """Who may open the socket, as far as one may look."""
    import grp  # only an error needs them
    import pwd

    try:
        made = path.stat()
        user, group = pwd.getpwuid(made.st_uid).pw_name, grp.getgrgid(made.st_gid).gr_name
    except (OSError, KeyError):
        return "the user that runs it"
    return f"user {user} or in group {group}"


def device_target(device: str, what: str) -> str:
    """The path of `what` (explain, pin, detachment) of a device, whatever characters its name has."""
    return f"/v1/devices/{_encoded(device)}/{what}"


def _encoded(text: str) -> str:
    """Percent-encoded: one segment of a path, or a header."""
    safe = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:"
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))
