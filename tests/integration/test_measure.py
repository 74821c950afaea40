"""What jobs measure on a simulated host: real processes of theirs, which the plant believes to hold its GPUs.

A load bears the pid of a process of the job's. The truth is the plant's own log of power, in rows of 0.1 s.
"""

from __future__ import annotations

import json
import math
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.sim.account import PowerLog
from eagent.sim.workload import Gang, Square
from tests.integration.conftest import Site, is_gone

ROW_S = 0.1
TIMEOUT_S = 60.0
LOAD = Square(period_s=1000.0, duty=1.0)
START_S = 30.0

# A job: it says that it is there, works on the GPU that a test gives it, measures when told, and tells as JSON.
JOB = """
import json, math, os, sys, time
import eagent, eagent.measuring
if os.environ.get("JOB_UID"):
    with eagent.measure() as warm:  # so that all is loaded that the next user might not be able to read
        pass
    warm.energy()
    os.setgroups([])
    os.setgid(int(os.environ["JOB_GID"]))
    os.setuid(int(os.environ["JOB_UID"]))
print(os.getpid(), flush=True)
def tell(window):
    told = window.energy()
    devices = {each.device: [each.energy_j, each.half_width_j, each.gain_j, each.others] for each in told.devices}
    return {"energy_j": told.energy_j, "half_width_j": told.half_width_j, "why": told.why, "devices": devices,
            "simulated": told.simulated, "flags": told.flags, "text": str(window)}
for line in iter(sys.stdin.readline, ""):
    seconds, *names = line.split()
    with eagent.measure("work", devices=names) as window:
        if float(seconds) < math.inf:
            time.sleep(float(seconds))
        else:
            sys.stdin.readline()
    print(json.dumps(tell(window)), flush=True)
"""


class Job:
    """A process that waits for a load, and measures on demand."""

    def __init__(self, environ: dict[str, str], *before: str) -> None:
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", JOB], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.own_pid = int(self._read())  # as it sees itself

    @property
    def pid(self) -> int:
        """Of the job, as this host's kernel counts; not of what it was started by."""
        pid = self._process.pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
        return pid

    def begin(self, seconds: float, *names: str) -> None:
        assert self._process.stdin is not None
        print(seconds, *names, file=self._process.stdin, flush=True)

    def end(self) -> None:
        """Of what was begun for `math.inf` seconds."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)

    def result(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._read())
        return told

    def measure(self, seconds: float, *names: str) -> dict[str, Any]:
        self.begin(seconds, *names)
        return self.result()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(TIMEOUT_S)


class Host:
    """A site whose agent jobs can reach, whoever they are."""

    def __init__(self, site: Site, run: Path) -> None:
        site.made.environ["EAGENT_RUN_DIR"] = str(run)
        self.site, self.run = site, run
        self._jobs: list[Job] = []

    def job(self, *before: str, **environ: str) -> Job:
        self._jobs.append(Job({**self.site.made.environ, **environ}, *before))
        return self._jobs[-1]

    def nobody(self) -> Job:
        user = pwd.getpwnam("nobody")
        return self.job(JOB_UID=str(user.pw_uid), JOB_GID=str(user.pw_gid))

    def load(self, gpu: int, pid: int) -> None:
        """Full work on one GPU, by this process."""
        LOAD.start(self.site.plant, [gpu], pid=pid)

    def watts(self, gpu: int, begin_s: float, end_s: float) -> float:
        """The true mean power, by the plant's log."""
        while self.site.plant.time_s < end_s + 2 * ROW_S:
            time.sleep(0.02)
        pieces = list(PowerLog(self.site.plant.power_log()).pieces(begin_s, end_s))
        return math.fsum(seconds * watts[gpu] for seconds, watts in pieces) / (end_s - begin_s)

    def close(self) -> None:
        for job in self._jobs:
            job.close()


@pytest.fixture
def host(site: Callable[..., Site]) -> Iterator[Host]:
    """A running host of four GPUs whose run directory lies where others may go."""
    directory = Path(tempfile.mkdtemp(prefix="eagent-"))
    directory.chmod(0o755)
    made = Host(site(gpus=4), directory / "run")
    made.site.up()
    yield made
    made.close()
    made.site.stop()
    shutil.rmtree(directory)


def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")


def unshare(*what: str) -> list[str]:
    """The words before a command that make it run in namespaces of its own."""
    words = ["unshare", *what, "--fork", "--"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"namespaces can't be made here: {' '.join(what)}")
    return words


def test_a_window_has_the_joules_of_the_gpu_that_its_process_holds(host: Host) -> None:
    job = host.job()
    host.load(2, job.pid)
    time.sleep(1.5)  # the board warms to its power
    begun_s = host.site.plant.time_s
    told = job.measure(3.0)
    (gpu,) = told["devices"]
    energy_j, half_width_j, gain_j, others = told["devices"][gpu]
    truth_j = host.watts(2, begun_s, begun_s + 3.0) * 3.0
    assert (gpu, others, told["simulated"], told["why"]) == ("gpu2", 0, True, "")
    assert energy_j == pytest.approx(truth_j, abs=2 * (half_width_j + gain_j) + 0.01 * truth_j)
    assert half_width_j < 0.05 * truth_j
    assert " J simulated on gpu2" in told["text"]


def test_who_holds_no_gpu_gets_none_whatever_his_neighbours_hold(host: Host) -> None:
    busy, idle = host.job(), host.job()
    host.load(1, busy.pid)
    assert busy.measure(1.5)["devices"].keys() == {"gpu1"}
    told = idle.measure(0.5)
    assert (told["energy_j"], told["devices"]) == (None, {})
    assert told["why"] == "no process of yours was seen on any GPU in this window; they are looked for once a second"


def test_a_command_is_measured_with_all_that_it_starts(host: Host, tmp_path: Path) -> None:
    target = tmp_path / "joules.json"
    script = "echo $$ > $0.pid; sh -c 'echo $$ > $0.child; sleep 4' $0 & wait"
    command = [
        sys.executable,
        "-m",
        "eagent",
        "measure",
        "--json",
        str(target),
        "--",
        "sh",
        "-c",
        script,
        str(tmp_path),
    ]
    measuring = subprocess.Popen(command, env=host.site.made.environ, stderr=subprocess.PIPE, text=True)
    place = Path(f"{tmp_path}.child")
    assert host.site.await_true(lambda: place.exists() and bool(place.read_text()), START_S)
    Gang().start(host.site.plant, [1, 3], pid=int(place.read_text()))
    _, table = measuring.communicate(timeout=TIMEOUT_S)
    place.unlink()
    Path(f"{tmp_path}.pid").unlink()
    told = json.loads(target.read_text())
    assert (measuring.returncode, told["simulated"], told["why"]) == (0, True, None)
    assert [device["device"] for device in told["devices"]] == ["gpu1", "gpu3"]
    assert told["seconds"] == pytest.approx(4, abs=2)
    assert told["energy_j"] > 300
    lines = table.splitlines()
    assert " J simulated, " in lines[0]
    assert lines[1].startswith("SIMULATED: ")
    assert [line.split()[0] for line in lines[3:5]] == ["gpu1", "gpu3"]


def test_two_users_do_not_see_each_others_devices(host: Host) -> None:
    as_root()
    ours, theirs = host.job(), host.nobody()
    host.load(0, ours.pid)
    host.load(1, theirs.pid)
    assert ours.measure(1.5)["devices"].keys() == {"gpu0"}
    assert theirs.measure(1.5)["devices"].keys() == {"gpu1"}
    refused = theirs.measure(1.0, "gpu0")
    assert (refused["energy_j"], refused["devices"]) == (None, {})
    assert refused["why"].startswith("no process of yours was seen on any GPU of those named in this window")
    assert theirs.measure(0.1, "cpu0")["why"] != ""
    assert ours.measure(1.0, "gpu1")["devices"].keys() == {"gpu1"}, "root may name any"


def test_others_can_open_the_sockets_for_jobs_and_nothing_else(host: Host) -> None:
    as_root()
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in [host.run, *host.run.rglob("*")]}
    assert [modes.pop(name) for name in ("run", "jobs", "warden")] == [0o751, 0o755, 0o751]
    assert [modes.pop(name) for name in ("ask.sock", "beat.sock")] == [0o666, 0o666]
    assert {name: mode for name, mode in modes.items() if mode & 0o007} == {}
    assert {"ring", "api.sock", "sock"} <= modes.keys()  # the last is the warden's


def test_a_container_measures_through_the_mounted_directory(host: Host, tmp_path: Path) -> None:
    as_root()
    words = unshare("--pid", "--mount", "--mount-proc")
    (tmp_path / "run/jobs").mkdir(parents=True)
    mount = f'mount --bind "{host.run}/jobs" "{tmp_path}/run/jobs" && exec "$@"'
    inside = host.job(*words, "sh", "-c", mount, "sh", EAGENT_RUN_DIR=str(tmp_path / "run"))
    neighbour = host.job()
    assert inside.own_pid < 10, "it has pids of its own"
    host.load(1, inside.pid)
    host.load(2, neighbour.pid)
    told = inside.measure(1.5)
    assert told["why"] == ""
    assert told["devices"].keys() == {"gpu1"}
    assert inside.measure(1.0, "gpu2")["devices"] == {}, "its root is no root of the host's"


def test_a_job_in_a_time_namespace_means_the_same_moments(host: Host) -> None:
    as_root()
    words = unshare("--time", "--monotonic", "86400")
    job = host.job(*words)
    host.load(1, job.pid)
    told = job.measure(1.5)
    assert told["devices"].keys() == {"gpu1"}
    assert told["why"] == ""


def die(host: Host, *roles: str) -> None:
    """Kill these, and wait until `eagent up` has started others, after a second or more, and they answer."""
    host.site.kill(*roles)

    def is_back() -> bool:
        asked = host.site.eagent("status", "--json")
        return asked.returncode == 0 and bool(json.loads(asked.stdout)["warden"]["connected"])

    assert host.site.await_true(lambda: all(is_gone(host.site.pids[role]) for role in roles), START_S)
    assert host.site.await_true(is_back, START_S), host.site.log.read_text()


def test_an_agent_that_was_started_again_knows_what_the_ring_still_holds(host: Host) -> None:
    job = host.job()
    host.load(0, job.pid)
    time.sleep(1.5)
    job.begin(math.inf)
    time.sleep(0.5)
    die(host, "agent")
    time.sleep(2.0)
    job.end()
    told = job.result()
    assert told["why"] == ""
    assert told["devices"].keys() == {"gpu0"}
    assert told["half_width_j"] < 0.05 * told["energy_j"]


def test_what_was_before_agent_and_ring_is_not_made_up(host: Host) -> None:
    job = host.job()
    host.load(0, job.pid)
    time.sleep(1.5)
    job.begin(math.inf)
    time.sleep(0.5)
    die(host, "agent", "warden")
    time.sleep(2.0)
    job.end()
    told = job.result()
    if told["energy_j"] is None:
        assert "watched" in told["why"]
    else:  # little was lost: then it counts in the error
        assert "gap" in told["flags"]
        assert "(gap)" in told["text"]
        assert told["half_width_j"] > 0.1 * told["energy_j"]
    assert host.site.await_true(lambda: job.measure(1.0)["energy_j"] is not None, START_S), "and it goes on"


ATTACK = """
import os, socket, sys, time
uid, gid, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.setgroups([]); os.setgid(gid); os.setuid(uid)
windows = b'{"windows": [' + b",".join(b"[0, %d]" % n for n in range(256)) + b"]}"
head = b"POST /v1/windows HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: "
attacks = [b"", head, b"\\0" * 10_000, head + b"99999999999\\r\\n\\r\\n"]
attacks.append(head + b"%d\\r\\n\\r\\n" % len(windows) + windows)
held = []
print("begun", flush=True)
while True:
    for data in attacks:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(0.2)
        try:
            connection.connect(path)
            connection.sendall(data)
        except OSError:
            connection.close()
        else:
            held.append(connection)
    while len(held) > 50:
        held.pop(0).close()
    time.sleep(0.005)
"""


def test_whatever_another_user_does_at_the_socket_jobs_are_answered(host: Host) -> None:
    as_root()
    job, user = host.job(), pwd.getpwnam("nobody")
    host.load(0, job.pid)
    command = [sys.executable, "-c", ATTACK, str(user.pw_uid), str(user.pw_gid), str(host.run / "jobs/ask.sock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "begun\n"
        try:
            results = [job.measure(0.5) for _ in range(4)]
            assert attacker.poll() is None
        finally:
            attacker.kill()
    assert [sorted(told["devices"]) for told in results] == [["gpu0"]] * 4, results
    assert host.site.eagent("status").returncode == 0
