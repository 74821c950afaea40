"""What the demo came to: one account from the plants' own logs, as a table for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eagent.demo.acts import Act
from eagent.demo.hosts import Bench
from eagent.demo.scenario import Scenario
from eagent.sim.account import PowerLog, RunAccount, account


@dataclass(frozen=True, slots=True)
class Stage:
    """What happened on one host, on that host's clock."""

    bench: Bench
    start_s: float  # the trace began
    end_s: float  # the last request of either host was answered
    stretches: tuple[tuple[float, float, float], ...]  # when a budget was in force: start, end, envelope in watts
    initial_limits_w: tuple[float, ...]


def figures(stage: Stage) -> RunAccount:
    """The account of one host."""
    plant = stage.bench.plant
    return account(
        stage.bench.name,
        stage.start_s,
        stage.end_s,
        power_log=PowerLog(plant.power_log()),
        limit_log=plant.limit_log(),
        initial_limits_w=stage.initial_limits_w,
        stretches=stage.stretches,
        served=plant.served(),
    )


def document(
    scenario: Scenario, static: RunAccount, governed: RunAccount, acts: list[Act], nvml_time_share: float | None
) -> dict[str, Any]:
    """The JSON of `eagent demo --json`. All energy in it is simulated."""
    return {
        "simulated": True,
        "trace": scenario.trace.source,
        "requests": len(scenario.trace.requests),
        "budget_w": scenario.budget_w,
        "fixed_w": scenario.fixed_w,
        "envelope_w": scenario.envelope_w,
        "limits_over_budget_s": governed.limits_over_budget_s,
        "measured_overshoot_j": governed.overshoot.of_1s_means_j,
        "measured_overshoot_100ms_j": governed.overshoot.of_100ms_means_j,
        "knobs_restored": acts[-1].kept if acts else False,
        "promises_kept": all(act.kept for act in acts),
        "nvml_time_share": nvml_time_share,
        "limit_changes": governed.limit_changes,
        "static": _host(static),
        "eagent": _host(governed),
        "acts": [asdict(act) for act in acts],
    }


def _host(run: RunAccount) -> dict[str, Any]:
    done = run.latency.finished
    return {
        "energy_j": run.energy_j,
        "requests_done": done,
        "requests_unfinished": run.latency.unfinished,
        "energy_per_request_j": run.energy_j / done if done else None,
        "p50_latency_s": run.latency.p50_s,
        "p95_latency_s": run.latency.p95_s,
        "p99_latency_s": run.latency.p99_s,
        "p99_first_token_s": run.first_token.p99_s,
    }


def summary(document: dict[str, Any]) -> list[str]:
    """The same for a person, a line each."""
    rows = [
        ("requests answered", "requests_done", "{:.0f}"),
        ("energy, simulated (kJ)", "energy_j", "{:.1f}"),
        ("energy per request, simulated (J)", "energy_per_request_j", "{:.1f}"),
        ("latency p50 (s)", "p50_latency_s", "{:.2f}"),
        ("latency p95 (s)", "p95_latency_s", "{:.2f}"),
        ("latency p99 (s)", "p99_latency_s", "{:.2f}"),
        ("first token p99 (s)", "p99_first_token_s", "{:.2f}"),
    ]
    static, governed = document["static"], document["eagent"]
    lines = [
        f"{document['requests']} requests ({document['trace']}), budget {document['budget_w']:.0f} W "
        f"({document['envelope_w']:.0f} W for the GPUs). All watts and joules are simulated.",
        "",
        f"{'':<36}{'static split':>14}{'eagent':>14}{'eagent/static':>16}",
    ]
    for title, key, form in rows:
        left, right = static[key], governed[key]
        if left is None or right is None:
            lines.append(f"{title:<36}{'-':>14}{'-':>14}")
            continue
        scale = 1e-3 if key == "energy_j" else 1.0
        ratio = f"{right / left:.3f}" if left else "-"
        lines.append(f"{title:<36}{form.format(left * scale):>14}{form.format(right * scale):>14}{ratio:>16}")
    share = document["nvml_time_share"]
    lines += [
        "",
        f"limits above the budget: {document['limits_over_budget_s']:.3f} s; "
        f"drawn above it: {document['measured_overshoot_j']:.1f} J in 1 s means, simulated; "
        f"time inside NVML: {'unknown' if share is None else f'{share:.2%}'}; "
        f"{document['limit_changes']} limit writes",
    ]
    return lines
