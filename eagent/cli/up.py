"""Run eagent on this host: warden and agent under one parent, until Ctrl-C.

Either of them is started again when it dies. When the parent dies, however it dies, both end in order: every knob goes
back to what it was or, while a budget stands, to its safe cap. systemd runs the two as units of their own instead.

Examples:
  sudo eagent up
  eagent up --no-restart          leave dead what dies: for trying out what happens then
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from eagent.cli.dispatch import Context
from eagent.errors import UnavailableError
from eagent.process import PARENT, check_socket_path

READY_S = 20.0  # the first import of a cold disk included
RESTART_S = 1.0  # less than a lease's time to live: under a budget, an agent that crashes once moves no knob
RESTART_MAX_S = 30.0
STEADY_S = 60.0  # who ran this long has earned a quick restart again
STOP_S = 5.0  # beyond what the warden waits for the knobs to be back
POLL_S = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `eagent up`."""
    parser.add_argument("--no-restart", action="store_true", help="do not start again what died; end when both have")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run both until a signal.

    Raises:
        UnavailableError: one of them did not start; its own line stands above.
    """
    context.config()  # a bad configuration is told once, here, and not by each child
    for path in (context.paths.warden_socket, context.paths.api_socket):
        check_socket_path(path)
    warden = _Child("warden", context, context.paths.warden_socket, socket.SOCK_SEQPACKET)
    agent = _Child("agent", context, context.paths.api_socket, socket.SOCK_STREAM)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    try:
        for child in (warden, agent):
            child.start()
            if not child.wait_ready(stopping):
                raise UnavailableError(f"the {child.role} did not start")
            if stopping:
                return 0
        print(
            f"eagent is up: warden {warden.pid}, agent {agent.pid}, control socket {context.paths.api_socket}",
            flush=True,
        )
        while not stopping:
            time.sleep(POLL_S)
            if not args.no_restart:
                warden.keep_alive(time.monotonic())
                agent.keep_alive(time.monotonic())
            elif not (warden.alive or agent.alive):
                return 1
    finally:
        agent.stop()
        warden.stop()
    return 0


class _Child:
    """One of the two processes: started, kept alive, stopped."""

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
            return
        if self._again_at is None:
            self._wait_s = RESTART_S if now - self._started > STEADY_S else self._wait_s
            self._again_at = now + self._wait_s
            code = self._process.returncode if self._process else None
            print(
                f"eagent: the {self.role} died ({_cause(code)}); starting it again in {self._wait_s:g} s",
                file=sys.stderr,
                flush=True,
            )
        elif now >= self._again_at:
            self._again_at = None
            self._wait_s = min(self._wait_s * 2, RESTART_MAX_S)
            self.start()

    def stop(self) -> None:
        """End it in order, or when it has had its time in any way."""
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            print(f"eagent: the {self.role} does not stop; killed; `eagent restore` finishes its work", file=sys.stderr)
            self._process.kill()
            self._process.wait()


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"exit code {code}"
