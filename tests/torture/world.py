"""One simulated host and the real processes of eagent on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from eagent.client import Client, NoAgentError
from eagent.errors import DriverError, EagentError, ProtocolError, RefusedError, UnavailableError
from eagent.process import PARENT
from eagent.sim import host
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.warden import absent
from eagent.wire import MESSAGE_MAX_BYTES, Message, decode, encode
from tests.torture.script import FIXED_W, GPUS, SAFE_W

FIRST_LOCK = 1 << 40  # in the host's file: who has which GPU open (native/nvmlsim/attach.c)
LOCKED_S = 0.3  # a look at the plant takes longer only if somebody stands still in its lock,
AGAIN_S = 0.002  # who then goes on for so long, and is stopped again
ASK_S = 1.0  # nobody waits longer for a process that may be stopped
CONFIG = f"""\
[host]
fixed_w = {FIXED_W}
safe_cap_w = {SAFE_W}
[policy]
mode_idle = "act"
idle_consent = ["all"]
[agent]
lease_ttl_s = 1.0
decide_period_ms = 200
"""


@dataclass(slots=True)
class Process:
    """One process, of whatever parent."""

    role: str
    handle: psutil.Process
    popen: subprocess.Popen[bytes] | None = None
    stopped: bool = False

    @property
    def pid(self) -> int:
        return self.handle.pid

    @property
    def alive(self) -> bool:
        if self.popen is not None:
            return self.popen.poll() is None
        with contextlib.suppress(psutil.Error):
            return self.handle.is_running() and self.handle.status() != psutil.STATUS_ZOMBIE
        return False


@dataclass
class World:
    """A host, who runs on it, and what happened. `close` leaves nothing."""

    directory: Path
    environ: dict[str, str]  # of whom we start, beside the host's own
    processes: list[Process] = field(default_factory=list)
    trace: list[tuple[float, str]] = field(default_factory=list)
    rounds: int = 0
    said: str = ""  # by commands

    def __post_init__(self) -> None:
        """Make the host."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.made = host.create(self.directory, "h", gpus=GPUS)
        self.plant = Host(self.made.plant)
        self.faults = Faults(self.made.plant)
        self.config = self.made.path / "eagent.toml"
        self.config.write_text(CONFIG)
        self.log = self.made.path / "log"
        own = {name: value for name, value in os.environ.items() if not name.startswith("EAGENT_")}
        keep = {name: value for name, value in os.environ.items() if name == "EAGENT_CI_RUN"}
        self.environ = self.made.environment({**own, **keep, **self.environ})
        self.api = Client(self.made.run / "api.sock", timeout_s=ASK_S)
        self.slow_api = Client(self.made.run / "api.sock", timeout_s=4 * ASK_S)

    # -- time and notes ----------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.plant.time_s

    def note(self, text: str) -> None:
        self.trace.append((self.now_s, text))

    def wait(self, condition: Callable[[], bool], most_s: float) -> bool:
        """Wait until it holds; whether it does."""
        deadline = time.monotonic() + most_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    # -- processes ---------------------------------------------------------------------------------------------------

    def start(self, role: str, *options: str) -> Process:
        """Start `eagent ROLE`. It ends with us, however we end."""
        command = [sys.executable, "-m", "eagent", role, f"--config={self.config}", *options]
        with self.log.open("ab") as log:
            popen = subprocess.Popen(
                command,
                env={**self.environ, PARENT: str(os.getpid())},
                cwd=self.directory,  # where no other eagent lies than that of PYTHONPATH, or the installed one
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process = Process(role, psutil.Process(popen.pid), popen)
        self.processes.append(process)
        self.note(f"started {role}: pid {popen.pid}")
        return process

    def living(self) -> list[Process]:
        """Who runs, in an order that depends on nothing but roles; the children of `eagent up` are among them."""
        self.processes = [each for each in self.processes if each.alive]
        known = {each.pid for each in self.processes}
        for parent in [each for each in self.processes if each.role == "up" and not each.stopped]:
            with contextlib.suppress(psutil.Error):
                for child in parent.handle.children():
                    role = next((each for each in ("warden", "agent") if each in child.cmdline()), None)
                    if role is not None and child.pid not in known:
                        self.processes.append(Process(role, child))
        return sorted(self.processes, key=lambda each: each.role)

    def of(self, role: str) -> Process | None:
        """The living process of that role."""
        return next((each for each in self.living() if each.role == role), None)

    def signal(self, process: Process, number: signal.Signals) -> None:
        self.note(f"{number.name} to {process.role} {process.pid}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
            while number is signal.SIGSTOP and not self._lets_others_in():
                os.kill(process.pid, signal.SIGCONT)
                time.sleep(AGAIN_S)
                os.kill(process.pid, signal.SIGSTOP)
        process.stopped = number is signal.SIGSTOP or (process.stopped and number is signal.SIGTERM)
        if number is signal.SIGKILL:
            self.wait(lambda: not process.alive, 5.0)

    def _lets_others_in(self) -> bool:
        """Whether nobody stands still in the simulated driver's lock: in a real one the kernel ends what was begun."""

        def look() -> None:
            with contextlib.suppress(DriverError):
                _ = self.plant.time_s

        looks = threading.Thread(target=look)
        looks.start()
        looks.join(LOCKED_S)
        return not looks.is_alive()

    def end_all(self, number: signal.Signals) -> None:
        """End all, the agent first; kill who does not end."""
        for process in self.living():  # agent, up, warden
            if process.stopped and number is not signal.SIGKILL:
                self.signal(process, signal.SIGCONT)
            if process.role != "warden" or self.of("up") is None or number is signal.SIGKILL:
                self.signal(process, number)
                if not self.wait(lambda ended=process: not ended.alive, 8.0):  # type: ignore[misc]
                    self.note(f"{process.role} {process.pid} did not end: killed")
                    self.signal(process, signal.SIGKILL)
        if not self.wait(lambda: not self.living(), 8.0):
            for process in self.living():
                self.signal(process, signal.SIGKILL)

    # -- talk --------------------------------------------------------------------------------------------------------

    def warden_answers(self) -> int | None:
        """The pid of the warden that listens; None: none does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            if probe.connect_ex(str(self.made.run / "warden/sock")) != 0:
                return None
            pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return int(pid)

    def ask(self, op: str, most_s: float = ASK_S, **fields: Any) -> Message:
        """A request to the warden, as its agent makes them.

        Raises:
            NoAgentError: there is none.
            UnavailableError: it does not answer in time; what was asked may be done later all the same.
            RefusedError: it says no.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(most_s)
            try:
                connection.connect(str(self.made.run / "warden/sock"))
            except OSError as problem:
                raise NoAgentError(f"warden: {op}: {problem}") from None
            try:
                connection.sendall(encode({"op": op, **fields}))
                received = connection.recv(MESSAGE_MAX_BYTES + 1)
            except OSError as problem:
                raise UnavailableError(f"warden: {op}: {problem}") from None
        if not received:
            raise UnavailableError(f"warden: {op}: it hung up")
        reply = decode(received)
        if reply.get("ok") is not True:
            raise RefusedError(str(reply.get("error")))
        return reply

    def restore(self, *options: str, most_s: float = 30.0) -> tuple[int, str]:
        """Run `eagent restore`; its exit code and what it said."""
        command = [sys.executable, "-m", "eagent", "restore", f"--config={self.config}", *options]
        try:
            done = subprocess.run(
                command,
                env=self.environ,
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=most_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.note("restore did not end in time")
            return -1, ""
        self.said += done.stderr
        self.note(f"restore {' '.join(options)}: exit code {done.returncode} {done.stderr.strip()[-300:]}")
        return done.returncode, done.stderr

    # -- what is -----------------------------------------------------------------------------------------------------

    def limits_w(self) -> list[float]:
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(GPUS)]

    def locks_mhz(self) -> list[int]:
        return [self.plant.view(gpu)["locked_max_mhz"] for gpu in range(GPUS)]

    def entries(self) -> list[str]:
        """What the journal holds."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(path.name for path in (self.made.state / "journal").iterdir() if path.suffix == ".json")
        return []

    def tail(self, lines: int = 30) -> str:
        """The end of what the processes said."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def has_crashed(self) -> bool:
        """Whether one of the processes met an error of its program."""
        return "Traceback (most recent call last)" in self.said + self.log.read_text(errors="replace")

    def readied(self) -> int:
        """How many wardens have said that they are ready since the log began."""
        return len(re.findall("eagent.warden: ready", self.log.read_text(errors="replace")))

    def uuid(self, gpu: int) -> str:
        """The name of a GPU for good."""
        return str(self.plant.view(gpu)["uuid"])

    def detached(self) -> set[int]:
        """The GPUs that are detached, by the file that says so."""
        with contextlib.suppress(ProtocolError, OSError):
            gone = absent.load(self.made.run / "detached.json", self.plant.boot_id or "").detached
            return {gpu for gpu in range(GPUS) if self.uuid(gpu) in gone}
        return set()

    def has_open(self, gpu: int) -> bool:
        """Whether any process has a GPU open: then the driver resets it for nobody."""
        byte = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, FIRST_LOCK + gpu, 1, 0)
        descriptor = os.open(self.made.plant, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, byte)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def close(self) -> None:
        """Kill all, and remove the host."""
        for process in self.living():
            self.signal(process, signal.SIGKILL)
        self.plant.close()
        self.faults.close()
        with contextlib.suppress(EagentError):
            host.delete(self.directory, "h")
        shutil.rmtree(self.directory, ignore_errors=True)
