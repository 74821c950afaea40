"""Warden and agent of different users, as systemd runs them: who may do what by each command that there is.

The commands come from the tables of `eagent.access`, so that a new one is tried, too, or a test fails.
"""

from __future__ import annotations

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

from eagent.access import API, JOBS, POWER, WARDEN, Needs, Role
from eagent.audit import read
from eagent.sim._plant import Host
from eagent.sim.workload import Square
from tests.integration.conftest import CONFIG, START_S, is_gone
from tests.integration.rack import until
from tests.integration.test_hostile import AGENTS, NOBODY, OBSERVERS, OPERATORS, STRANGERS, TRY, gid, tried

AGENT = pwd.getpwnam("bin").pw_uid
MESH = f'[mesh]\ndomains = ["rack7"]\nsite_key = "{"00" * 32}"\nreserve_w = 1300\nnameplate_w = 1500\n'
ACCESS = f'[access]\noperator_groups = ["{OPERATORS}"]\nobserver_groups = ["{OBSERVERS}"]\nagent_group = "{AGENTS}"\n'
# eagent's command line as another user, who may not be able to read where Python is: all is loaded before.
AS = """
import asyncio, encodings.ascii, encodings.idna, encodings.latin_1, getpass, importlib, json, os, pkgutil, sys, tomllib
uid, gid, groups, words = json.loads(sys.argv[1])
for room in ("agent", "api", "policy", "telemetry", "cli"):
    place = importlib.import_module(f"eagent.{room}").__path__
    for each in pkgutil.iter_modules(place):
        importlib.import_module(f"eagent.{room}.{each.name}")
import eagent.wire
os.setgroups(groups); os.setgid(gid); os.setuid(uid); os.chdir("/")
from eagent.cli import main
sys.exit(main(words))
"""


class Apart:
    """A simulated host of two GPUs whose warden is root's, and whose agent is not."""

    def __init__(self, made: Any, directory: Path) -> None:
        self.plant, self.run, self.state = Host(made.plant), directory / "run", directory / "state"
        self.run.mkdir()
        os.chown(self.run, 0, gid(AGENTS))
        self.run.chmod(0o1771)
        (self.state / "audit/agent").mkdir(parents=True)
        os.chown(self.state / "audit/agent", AGENT, gid(AGENTS))
        self._config = directory / "eagent.toml"
        self._log = directory / "log"
        self._words = [f"--run-dir={self.run}", f"--state-dir={self.state}", f"--config={self._config}"]
        self._environ, self._processes = made.environ, list[subprocess.Popen[bytes]]()

    def warden(self, more: str = "") -> None:
        self._config.write_text(f"{CONFIG}{ACCESS}{more}")
        command = [sys.executable, "-m", "eagent", "warden", *self._words]
        self._start(command, self._environ, group=gid(AGENTS), umask=0o027)
        assert until(lambda: (self.run / "warden/sock").exists(), START_S), self._log.read_text()

    def agent(self) -> None:
        environ = {name: value for name, value in self._environ.items() if not name.startswith("EAGENT")}
        self._start([sys.executable, "-c", AS, self._task(AGENT, gid(AGENTS), ("agent",))], environ)
        assert until(lambda: self.eagent("status").returncode == 0, START_S), self._log.read_text()

    def _start(self, command: list[str], environ: dict[str, str], **options: Any) -> None:
        with self._log.open("ab") as log:
            self._processes.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log, **options))

    def _task(self, uid: int, group: int, words: tuple[str, ...]) -> str:
        return json.dumps([uid, group, [], [*words, *self._words]])

    def eagent(self, *words: str, uid: int = 0, group: int = 0) -> subprocess.CompletedProcess[str]:
        """A command of a user."""
        command = [sys.executable, "-c", AS, self._task(uid, group, words)]
        return subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=60, check=False)

    def budget(self) -> Any:
        return json.loads(self.eagent("budget", "--json").stdout)["budget"]

    def limits_w(self) -> list[float]:
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(2)]

    def uuids(self) -> list[str]:
        hello = tried(0, 0, "warden", self.run / "warden/sock", [{"op": "hello"}])[0]
        return [device["uuid"] for device in hello["devices"] if device["kind"] == "gpu"]

    def sums_w(self, since_s: float) -> list[float]:
        """The sums of the limits after each write since then, by the driver's own log."""
        limits, sums = [400.0, 400.0], []
        for at_s, gpu, _, new_w, _ in self.plant.limit_log():
            assert 100 <= new_w <= 400, f"gpu{gpu} was set to {new_w} W"
            limits[gpu] = new_w
            sums += [sum(limits)] if at_s > since_s else []
        return sums

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(30)
        assert all(is_gone(process.pid) for process in self._processes)
        self.plant.close()


@pytest.fixture
def apart(sim_host: Callable[..., Any]) -> Iterator[Apart]:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    directory = Path(tempfile.mkdtemp(prefix="eagent-"))
    directory.chmod(0o755)
    made = Apart(sim_host(gpus=2), directory)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(directory)


def test_an_agent_of_another_user_passes_no_budget_on_and_operators_set_it_all_the_same(apart: Apart) -> None:
    apart.warden()
    apart.agent()
    put = [("PUT /v1/budget", {"budget_w": 1600}), ("DELETE /v1/budget", None)]
    assert tried(0, 0, "api", apart.run / "api.sock", put) == [409, 409], "what comes through the agent is its own"
    for uid, watts in ((0, 1600), (NOBODY, 1500)):
        begin_s = apart.plant.time_s
        done = apart.eagent("budget", "set", str(watts), "--why", "heat", uid=uid, group=gid(OPERATORS))
        assert (done.returncode, done.stderr) == (0, "")
        assert f"budget   {watts} W" in done.stdout
        assert apart.budget()["budget_w"] == watts
        assert sum(apart.limits_w()) <= watts - 1000
        assert apart.sums_w(begin_s)[-1] <= watts - 1000
    for group in (OBSERVERS, AGENTS):
        for words in (("set", "1700"), ("clear",)):
            said = apart.eagent("budget", *words, uid=NOBODY, group=gid(group))
            assert (said.returncode, said.stdout, said.stderr.count("\n")) == (1, "", 1)
            assert "you may not open" in said.stderr or "you are none" in said.stderr
    assert apart.budget()["budget_w"] == 1500
    assert apart.eagent("budget", "clear", uid=NOBODY, group=gid(OPERATORS)).returncode == 0
    assert apart.budget() is None
    lines = [line for line in read(apart.state / "audit/warden") if line["what"].startswith("warden budget")]
    assert [(line["what"], line["who"]["uid"], line["outcome"]) for line in lines if line["outcome"] == "done"] == [
        ("warden budget_set", 0, "done"),
        ("warden budget_set", NOBODY, "done"),
        ("warden budget_clear", NOBODY, "done"),
    ]
    assert lines[0]["why"] == "heat"


def asked_of(table: Needs) -> list[tuple[str, dict[str, int]]]:
    """Each route, with a body that asks for much."""
    body = {"limit_w": 9000, "budget_w": 9000}
    return [(route.replace("{device}", "gpu0").replace("{host}", "n1"), body) for route in table]


def asked_of_warden(uuids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """For each operation what a good agent would send, and then what asks for more than anybody may have."""
    good = dict.fromkeys(uuids, 250_000)
    lease = {"limits_mw": good, "ttl_s": 2.0}
    budget = {"budget_mw": 10**9, "fixed_mw": 0, "safe_caps_mw": {}}
    greedy = [{uuids[0]: high, uuids[1]: low} for high, low in ((400_001, 100_000), (500_000, 100_000), (10**9, 0))]
    return {
        "hello": [{}],
        "status": [{}],
        "lease": [
            lease,
            *({**lease, "limits_mw": limits_mw} for limits_mw in greedy),
            {**lease, "limits_mw": dict.fromkeys(uuids, 400_000)},
            {**lease, "limits_mw": {uuids[0]: 400_000}},
            {**lease, "ttl_s": 1e9},
            {**lease, "clocks_mhz": dict.fromkeys(uuids, 10**6)},
        ],
        "release": [{}],
        "yield_clear": [{}],
        "lock_again": [{"uuids": uuids}, {"uuids": [7]}],
        "detach": [{"uuid": uuids[0], "by": "x", "why": "y"}, {"uuid": "GPU-none", "by": "x", "why": "y"}],
        "attach": [{"uuid": uuids[0]}, {"uuid": "GPU-none"}],
        "budget_set": [budget, {**budget, "budget_mw": 1_600_000, "fixed_mw": 1_000_000}],
        "budget_clear": [{}],
    }


def test_each_command_is_refused_to_strangers_job_owners_and_a_taken_over_agent_and_audited(apart: Apart) -> None:
    apart.warden('[policy]\nmode_hint = "act"\n')
    apart.agent()
    assert apart.eagent("budget", "set", "1600").returncode == 0
    begin_s = apart.plant.time_s
    of_warden = asked_of_warden(apart.uuids())
    assert set(of_warden) == set(WARDEN), "a new command is to be tried, too"
    of_api, of_power = asked_of(API), asked_of(POWER)
    routes = [each for each in of_api + of_power if each[0] not in JOBS]
    packets = [{"op": op, **fields} for op, each in of_warden.items() for fields in each]
    task = json.dumps([NOBODY, STRANGERS, [], "jobs", "", []])
    command = [sys.executable, "-c", TRY, task, "--stay"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as job:
        Square(period_s=1000.0, duty=1.0).start(apart.plant, [0], pid=job.pid)
        for who in (NOBODY, NOBODY - 1):  # a job's owner, and a stranger
            assert set(tried(who, STRANGERS, "api", apart.run / "api.sock", routes)) == {"PermissionError"}
            assert set(tried(who, STRANGERS, "warden", apart.run / "warden/sock", packets)) == {"PermissionError"}
            assert set(tried(who, STRANGERS, "jobs", apart.run / "jobs/ask.sock", routes)) == {404}
        wishes: list[dict[str, float]] = [{"limit_w": 9000}, {"slowdown": 0.5}]
        puts = [route.replace("{device}", "gpu0") for route in JOBS if route.startswith("PUT")]
        hints = [(route, wish) for route in puts for wish in wishes]
        assert tried(NOBODY - 1, STRANGERS, "jobs", apart.run / "jobs/ask.sock", hints) == [403] * len(hints)
        assert set(tried(NOBODY, gid(AGENTS), "api", apart.run / "api.sock", of_api)) == {403}
        for op, each in of_warden.items():
            sent = [{"op": op, **fields} for fields in each]
            done = [answer["ok"] for answer in tried(NOBODY, gid(AGENTS), "warden", apart.run / "warden/sock", sent)]
            assert not any(done[1:]), f"{op}: {done}"
            assert not done[0] or WARDEN[op] <= Role.AGENT, op
        job.communicate()
    apart.plant.stop_load()
    assert apart.budget()["budget_w"] == 1600
    assert max(apart.sums_w(begin_s), default=0) <= 600
    refused = [line for line in read(apart.state / "audit/warden") if line["outcome"].startswith("not done")]
    assert {line["who"]["role"] for line in refused} == {"agent"}
    assert {line["what"] for line in refused} >= {
        f"warden {op}" for op, each in of_warden.items() if WARDEN[op] > Role.AGENT or len(each) > 1
    }
    refused = [line for line in read(apart.state / "audit/agent") if line["who"]["uid"] == NOBODY - 1]
    assert {line["what"] for line in refused} == {what for what, _ in hints}


def test_in_a_mesh_an_agent_raises_no_budget_above_the_nameplate(apart: Apart) -> None:
    apart.warden(MESH)
    begin_s = apart.plant.time_s
    uuids, sock = apart.uuids(), apart.run / "warden/sock"

    def budget(budget_w: float, fixed_w: float) -> dict[str, Any]:
        budget_mw, fixed_mw = round(budget_w * 1000), round(fixed_w * 1000)
        return {"op": "budget_set", "budget_mw": budget_mw, "fixed_mw": fixed_mw, "safe_caps_mw": {}}

    def lease(limit_w: float) -> dict[str, Any]:
        return {"op": "lease", "limits_mw": dict.fromkeys(uuids, int(limit_w * 1000)), "ttl_s": 2.0}

    requests = [
        budget(1400, 1000),
        lease(200),
        *(budget(1501, 1000), budget(1500, 0), budget(1400, 700), budget(9000, 1000), {"op": "budget_clear"}),
        *(lease(201), lease(400)),
        budget(1500, 1000),
        lease(250),
    ]
    answers = tried(NOBODY, gid(AGENTS), "warden", sock, requests)
    assert [answer["ok"] for answer in answers] == [True] * 2 + [False] * 7 + [True] * 2
    assert all("nameplate_w 1500 W" in answer["error"] for answer in answers[2:6])
    assert until(lambda: sum(apart.limits_w()) == 500, 5), "what is declared it may have"
    assert max(apart.sums_w(begin_s)[1:]) <= 500
    refused = [line for line in read(apart.state / "audit/warden") if line["outcome"].startswith("not done")]
    assert [line["what"] for line in refused].count("warden budget_set") == 4
    assert {line["who"]["uid"] for line in refused} == {NOBODY}
