"""The budget policy beside an equal static split and beside no limit at all, in virtual time on one trace.

    make bench NAME=budget                       a generated trace
    make bench NAME=budget TRACE=FILE            the public Azure LLM inference CSV

Eight simulated A100s, the budget at 70 % between the least and the greatest limits. All joules are simulated. The goals
are what a budget policy must reach to be worth its while: a lower p99 at no more energy for each request.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, publish
from benchmarks.virtual import Governed, Ungoverned
from eagent.sim.account import PowerLog, energy_j, latency_percentiles
from eagent.sim.trace import Trace, assign, busiest_window, generate, read_azure_csv, zipf_weights
from eagent.sim.workload import Serving, dispatched

SKEWS = (1.0, 0.7, 0.5)  # Zipf's exponent for the popularity of what each GPU serves
WINDOW_S = 60.0
LEAD_S = 12.0  # the policy looks back for ten seconds
MOST_S = 400.0
ENVELOPE_W, STATIC_W, FREE_W, SAFE_W = 2480.0, 310.0, 400.0, 200.0
SEED = 1


def play(host: Ungoverned, trace: Trace, gpu_of: list[int]) -> None:
    """Serve the whole trace."""
    host.advance(LEAD_S)
    Serving().start(host.plant, dispatched(trace.requests, gpu_of), at_s=LEAD_S)
    host.run(lambda: all(done_s is not None for _, _, done_s in host.plant.served()), MOST_S)


def main() -> None:
    """Run all, print, and write the figures."""
    source = os.environ.get("TRACE")
    trace = busiest_window(read_azure_csv(source) if source else generate(600.0, SEED), WINDOW_S)
    print(f"{len(trace.requests)} requests, {trace.source}; simulated joules")
    figures = []
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        for skew in SKEWS:
            figures += _compare(Path(directory), trace, skew)
    publish("budget", figures)


def _compare(directory: Path, trace: Trace, skew: float) -> list[Figure]:
    gpu_of = assign(trace, zipf_weights(8, skew), SEED)
    governed = Governed(directory, f"eagent-{skew}", SEED)
    governed.set_budget(ENVELOPE_W, SAFE_W)
    hosts: dict[str, Ungoverned] = {
        "eagent": governed,
        "static": Ungoverned(directory, f"static-{skew}", SEED),
        "unlimited": Ungoverned(directory, f"free-{skew}", SEED),
    }
    hosts["static"].set_limits(STATIC_W)
    hosts["unlimited"].set_limits(FREE_W)
    for host in hosts.values():
        play(host, trace, gpu_of)
    end_s = max(host.plant.time_s for host in hosts.values())
    p99_s, joules = {}, {}
    for name, host in hosts.items():
        host.advance(end_s)
        latency = latency_percentiles(host.plant.served())
        if latency.unfinished or latency.p99_s is None:
            raise SystemExit(f"{name}: {latency.unfinished} requests were not answered: too much load for these GPUs")
        p99_s[name] = latency.p99_s
        joules[name] = energy_j(PowerLog(host.plant.power_log()), LEAD_S, end_s) / latency.finished
        host.close()
    return [
        _ratio(f"skew {skew}: p99 latency / static", p99_s, strict=True),
        _ratio(f"skew {skew}: energy per request / static", joules, strict=False),
    ]


def _ratio(figure: str, values: dict[str, float], *, strict: bool) -> Figure:
    ratio = values["eagent"] / values["static"]
    holds = ratio < 1 if strict else ratio <= 1
    return Figure(figure, ratio, "ratio", "< 1" if strict else "<= 1", holds, values)


if __name__ == "__main__":
    main()
