"""Asking the host's agent for the joules of windows, without privilege: at the socket that is there for jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from eagent.client import Client
from eagent.joules import Joules, parse
from eagent.paths import SYSTEM_RUN, Paths

WINDOWS_MAX = 256  # in one request
TIMEOUT_S = 15.0  # an answer waits for the first refresh after a window's end, and for its turn
OFFSETS = Path("/proc/self/timens_offsets")
START = "have it started (`eagent up`), or in a container mount the host's /run/eagent/jobs"


def socket_path(environ: Mapping[str, str] = os.environ, system: Path = SYSTEM_RUN) -> Path:
    """Where the agent listens for jobs: that of EAGENT_RUN_DIR, else the host's, else the user's own."""
    own = Paths.from_environment(environ).measure_socket
    of_system = Paths(run=system, state=system).measure_socket
    if environ.get("EAGENT_RUN_DIR") or (own.exists() and not of_system.exists()):
        return own
    return of_system


def ask(spans: Sequence[tuple[int, int]], devices: Sequence[str] = (), path: Path | None = None) -> list[Joules]:
    """The joules of these windows, at most `WINDOWS_MAX` of them; waits until they can be told.

    Args:
        spans: From and to, each in nanoseconds of this process's monotonic clock.
        devices: Only these; none: all that processes of the caller held.
        path: The socket; None: where it is.

    Raises:
        EagentError: there is no agent, or it will not or cannot answer.
    """
    shift_ns = clock_offset_ns()
    body: dict[str, object] = {"windows": [[begin_ns - shift_ns, end_ns - shift_ns] for begin_ns, end_ns in spans]}
    if devices:
        body["devices"] = list(devices)
    client = Client(path or socket_path(), TIMEOUT_S, start=START, own="ask who runs this host")
    return parse(client.request("POST", "/v1/windows", body), len(spans))


def clock_offset_ns(path: Path = OFFSETS) -> int:
    """How far this process's monotonic clock is ahead of the kernel's own: not 0 only in a time namespace.

    Windows are told in the kernel's time, which agent and caller share whatever their namespaces.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        clock, seconds, nanoseconds = line.split()
        if clock in ("monotonic", "1"):
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return 0
