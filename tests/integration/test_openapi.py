"""A real agent on a simulated host does what its OpenAPI document says, for each kind of caller."""

from __future__ import annotations

import copy
import grp
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eagent.access import API, Role
from tests.api import described
from tests.conftest import why_no_fuse
from tests.integration.conformance import conform, relayed
from tests.integration.conftest import CONFIG, Site

OBSERVERS = "games"  # a group that every host has
USERS = "61000-61019"  # each asks for a few: none is held up by the rate limit
EXAMPLES = 8
API_DOCUMENT, JOBS_DOCUMENT = described.shut(described.AGENT), described.shut(described.JOBS)


@pytest.fixture
def host(site: Callable[..., Site]) -> Iterator[Any]:
    """A host that is not up yet, whose run directory lies where others may go."""
    directory = Path(tempfile.mkdtemp(prefix="eagent-"))
    directory.chmod(0o755)
    made: Any = site(gpus=2, sysfs=why_no_fuse() is None)
    made.made.environ["EAGENT_RUN_DIR"] = str(directory / "run")
    made.config.write_text(
        f'{CONFIG}[policy]\nmode_hint = "act"\n[access]\nobserver_groups = ["{OBSERVERS}"]\n',
    )
    made.api = directory / "run" / "api.sock"
    made.jobs = directory / "run" / "jobs" / "ask.sock"
    yield made
    made.clean_up()
    shutil.rmtree(directory)


def test_an_operator_finds_what_the_document_says_and_a_breach_is_found(host: Any, tmp_path: Path) -> None:
    host.up()
    with relayed(host.api, str(os.geteuid()), os.getegid()) as url:
        run = conform(API_DOCUMENT, url, tmp_path / "operator", EXAMPLES)
        assert run.code == 0, run
        assert run.requests > 150
        unavailable = {route: counts[503] for route, counts in run.statuses.items() if route != "GET /healthz"}
        assert sum(unavailable.values()) <= 2, f"the warden is there, if slow: {unavailable}"
        done = {route for route, counts in run.statuses.items() if counts[200]}
        # Right after a GPU was detached or attached the host may be unwell.
        assert {*API} - done <= {"GET /v1/mesh", "GET /healthz"}, "each route was asked for something that it does"
        assert all(100 <= new_w <= 400 for _, _, _, new_w, _ in host.plant.limit_log()), "no other is taken"

        broken = copy.deepcopy(API_DOCUMENT)
        broken["components"]["schemas"]["Warden"]["properties"]["connected"] = {"type": "string"}
        del broken["paths"]["/v1/devices/{device}/explain"]["get"]["responses"]["404"]
        only = ("--include-path-regex", "^/v1/(status|devices/{device}/explain)$", "--phases", "coverage")
        run = conform(broken, url, tmp_path / "broken", 1, *only)
        assert run.code == 1
        assert "Response violates schema" in run.output, run
        assert "Undocumented status code" in run.output, run


def test_observers_and_jobs_find_what_the_document_says_and_observers_set_nothing(host: Any, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    host.up()
    written = host.plant.limit_log()
    with relayed(host.api, USERS, grp.getgrnam(OBSERVERS).gr_gid) as url:
        run = conform(API_DOCUMENT, url, tmp_path / "observer", EXAMPLES // 2)
    assert run.code == 0, run
    for route, counts in run.statuses.items():
        if API[route] is Role.OPERATOR:
            assert counts.keys() <= {403, 400, 404, 429}, f"{route}: {counts}"
            assert counts[403] > 0
        elif route != "GET /v1/mesh":
            assert counts[200] > 0, f"{route}: {counts}"
    assert host.plant.limit_log() == written
    with relayed(host.jobs, "61000", 65_533) as url:
        run = conform(JOBS_DOCUMENT, url, tmp_path / "job", EXAMPLES)
    assert run.code == 0, run
    assert run.statuses["POST /v1/windows"][200] > 0
    assert run.statuses["PUT /v1/devices/{device}/hint"][403] > 0


def test_without_a_warden_the_api_says_503_where_the_document_has_it_and_its_port_is_for_reading(
    host: Any, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    host.config.write_text(f'{host.config.read_text()}[api]\nlisten = "127.0.0.1:{number}"\n')
    command = [sys.executable, "-m", "eagent", "agent", f"--config={host.config}"]
    agent = subprocess.Popen(command, env=host.made.environ, stderr=subprocess.DEVNULL)
    try:
        assert host.await_true(host.api.exists, 30)
        with relayed(host.api, str(os.geteuid()), os.getegid()) as url:
            run = conform(API_DOCUMENT, url, tmp_path / "alone", 3)
        assert run.code == 0, run
        told = {route for route, counts in run.statuses.items() if counts[503]}
        assert {"GET /healthz", "PUT /v1/budget", "DELETE /v1/budget", "POST /v1/restore"} <= told
        assert at_port(number, "GET", "/v1/status") == 200
        assert at_port(number, "GET", "/v1/status", {"Host": "evil.example"}) == 421
        assert at_port(number, "PUT", "/v1/budget", body='{"budget_w": 5000}') == 404
    finally:
        agent.terminate()
        agent.wait(30)


def at_port(number: int, method: str, path: str, headers: Any = None, body: str | None = None) -> int:
    """The status of an answer over TCP."""
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=10)
    with closing(connection):
        connection.request(method, path, body, headers or {})
        return connection.getresponse().status


@pytest.mark.soak
def test_many_requests_find_no_breach(host: Any, tmp_path: Path) -> None:
    host.up()
    seed = random.SystemRandom().randrange(1, 1_000_000)
    for name, document, path in (("api", API_DOCUMENT, host.api), ("jobs", JOBS_DOCUMENT, host.jobs)):
        with relayed(path, str(os.geteuid()), os.getegid()) as url:
            run = conform(document, url, tmp_path / name, 150, seed=seed)
        assert run.code == 0, f"seed {seed}\n{run}"
