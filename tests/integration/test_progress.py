"""How far jobs say and show that they are: real processes, sockets and an agent, on a simulated host."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eagent.sim.workload import Square
from tests.integration.conftest import CONFIG, Site

LOAD = Square(period_s=1000.0, duty=1.0)
BEATS_PER_S = 50

# What a server does: it counts tokens, and shows them and their latencies at a port.
SERVER = """
import sys, time
from prometheus_client import Counter, Histogram, start_http_server
tokens = Counter("vllm:generation_tokens", "-", ["engine"]).labels("0")
first = Histogram("vllm:time_to_first_token_seconds", "-", ["engine"]).labels("0")
start_http_server(int(sys.argv[1]), "127.0.0.1")
while True:
    time.sleep(0.02)
    tokens.inc(10)
    first.observe(0.05)
"""
TRAINER = f"""
import time, eagent
while True:
    time.sleep({1 / BEATS_PER_S})
    eagent.beat(name="resnet50")
"""


class Jobs:
    """Processes of jobs, each begun by a shell in a session of its own, as a batch system would."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *command: str) -> int:
        shell = ["sh", "-c", '"$@" & echo $!; wait', "sh", *command]
        environ = self.site.made.environ
        made = subprocess.Popen(shell, env=environ, start_new_session=True, stdout=subprocess.PIPE, text=True)
        self._processes.append(made)
        assert made.stdout is not None
        return int(made.stdout.readline())

    def rows(self) -> list[dict[str, Any]]:
        told = self.site.eagent("status", "--json")
        found: list[dict[str, Any]] = json.loads(told.stdout)["jobs"] if told.returncode == 0 else []
        return found  # none while an agent begins again

    def await_row(self, gpu: str, fits: Callable[[dict[str, Any]], bool], timeout_s: float = 30.0) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            rows = [row for row in self.rows() if gpu in row["devices"]]
            if rows and fits(rows[0]):
                return rows[0]
            assert time.monotonic() < deadline, rows
            time.sleep(0.3)

    def close(self) -> None:
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


@pytest.fixture
def jobs(site: Callable[..., Site], port: int) -> Iterator[Jobs]:
    made = Jobs(site(gpus=4))
    url = f'url = "http://127.0.0.1:{port}/metrics"'
    made.site.config.write_text(f'{CONFIG}\n[[progress.metrics]]\n{url}\nrecipe = "vllm"\ngpus = ["gpu1"]\n')
    made.site.up()
    yield made
    made.close()


def test_each_job_is_told_by_the_best_source_that_it_has(jobs: Jobs, port: int) -> None:
    trainer, server = jobs.start(sys.executable, "-c", TRAINER), jobs.start(sys.executable, "-c", SERVER, str(port))
    loop = f"while sleep 0.3; do {sys.executable} -m eagent beat 4 --unit image; done"
    silent, shell = jobs.start("sleep", "600"), jobs.start("sh", "-c", loop)
    for gpu, pid in enumerate((trainer, server, silent, shell)):
        LOAD.start(jobs.site.plant, [gpu], pid=pid)
    told = jobs.await_row("gpu0", lambda row: row["source"] == "beats" and (row["rate_per_s"] or 0) > BEATS_PER_S / 2)
    assert told["job"].endswith(" resnet50")
    assert told["age_s"] < 1.0
    assert told["rate_per_s"] <= BEATS_PER_S * 1.2
    told = jobs.await_row("gpu1", lambda row: row["source"] == "counter" and (row["rate_per_s"] or 0) > 0)
    assert told["unit"] == "token"
    assert 100 < told["rate_per_s"] < 600
    told = jobs.await_row("gpu2", lambda row: "period" in (row["why"] or ""))
    assert (told["source"], told["units"]) == ("none", None)
    told = jobs.await_row("gpu3", lambda row: row["source"] == "beats" and row["units"] > 4)
    assert told["unit"] == "image"
    text = jobs.site.must("explain", "gpu0")
    assert re.search(r"job: \d+ resnet50 on gpu0: [\d.]+ steps by beats, [\d.]+ a second", text), text
    assert "how far it is is not known" in jobs.site.must("status")


def test_a_stranger_and_a_neighbour_count_for_nothing_and_beats_outlive_an_agent(jobs: Jobs) -> None:
    held, stranger = jobs.start("sleep", "600"), jobs.start(sys.executable, "-c", TRAINER)
    trainer = jobs.start(sys.executable, "-c", TRAINER)
    LOAD.start(jobs.site.plant, [0], pid=held)
    LOAD.start(jobs.site.plant, [1], pid=trainer)
    jobs.await_row("gpu1", lambda row: row["source"] == "beats")
    told = jobs.await_row("gpu0", lambda row: bool(row["why"]))
    assert told["source"] == "none", f"beats of {stranger} counted"
    jobs.site.kill("agent")
    jobs.await_row("gpu1", lambda row: row["source"] == "beats" and (row["rate_per_s"] or 0) > BEATS_PER_S / 2)
