"""The defaults of the workloads, against what they are said to be derived from."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagent.sim import _maker, _plant, model
from eagent.sim.trace import Request
from eagent.sim.workload import Gang, Serving, Square, dispatched

PARAMETERS = 13e9
LAYERS, WIDTH = 40, 5120
BF16_B = 2


def test_the_serving_times_are_those_of_the_model_and_the_card() -> None:
    serving = Serving()
    assert serving.prefill_s_per_token == pytest.approx(2 * PARAMETERS / (0.55 * 312e12), rel=0.05)
    assert serving.decode_s == pytest.approx(PARAMETERS * BF16_B / 1.6e12, rel=0.05)
    assert serving.decode_s_per_context_token == pytest.approx(2 * LAYERS * WIDTH * BF16_B / 1.6e12, rel=0.05)


def test_a_full_batch_of_ordinary_requests_fits_into_the_memory() -> None:
    left_b = model.load("a100-sxm4-80gb")["identity"]["memory_b"] - PARAMETERS * BF16_B
    assert Serving().batch_max * 1000 * 2 * LAYERS * WIDTH * BF16_B < left_b


def test_a_trace_is_dispatched_request_by_request() -> None:
    requests = [Request(0.5, 100, 10), Request(0.7, 200, 20)]
    assert dispatched(requests, [3, 1]) == [(0.5, 3, 100, 10), (0.7, 1, 200, 20)]
    with pytest.raises(ValueError, match="shorter"):
        dispatched(requests, [3])


def test_each_load_starts_with_its_defaults_at_the_time_that_it_is_told(tmp_path: Path) -> None:
    description = {
        "gpus": 4,
        "seed": 1,
        "permission": "anyone",
        "clock": "virtual",
        "model": model.load("a100-sxm4-80gb"),
    }
    _maker.create(tmp_path / "plant", description)
    with _plant.Host(tmp_path / "plant") as host:
        Square().start(host, [0], at_s=1.0, pid=11)
        Gang().start(host, [1, 2], at_s=2.0, pid=12)
        Serving().start(host, [(0.0, 3, 100, 100)], at_s=3.0, pid=13)
        host.advance(2.5)
        assert [host.view(gpu)["pids"] for gpu in range(4)] == [(11,), (12,), (12,), ()]
        host.advance(10.0)
        square, gang, serving = host.progress()
        host.stop_load([1])
        host.advance(12.0)
        assert [host.view(gpu)["pids"] for gpu in range(4)] == [(11,), (), (), (13,)]
        assert [load["running"] for load in host.progress()] == [True, False, True]
        Gang().start(host, [2])
    assert 0 < square["units"][0] < 4.5
    assert 13 <= gang["steps"] <= 16
    assert (serving["tokens"], serving["requests_done"]) == (100, 1)
