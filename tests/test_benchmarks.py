"""That the benchmarks run. What they measure is theirs; no time is asserted here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import budget
from eagent.sim.trace import generate


def test_the_budget_benchmark_serves_all_requests_and_gives_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAGENT_SIM_HOST", "")  # the benchmark sets it for its own process
    figures = budget._compare(tmp_path, generate(5.0, seed=1), skew=0.7)
    assert [figure.figure for figure in figures] == [
        "skew 0.7: p99 latency / static",
        "skew 0.7: energy per request / static",
    ]
    assert all(figure.value > 0 and set(figure.peers) == {"eagent", "static", "unlimited"} for figure in figures)
