"""A simulated server's metrics over HTTP: vLLM's names, and the numbers of the plant."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eagent.errors import UnavailableError
from eagent.sim import host
from eagent.sim._plant import Host
from eagent.sim.metrics import Endpoint
from eagent.sim.workload import Serving

REQUESTS = [(0.1 * n, n % 2, 500, 20) for n in range(20)]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Host]:
    """A host of three GPUs; two of them serve."""
    made = host.create(tmp_path, "lab", gpus=3, clock="virtual")
    with Host(made.plant) as plant:
        Serving().start(plant, REQUESTS, gpus=(0, 1))
        plant.advance(30.0)
        yield plant


@pytest.fixture
def endpoint(plant: Host) -> Iterator[Endpoint]:
    """It, listening."""
    with Endpoint(("127.0.0.1", 0), plant, (0, 1)) as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, args=(0.01,))
        thread.start()
        yield endpoint
        endpoint.shutdown()
        thread.join()


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        body: bytes = answer.read()
    return body.decode()


def test_another_parser_finds_vllms_names_and_the_plants_numbers(plant: Host, endpoint: Endpoint) -> None:
    found = {family.name: family for family in text_string_to_metric_families(fetch(endpoint.url))}
    kinds = {name: family.type for name, family in found.items()}
    assert kinds == {
        "vllm:num_requests_running": "gauge",
        "vllm:num_requests_waiting": "gauge",
        "vllm:prompt_tokens": "counter",
        "vllm:generation_tokens": "counter",
        "vllm:request_success": "counter",
        "vllm:time_to_first_token_seconds": "histogram",
        "vllm:inter_token_latency_seconds": "histogram",
        "vllm:e2e_request_latency_seconds": "histogram",
    }
    tokens = {sample.labels["engine"]: sample.value for sample in found["vllm:generation_tokens"].samples}
    assert tokens == {"0": 200, "1": 200}
    for engine, gpu in (("0", 0), ("1", 1)):
        bounds_s, counts, sum_s = plant.engine(gpu)["latencies"]["between tokens"]
        its = [
            sample
            for sample in found["vllm:inter_token_latency_seconds"].samples
            if sample.labels["engine"] == engine and sample.labels["model_name"]
        ]
        buckets = {float(each.labels["le"]): each.value for each in its if each.name.endswith("_bucket")}
        assert buckets == {bound: sum(counts[: place + 1]) for place, bound in enumerate((*bounds_s, float("inf")))}
        assert [each.value for each in its if each.name.endswith("_sum")] == [sum_s]
        assert [each.value for each in its if each.name.endswith("_count")] == [sum(counts)] == [190]


def test_a_server_that_was_ended_says_so_and_other_paths_are_not_there(plant: Host, endpoint: Endpoint) -> None:
    health = endpoint.url.replace("metrics", "health")
    assert fetch(health) == ""
    plant.stop_load()
    for url in (endpoint.url, health):
        with pytest.raises(urllib.error.HTTPError, match="503"):
            fetch(url)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(endpoint.url.replace("metrics", "v1"))


def test_an_address_that_is_taken_is_one_clear_line(plant: Host, endpoint: Endpoint) -> None:
    with pytest.raises(UnavailableError, match=r"cannot listen on 127\.0\.0\.1:\d+: .*in use"):
        Endpoint(endpoint.server_address[:2], plant, (0, 1))  # type: ignore[arg-type]
