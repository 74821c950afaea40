"""Hostile local users on a simulated host: strangers, a job owner, an observer, and an agent that was taken over.

All of them are real processes of other users, and what they could do is judged by the simulated driver's own log.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.access import API, JOBS, WARDEN, Role
from eagent.audit import read
from eagent.sim.workload import Square
from tests.integration.conftest import CONFIG, Site

# One process of another user: tries each request of a list at one socket, and prints the answers.
TRY = """
import json, os, socket, sys, time
uid, gid, groups, kind, path, requests = json.loads(sys.argv[1])
import msgpack
os.setgroups(groups); os.setgid(gid); os.setuid(uid); os.chdir("/")
answers = []
for request in requests:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if kind == "warden" else socket.SOCK_STREAM)
    made.settimeout(10)
    try:
        made.connect(path)
        if kind == "warden":
            made.sendall(msgpack.packb({"v": 1, **request}))
            packet = made.recv(1 << 17)
            answers.append(msgpack.unpackb(packet) if packet else "hung up")
        else:
            route, body = request
            data = json.dumps(body).encode() if body is not None else b""
            head = [f"{route} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(data)}", "", ""]
            made.sendall("\\r\\n".join(head).encode() + data)
            received = b""
            while chunk := made.recv(65536):
                received += chunk
            answers.append(int(received.split()[1]))
    except OSError as problem:
        answers.append(type(problem).__name__)
    made.close()
print(json.dumps(answers), flush=True)
if "--stay" in sys.argv:
    sys.stdin.read()
"""
BODIES: dict[str, Any] = {
    "PUT /v1/budget": {"budget_w": 100_000, "fixed_w": 0},
    "PUT /v1/devices/{device}/pin": {"limit_w": 400},
    "PUT /v1/devices/{device}/hint": {"limit_w": 120},
}
OPERATORS, OBSERVERS, AGENTS = "daemon", "games", "mail"  # groups that every host has


def tried(user: int, group: int, kind: str, path: Path, requests: list[Any], groups: tuple[int, ...] = ()) -> list[Any]:
    """What another user's process is answered."""
    task = json.dumps([user, group, list(groups), kind, str(path), requests])
    done = subprocess.run([sys.executable, "-c", TRY, task], capture_output=True, text=True, timeout=60, check=True)
    answers: list[Any] = json.loads(done.stdout)
    return answers


def gid(name: str) -> int:
    return grp.getgrnam(name).gr_gid


NOBODY = pwd.getpwnam("nobody").pw_uid
STRANGERS = 65_533  # a group that none of eagent's is
ROUTES = [(route.replace("{device}", "gpu0"), BODIES.get(route)) for route in API]


@pytest.fixture
def host(site: Callable[..., Site]) -> Iterator[Site]:
    """A running host of two GPUs under a budget, whose run directory lies where others may go."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    directory = Path(tempfile.mkdtemp(prefix="eagent-"))
    directory.chmod(0o755)
    made = site(gpus=2)
    made.made.environ["EAGENT_RUN_DIR"] = str(directory / "run")
    made.config.write_text(
        f'{CONFIG}[policy]\nmode_hint = "act"\n[access]\noperator_groups = ["{OPERATORS}"]\n'
        f'observer_groups = ["{OBSERVERS}"]\nagent_group = "{AGENTS}"\n'
    )
    made.up()
    made.run = directory / "run"  # type: ignore[attr-defined]
    made.state = Path(made.made.environ["EAGENT_STATE_DIR"])  # type: ignore[attr-defined]
    yield made
    made.stop()
    shutil.rmtree(directory)


def test_by_the_api_strangers_get_nothing_and_observers_only_look(host: Any) -> None:
    api = host.run / "api.sock"
    assert set(tried(NOBODY, STRANGERS, "api", api, ROUTES)) == {"PermissionError"}
    answers = dict(zip(API, tried(NOBODY, gid(OBSERVERS), "api", api, ROUTES), strict=True))
    assert {route: answer == 403 for route, answer in answers.items()} == {
        route: role > Role.OBSERVER for route, role in API.items()
    }
    assert host.limits_w() == [400, 400]
    refused = [line for line in read(host.state / "audit/agent") if line["outcome"].startswith("refused")]
    assert {line["what"] for line in refused} == {
        route.replace("{device}", "gpu0") for route, role in API.items() if role > Role.OBSERVER
    }
    assert {(line["who"]["uid"], line["who"]["role"]) for line in refused} == {(NOBODY, "observer")}
    assert tried(
        NOBODY, STRANGERS, "api", api, [("PUT /v1/devices/gpu0/pin", {"limit_w": 300})], (gid(OPERATORS),)
    ) == [200]
    assert host.await_true(lambda: host.limits_w() == [300, 400], 5)
    done = json.loads(host.must("audit", "--json").splitlines()[-1])
    assert (done["who"]["role"], done["outcome"], done["after"]["pin of gpu0"]["limit_w"]) == ("operator", "done", 300)


def test_a_taken_over_agent_writes_nothing_above_a_device_or_the_envelope(host: Any) -> None:
    host.must("budget", "set", "1600", "--why", "a test")
    begin_s = host.plant.time_s
    warden = host.run / "warden/sock"
    uuids = [each["uuid"] for each in json.loads(host.must("status", "--json"))["devices"] if each["kind"] == "gpu"]

    def lease(*limits_w: float, **more: Any) -> dict[str, Any]:
        limits_mw = {uuid: int(limit_w * 1000) for uuid, limit_w in zip(uuids, limits_w, strict=True)}
        return {"op": "lease", "limits_mw": limits_mw, "ttl_s": 2.0, **more}

    budget = {"budget_mw": 10**9, "fixed_mw": 0, "safe_caps_mw": {}}
    requests = [
        {"op": "budget_set", **budget},
        {"op": "budget_clear"},
        lease(400, 400),
        lease(5000, 100),
        lease(-1, 100),
        lease(300, 300, ttl_s=1e9),
        {"op": "lease", "limits_mw": {uuids[0]: 400_000}, "ttl_s": 2.0},
        {"op": "restore_everything"},
        {"op": "yield_clear"},
    ]
    stranger = tried(NOBODY, STRANGERS, "warden", warden, requests)
    assert set(stranger) == {"PermissionError"}
    taken_over = tried(NOBODY, gid(AGENTS), "warden", warden, requests)
    assert [answer["ok"] for answer in taken_over] == [False] * 8 + [True]
    assert "for operators" in taken_over[0]["error"]
    assert json.loads(host.must("budget", "--json"))["budget"]["budget_w"] == 1600
    assert tried(NOBODY, gid(AGENTS), "warden", warden, [lease(350, 250)])[0]["ok"], (
        "what the envelope leaves it may hold"
    )
    assert host.await_true(lambda: sum(host.limits_w()) <= 600, 5)
    assert max(host.sums_w(begin_s)) <= 600
    assert all(new_w <= 400 for _, _, _, new_w, _ in host.plant.limit_log())
    refused = [line for line in read(host.state / "audit/warden") if line["who"]["role"] == "agent"]
    assert {line["what"] for line in refused} >= {"warden budget_set", "warden budget_clear", "warden lease"}
    kept = next(line for line in read(host.state / "audit/warden") if line["what"] == "warden budget_set")
    assert kept["before"] == {"budget": None}
    assert kept["after"]["budget"]["budget_mw"] == 1_600_000
    assert set(WARDEN) >= {request["op"] for request in requests} - {"restore_everything"}


def test_a_job_owner_lowers_what_it_holds_and_nothing_else(host: Any) -> None:
    ask = host.run / "jobs/ask.sock"
    hint = [("PUT /v1/devices/gpu0/hint", {"limit_w": 250})]
    assert tried(NOBODY, STRANGERS, "jobs", ask, hint) == [403]
    task = json.dumps([NOBODY, STRANGERS, [], "jobs", str(ask), []])
    job = subprocess.Popen(
        [sys.executable, "-c", TRY, task, "--stay"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        Square(period_s=1000.0, duty=1.0).start(host.plant, [0], pid=job.pid)
        assert host.await_true(lambda: tried(NOBODY, STRANGERS, "jobs", ask, hint) == [200], 15)
        assert host.await_true(lambda: host.limits_w() == [250, 400], 5)
        assert tried(NOBODY, STRANGERS, "jobs", ask, [("PUT /v1/devices/gpu1/hint", {"limit_w": 250})]) == [403]
        assert tried(NOBODY, STRANGERS, "jobs", ask, [("PUT /v1/devices/gpu1/hint", {"slowdown": 0.5})]) == [403]
        assert tried(NOBODY - 1, STRANGERS, "jobs", ask, hint) == [403]
        others = [(route, body) for route, body in ROUTES if route not in JOBS]
        assert set(tried(NOBODY, STRANGERS, "jobs", ask, others)) == {404}, "nothing else is answered there"
        assert tried(NOBODY, STRANGERS, "jobs", ask, [("PUT /v1/devices/gpu0/hint", {"limit_w": 9000})]) == [200]
        assert host.await_true(lambda: host.limits_w() == [400, 400], 10), "a bound above the present one has no effect"
        assert all(new_w <= 400 for _, _, _, new_w, _ in host.plant.limit_log())
        assert tried(NOBODY, STRANGERS, "jobs", ask, hint) == [200]
        assert host.await_true(lambda: host.limits_w() == [250, 400], 10)
    finally:
        job.communicate()
    host.plant.stop_load()
    assert host.await_true(lambda: host.limits_w() == [400, 400], 20), "a hint ends with the job"
    lines = read(host.state / "audit/agent")
    assert {line["outcome"].split(":")[0] for line in lines if line["who"]["role"] == "job owner"} == {
        "done",
        "not done",
    }


HOLD = """
import json, os, socket, sys
uid, gid, path, count = json.loads(sys.argv[1])
os.setgroups([]); os.setgid(gid); os.setuid(uid)
held = []
for _ in range(count):
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    held.append(made)
print(len(held), flush=True)
sys.stdin.read()
"""


def test_an_operator_is_heard_while_observers_hold_all_connections(host: Any) -> None:
    holders = []
    try:
        for user in range(3):
            task = json.dumps([NOBODY - user, gid(OBSERVERS), str(host.run / "api.sock"), 32])
            command = [sys.executable, "-c", HOLD, task]
            holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            assert holders[-1].stdout is not None
            assert holders[-1].stdout.readline() == b"32\n"
        status = [("GET /v1/status", None)]
        assert tried(NOBODY - 3, gid(OBSERVERS), "api", host.run / "api.sock", status) != [200], (
            "one observer more is not"
        )
        assert tried(NOBODY - 3, gid(OPERATORS), "api", host.run / "api.sock", status) == [200]
        assert "gpu0" in host.must("status")
    finally:
        for holder in holders:
            holder.communicate()
