"""eagent on a simulated host as anybody starts it: the warden alone, or warden and agent, at their defaults."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sampling.rig import Rig, program
from eagent.errors import EagentError
from eagent.telemetry._ring import RingReader
from eagent.telemetry.records import RingStats

COMMAND = [sys.executable, "-m", "eagent"]
START_S = 60.0  # two interpreters, on a machine that may be busy


@dataclass(frozen=True, slots=True)
class Eagent:
    """Its processes, by their ids, and what its loop says of itself."""

    warden: int
    agent: int | None
    ring: RingReader

    @property
    def pids(self) -> list[int]:
        """Of all of it."""
        return [self.warden] if self.agent is None else [self.warden, self.agent]

    @property
    def stats(self) -> RingStats:
        """Counters since the loop started."""
        return self.ring.stats


@contextlib.contextmanager
def eagent(rigged: Rig, *, with_agent: bool = False) -> Iterator[Eagent]:
    """Run the warden, and the agent if it is wanted, as systemd does, from when the loop turns until the block ends."""
    with contextlib.ExitStack() as stack:
        warden = stack.enter_context(program([*COMMAND, "warden"], rigged, "warden.log"))
        ring = _ring(rigged)
        stack.callback(ring.close)
        agent = stack.enter_context(program([*COMMAND, "agent"], rigged, "agent.log")) if with_agent else None
        if agent is not None:
            _await(rigged.made.run / "api.sock", rigged, "agent.log")
        yield Eagent(warden.pid, agent and agent.pid, ring)


def _ring(rigged: Rig) -> RingReader:
    """Of a loop that turns."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(EagentError):
            reader = RingReader(rigged.made.run / "ring")
            if reader.stats["steps"] > 0:
                return reader
            reader.close()
        time.sleep(0.05)
    raise _late(rigged, "warden.log")


def _await(path: Path, rigged: Rig, log: str) -> None:
    deadline = time.monotonic() + START_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise _late(rigged, log)
        time.sleep(0.05)


def _late(rigged: Rig, log: str) -> SystemExit:
    return SystemExit(f"eagent did not start: {(rigged.home / log).read_text()[-2000:]}")
