"""The agent as a real process: its lock, its signals, its last word to a warden."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent import wire

START_S = 15.0  # the first import on a cold and shared machine

PROGRAM = """
import sys
from pathlib import Path
from eagent.agent.main import run
from eagent.api.jobs import job_server
from eagent.api.server import Server
from eagent.config import Config
from eagent.paths import Paths
from eagent.errors import EagentError
try:
    here = Path(sys.argv[1])
    run(Paths(here, here, proc=here / "proc"), Config(fixed_w=400.0, decide_period_ms=50), Server, job_server)
except EagentError as problem:
    sys.exit(f"eagent: {problem}")
"""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(str(self._path))


def request(run_dir: Path, method: str, target: str, body: Any = None) -> Any:
    """The JSON that the agent in `run_dir` answers; None while it does not listen."""
    try:
        with contextlib.closing(_Connection(run_dir / "api.sock")) as connection:
            connection.request(method, target, json.dumps(body) if body is not None else None)
            return json.loads(connection.getresponse().read())
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def await_true(condition: Callable[[], Any], what: str) -> Any:
    """Poll a process until it has come so far."""
    deadline = time.monotonic() + START_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {START_S:g} s: {what}"
        time.sleep(0.01)
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts agents in `tmp_path`, and ends them."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        environ = {name: value for name, value in os.environ.items() if name != "EAGENT_PARENT_PID"}
        started.append(
            subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def heard(tmp_path: Path, new_device: Any) -> Iterator[list[wire.Message]]:
    """A warden of one GPU that grants everything; what it was asked for, in order."""
    requests: list[wire.Message] = []
    device = new_device(0)
    knob = {
        "uuid": device.uuid,
        "knob": "power_limit",
        "requested_mw": 400_000,
        "enforced_mw": 400_000,
        "ours_mw": None,
        "baseline_mw": 400_000,
        "state": "baseline",
        "writable": True,
        "why": "",
        "error": None,
    }
    replies: dict[str, wire.Message] = {
        "hello": {
            "devices": [wire.pack_device(device)],
            "boot_id": "b",
            "simulated": True,
            "ttl_max_s": 60.0,
            "budget": None,
        },
        "status": {"knobs": [knob], "clocks": [], "preferences": [], "budget": None, "lease": None, "alarms": []},
        "lease": {"until_ns": time.monotonic_ns() + 3600 * 10**9},
    }
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (tmp_path / "warden").mkdir()
    listener.bind(str(tmp_path / "warden/sock"))
    listener.listen(2)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    while packet := client.recv(wire.MESSAGE_MAX_BYTES):
                        requests.append(wire.decode(packet))
                        client.send(wire.encode({"ok": True, **replies.get(requests[-1]["op"], {})}))

    thread = threading.Thread(target=serve)
    thread.start()
    yield requests
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(timeout=START_S)


def test_a_pin_over_http_reaches_the_warden_and_a_signal_gives_the_lease_back(
    start: Callable[[], subprocess.Popen[str]], heard: list[wire.Message], tmp_path: Path
) -> None:
    agent = start()
    status = await_true(lambda: request(tmp_path, "GET", "/v1/status"), "the API answers")
    assert (status["simulated"], status["warden"]["connected"]) == (True, True)
    assert any("no sample ring" in alarm for alarm in status["alarms"])
    assert request(tmp_path, "PUT", "/v1/devices/gpu0/pin", {"limit_w": 250})["limit_w"] == 250
    lease = await_true(lambda: [each for each in heard if each["op"] == "lease"], "a lease")[0]
    assert lease["limits_mw"] == {status["devices"][0]["uuid"]: 250_000}
    agent.send_signal(signal.SIGTERM)
    _, complaints = agent.communicate(timeout=START_S)
    assert agent.returncode == 0, complaints
    assert "Traceback" not in complaints
    assert heard[-1]["op"] == "release"
    assert not (tmp_path / "api.sock").exists()


def test_busy_cpus_are_those_of_the_configured_proc(start: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    begun = time.monotonic()

    def tell() -> None:
        ticks = int((time.monotonic() - begun) * 100 * 7)  # seven CPUs' worth, on a host that has none of it
        (tmp_path / "proc/new").write_text(f"cpu  {ticks} 0 0 0 0 0 0 0 0 0\n")
        (tmp_path / "proc/new").rename(tmp_path / "proc/stat")

    agent = start()
    status = await_true(lambda: request(tmp_path, "GET", "/v1/status"), "the API answers")
    assert (status["busy_cpus"]["status"], status["busy_cpus"]["value"]) == ("missing", None)
    (tmp_path / "proc").mkdir()

    def busy() -> Any:
        tell()
        told = request(tmp_path, "GET", "/v1/status")["busy_cpus"]
        return told if told["status"] == "ok" else None

    told = await_true(busy, "two looks")
    assert told["value"] == pytest.approx(7, rel=0.3)
    assert (told["unit"], told["sensor"]) == ("CPUs", "kernel cpu times")
    agent.terminate()
    _, complaints = agent.communicate(timeout=START_S)
    assert agent.returncode == 0, complaints


def test_jobs_have_a_socket_of_their_own_that_is_gone_with_the_agent(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        agent = start()
    finally:
        os.umask(before)
    place = tmp_path / "jobs/ask.sock"
    await_true(place.exists, "the socket for jobs")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place.parent, place)] == [0o755, 0o666]
    agent.terminate()
    _, complaints = agent.communicate(timeout=START_S)
    assert (agent.returncode, place.exists()) == (0, False), complaints


def test_an_agent_that_cannot_answer_jobs_governs_all_the_same(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "jobs").write_text("in the way")
    agent = start()
    await_true(lambda: request(tmp_path, "GET", "/v1/status"), "the API answers")
    agent.terminate()
    _, complaints = agent.communicate(timeout=START_S)
    assert agent.returncode == 0, complaints
    assert "jobs can't measure what they draw: " in complaints
    assert "Traceback" not in complaints


def test_an_agent_without_a_warden_waits_and_ends_when_told(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    agent = start()
    status = await_true(lambda: request(tmp_path, "GET", "/v1/status"), "the API answers")
    assert status["warden"]["connected"] is False
    second = start()
    _, complaint = second.communicate(timeout=START_S)
    assert second.returncode == 1
    assert complaint.count("\n") == 1
    assert f"another agent (pid {agent.pid}) runs" in complaint
    agent.send_signal(signal.SIGINT)
    _, complaints = agent.communicate(timeout=START_S)
    assert agent.returncode == 0, complaints
    assert "Traceback" not in complaints
