"""What eagent says of its own cost, on a host of real processes, and that it says when it sheds."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from eagent.sim._faults import Faults
from eagent.sim.workload import Square

Site = Callable[..., Any]
SLOW_S = 0.004  # a call; the model's own take some 2 us


def told(host: Any) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(host.must("status", "--json"))
    return status


def scraped(path: Path) -> dict[tuple[str, str], float]:
    """Samples by name and the value of their last label."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.fspath(path))
    with closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_cost_frequency_and_shedding_of_a_running_host_are_told(site: Site) -> None:
    host = site(gpus=2, sysfs=True)
    Square(duty=1.0).start(host.plant, [0, 1], pid=os.getpid())
    host.up("--no-restart")
    assert host.await_true(lambda: told(host)["cost"]["refreshes_caught"] > 60, 20), told(host)["cost"]
    status = told(host)
    cost, processes = status["cost"], status["cost"]["processes"]
    assert cost["read_share"]["status"] == "ok"
    assert cost["shedding_s"] is None
    assert cost["loop_cpu_s"] > 0
    assert sum(cost["lateness"]) > 50
    with Faults(host.made.plant) as faults:
        held_s = sum(seconds for kind, (_, seconds, _) in faults.calls().items() if kind != "set")
    assert held_s / 2 < cost["read_s"] < held_s * 20, "the driver's own account, less what a busy machine adds"
    assert {name: found["pid"] for name, found in processes.items()} == {
        name: host.pids[name] for name in ("warden", "agent")
    }
    assert all(found["resident_b"] > 2**20 and found["cpu_s"] > 0 for found in processes.values())
    frequencies = [each["readings"]["frequency"] for each in status["devices"] if each["kind"] == "cpu"]
    assert [each["status"] for each in frequencies] == ["ok", "ok"]
    assert all(700 < each["value"] < 4000 for each in frequencies)
    gpu = status["devices"][0]["readings"]
    assert (gpu["memory_used"]["status"], gpu["compute_processes"]["value"]) == ("ok", 1)

    with Faults(host.made.plant) as faults:
        faults.inject("slow-calls", values=(SLOW_S,))
    assert host.await_true(lambda: told(host)["cost"]["refreshes_shed"] > 0, 20), told(host)["cost"]
    assert any("reading takes too much of the driver's time" in alarm for alarm in told(host)["alarms"])
    metrics = scraped(host.made.dir / "run" / "api.sock")
    assert metrics["eagent_shedding", ""] == 1
    assert metrics["eagent_refreshes_missed_total", ""] >= metrics["eagent_refreshes_shed_total", ""] > 0
    assert metrics["eagent_nvml_seconds_total", "read"] > cost["read_s"]
    assert metrics["eagent_loop_lateness_seconds_bucket", "+Inf"] >= sum(cost["lateness"])
