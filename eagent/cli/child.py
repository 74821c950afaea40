"""A child of `eagent up`: started, kept alive, replaced when it hangs, and ended."""

from __future__ import annotations

import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from eagent.cli.dispatch import Context
from eagent.process import PARENT

READY_S = 20.0  # the first import of a cold disk included
RESTART_S = 1.0  # less than a lease's time to live: under a budget, an agent that crashes once moves no knob
RESTART_MAX_S = 30.0
STEADY_S = 60.0  # who ran this long has earned a quick restart again
STOP_S = 5.0  # beyond what the warden waits for the knobs to be back
END_S = 5.0  # for one that hangs to end by itself, and then for the kernel to end it
POLL_S = 0.05


class Child:
    """One of the two processes: started, kept alive, replaced, stopped."""

    def __init__(self, role: str, context: Context, listens_at: Path, kind: socket.SocketKind) -> None:
        self.role = role
        paths = context.paths
        self._command = [sys.executable, "-m", "eagent", f"--run-dir={paths.run}", f"--state-dir={paths.state}"]
        if context.config_file is not None:
            self._command.append(f"--config={context.config_file}")
        self._command.append(role)
        self._listens_at = listens_at
        self._kind = kind
        self._stop_s = context.config().let_go_s + STOP_S
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._wait_s = RESTART_S
        self._again_at: float | None = None
        self._kill_at: float | None = None  # of a life that is to end
        self._dead_by: float | None = None  # of one that was killed

    @property
    def pid(self) -> int | None:
        """The process id of the present life."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it as our child, which ends when we end."""
        self._started = time.monotonic()
        self._kill_at = self._dead_by = None
        # A session of its own: Ctrl-C in the terminal comes to us alone, and we stop the agent before the warden.
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_ready(self, stopping: list[int]) -> bool:
        """Wait until it answers on its socket; False if it ended before."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and not stopping:
            if not self.alive:
                return False
            if self._answers():
                return True
            time.sleep(POLL_S)
        return bool(stopping)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, self._kind) as probe:
            if probe.connect_ex(str(self._listens_at)) != 0:
                return False
            # Somebody else's answer is none: another pair may run here already.
            pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return bool(pid == self.pid)

    def keep_alive(self, now: float) -> None:
        """Start it again some time after its death; the time doubles while it keeps dying."""
        if self.alive:
            self._press(now)
            return
        if self._again_at is None:
            self._wait_s = RESTART_S if now - self._started > STEADY_S else self._wait_s
            self._again_at = now + self._wait_s
            code = self._process.returncode if self._process else None
            _say(f"the {self.role} died ({_cause(code)}); starting it again in {self._wait_s:g} s")
        elif now >= self._again_at:
            self._again_at = None
            self._wait_s = min(self._wait_s * 2, RESTART_MAX_S)
            self.start()

    def replace(self, now: float, why: str) -> None:
        """Have this life end, in order if it can, so that `keep_alive` starts another. Once for each life."""
        if self._process is None or not self.alive or self._kill_at is not None or self._dead_by is not None:
            return
        _say(f"the {self.role} (pid {self.pid}) is ended and replaced: {why}")
        self._process.terminate()
        self._kill_at = now + END_S

    def _press(self, now: float) -> None:
        """Go on with the end of a life that is to end."""
        if self._kill_at is not None and self._process is not None and now >= self._kill_at:
            self._process.kill()
            self._kill_at, self._dead_by = None, now + END_S
        elif self._dead_by is not None and now >= self._dead_by:
            self._dead_by = math.inf
            _say(self._undying())

    def _undying(self) -> str:
        return (
            f"the kernel can't end the {self.role} (pid {self.pid}) while a call of the driver hangs in it. Nothing is "
            "governed until that call ends, knobs stay as they are; the agent goes on and says so"
        )

    def stop(self) -> None:
        """End it in order, or when it has had its time in any way."""
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            _say(f"the {self.role} does not stop; killed; `eagent restore` finishes its work")
            self._process.kill()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                _say(self._undying())


def _say(line: str) -> None:
    print(f"eagent: {line}", file=sys.stderr, flush=True)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"exit code {code}"
