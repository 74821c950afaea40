"""`eagent sim load`: work for the GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eagent.sim import host
from eagent.sim._plant import Host

Run = Callable[..., Any]


def test_a_gang_takes_all_gpus_unless_told_and_a_second_load_is_refused(sim: Run) -> None:
    sim("create", "lab", "--gpus", "2")
    assert "gpus 0-1 of lab" in sim("load", "lab", "gang", "--step", "0.2s").out
    said = sim("load", "lab", "square", "--gpus", "1")
    assert said.code == 1
    assert "a load already" in said.err


def test_serving_takes_generated_requests_or_those_of_a_trace(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "2")
    assert "generated" in sim("load", "lab", "serving", "--gpus", "1", "--for", "1m", "--rate", "2").out
    assert "serving on 1" in sim("list").out
    sim("load", "lab", "none")
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n")
    assert sim("load", "lab", "serving", "--trace", str(trace)).out.startswith("1 requests")


def test_options_of_generated_requests_do_not_go_with_a_trace(sim: Run) -> None:
    sim("create", "lab", "--gpus", "1")
    said = sim("load", "lab", "serving", "--trace", "/none", "--rate", "2")
    assert said.code == 1
    assert "do not go with --trace" in said.err


def test_a_server_with_metrics_is_a_process_until_it_is_told_to_end(sim: Run) -> None:
    sim("create", "lab", "--gpus", "2")
    words = [sys.executable, "-m", "eagent", "sim", "load", "lab", "serving", "--for", "1m"]
    with subprocess.Popen([*words, "--metrics", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"vllm:generation_tokens_total" in answer.read()
        with Host(host.find(host.root(os.environ), "lab").plant) as plant:
            assert [load["pid"] for load in plant.progress()] == [server.pid]
        server.send_signal(signal.SIGTERM)
        assert "goes on until `eagent sim load lab none`" in server.communicate(timeout=10)[0]
    assert server.returncode == 0
    said = sim("load", "lab", "serving", "--metrics", "nowhere")
    assert said.code == 1
    assert "must be HOST:PORT" in said.err
