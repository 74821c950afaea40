"""What the demo came to: one account from the plants' own logs, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eagent.demo import quiet
from eagent.demo.acts import Act
from eagent.demo.hosts import Bench
from eagent.demo.scenario import Scenario
from eagent.sim.account import Percentiles, PowerLog, RunAccount, account


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
        lost=plant.lost(),
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


def quiet_document(outcome: quiet.Outcome) -> dict[str, Any]:
    """The part `quiet` of that document: GPUs, CPU packages and DRAM, all simulated, without a budget."""
    free, governed = outcome.free, outcome.governed
    saved_j = free.energy_j - governed.energy_j
    return {
        "trace": outcome.load.trace.source,
        "requests": len(outcome.load.trace.requests),
        "busy_share": outcome.load.busy_share,
        "measured_s": free.seconds,
        "cpu_left_out": outcome.cpu_left_out,
        "knobs_restored": outcome.knobs_restored,
        "saved_share": saved_j / free.energy_j,
        "saved_share_at_the_wall": 1 - governed.wall_energy_j / free.wall_energy_j,
        "without": _side(free),
        "eagent": _side(governed),
    }


def _side(side: quiet.Side) -> dict[str, Any]:
    parts = {"gpu_energy_j": side.gpu_energy_j, "cpu_energy_j": side.cpu_energy_j, "wall_energy_j": side.wall_energy_j}
    return {**_figures(side.energy_j, side.latency, side.first_token), **parts}


def _host(run: RunAccount) -> dict[str, Any]:
    return _figures(run.energy_j, run.latency, run.first_token)


def _figures(energy_j: float, latency: Percentiles, first_token: Percentiles) -> dict[str, Any]:
    done = latency.finished
    return {
        "energy_j": energy_j,
        "requests_done": done,
        "requests_unfinished": latency.unfinished,
        "energy_per_request_j": energy_j / done if done else None,
        "p50_latency_s": latency.p50_s,
        "p95_latency_s": latency.p95_s,
        "p99_latency_s": latency.p99_s,
        "p99_first_token_s": first_token.p99_s,
    }


ROWS = (
    ("requests answered", "requests_done", "{:.0f}", 1.0),
    ("energy, simulated (kJ)", "energy_j", "{:.1f}", 1e-3),
    ("energy per request, simulated (J)", "energy_per_request_j", "{:.1f}", 1.0),
    ("latency p50 (s)", "p50_latency_s", "{:.2f}", 1.0),
    ("latency p95 (s)", "p95_latency_s", "{:.2f}", 1.0),
    ("latency p99 (s)", "p99_latency_s", "{:.2f}", 1.0),
    ("first token p99 (s)", "p99_first_token_s", "{:.2f}", 1.0),
)
PARTS = (
    ("  of GPUs (kJ)", "gpu_energy_j", "{:.1f}", 1e-3),
    ("  of CPU packages and DRAM (kJ)", "cpu_energy_j", "{:.1f}", 1e-3),
)


def summary(document: dict[str, Any]) -> list[str]:
    """The same for a person, a line each."""
    share = document["nvml_time_share"]
    return [
        f"{document['requests']} requests ({document['trace']}), budget {document['budget_w']:.0f} W "
        f"({document['envelope_w']:.0f} W for the GPUs). All watts and joules are simulated.",
        "",
        *table(ROWS, "static split", document["static"], document["eagent"]),
        "",
        f"limits above the budget: {document['limits_over_budget_s']:.3f} s; "
        f"drawn above it: {document['measured_overshoot_j']:.1f} J in 1 s means, simulated; "
        f"time inside NVML: {'unknown' if share is None else f'{share:.2%}'}; "
        f"{document['limit_changes']} limit writes",
    ]


def quiet_summary(part: dict[str, Any]) -> list[str]:
    """The same of the part without a budget."""
    lines = [
        f"{part['requests']} requests ({part['trace']}), no budget, "
        f"GPUs busy for {part['busy_share']:.0%} of the time. All joules are simulated.",
        "",
        *table((*ROWS[:2], *PARTS, *ROWS[2:]), "without", part["without"], part["eagent"]),
        "",
        f"saved: {part['saved_share']:.1%} of what GPUs, CPU packages and DRAM draw, "
        f"{part['saved_share_at_the_wall']:.1%} of what the host draws from the wall; "
        f"every clock {'is' if part['knobs_restored'] else 'IS NOT'} back",
    ]
    if part["cpu_left_out"] is not None:
        lines.append(f"CPUs were left out: {part['cpu_left_out']}")
    return lines


def table(
    rows: Sequence[tuple[str, str, str, float]], peer: str, left: dict[str, Any], right: dict[str, Any]
) -> Iterator[str]:
    """Rows of (title, key, form, scale): what a peer and eagent came to, and the ratio."""
    yield f"{'':<36}{peer:>14}{'eagent':>14}{f'eagent/{peer.split()[0]}':>16}"
    for title, key, form, scale in rows:
        if left[key] is None or right[key] is None:
            yield f"{title:<36}{'-':>14}{'-':>14}"
            continue
        ratio = f"{right[key] / left[key]:.3f}" if left[key] else "-"
        yield f"{title:<36}{form.format(left[key] * scale):>14}{form.format(right[key] * scale):>14}{ratio:>16}"
