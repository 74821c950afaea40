"""What eagent itself costs and misses, as Prometheus families."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from eagent.api.mesh_metrics import Gauge
from eagent.api.service import Json

LOOP = "Source: the warden's loop."
PROCESS = "Source: the kernel's process times."

COUNTERS = (
    (
        "eagent_refreshes_caught",
        "refreshes_caught",
        "Publications of busy GPUs' power sensors that were read, a count, as far as the sensors' times were learnt",
    ),
    (
        "eagent_refreshes_missed",
        "refreshes_missed",
        "Publications of busy GPUs' power sensors that were not read, shed ones included, a count",
    ),
    (
        "eagent_refreshes_shed",
        "refreshes_shed",
        "Of the missed publications, those passed over to keep reads within their share of the driver's time, a count",
    ),
    ("eagent_reads", "reads", "Readings asked of driver and kernel, a count"),
    ("eagent_writes", "writes", "Writes of knobs, a count"),
    ("eagent_loop_cpu_seconds", "loop_cpu_s", "CPU time of the loop's threads, in seconds"),
)


def families(cost: Json, gauge: Gauge, mark: str) -> Iterator[Metric]:
    """The families of `status()["cost"]`.

    Args:
        cost: As in `status()`.
        gauge: Makes a family of a name, a help text and labels.
        mark: What each help text begins with.
    """
    yield _inside_nvml(cost, mark)
    yield _shares(cost, gauge)
    for name, key, text in COUNTERS:
        family = CounterMetricFamily(name, f"{mark}{text}. {LOOP}")
        if cost[key] is not None:
            family.add_metric([], cost[key])
        yield family
    shedding = gauge("eagent_shedding", f"1 while publications of power sensors are passed over, else 0. {LOOP}", ())
    if cost["refreshes_shed"] is not None:
        shedding.add_metric([], int(cost["shedding_s"] is not None))
    yield shedding
    yield _lateness(cost, mark)
    yield from _processes(cost["processes"], gauge, mark)


def _inside_nvml(cost: Json, mark: str) -> Metric:
    family = CounterMetricFamily(
        "eagent_nvml_seconds", f"{mark}Time inside NVML, reads and writes apart, in seconds. {LOOP}", labels=("kind",)
    )
    for name in ("read", "write"):
        if cost[f"{name}_s"] is not None:
            family.add_metric([name], cost[f"{name}_s"])
    return family


def _shares(cost: Json, gauge: Gauge) -> Metric:
    family = gauge(
        "eagent_nvml_time_ratio",
        "Share of time spent inside NVML, reads and writes apart, over the last minute as far as it is known and since "
        f"the loop started, 0 to 1. {LOOP}",
        ("kind", "over"),
    )
    for name in ("read", "write"):
        minute, start = cost[f"{name}_share"], cost[f"{name}_share_since_start"]
        if minute["status"] == "ok" and minute["value"] is not None:
            family.add_metric([name, "minute"], minute["value"])
        if start is not None:
            family.add_metric([name, "start"], start)
    return family


def _lateness(cost: Json, mark: str) -> Metric:
    """Without the sum of all latenesses, which nobody counts: the type allows that, and quantiles do not need it."""
    family = HistogramMetricFamily(
        "eagent_loop_lateness_seconds",
        f"{mark}Lateness of the loop's wake-ups against their deadline, in seconds. {LOOP}",
    )
    counts = cost["lateness"]
    if counts is not None:
        buckets, total = [], 0
        for place, count in enumerate(counts):
            total += count
            bound = "+Inf" if place == len(counts) - 1 else repr(2**place / 1e6)
            buckets.append((bound, total))
        family.add_metric([], buckets, None)
    return family


def _processes(processes: Json, gauge: Gauge, mark: str) -> Iterator[Metric]:
    cpu = CounterMetricFamily(
        "eagent_process_cpu_seconds",
        f"{mark}CPU time of eagent's processes, in seconds. {PROCESS}",
        labels=("process",),
    )
    share = gauge(
        "eagent_process_cpu_ratio",
        f"CPU time of eagent's processes as a share of one CPU, over some seconds: 1 is a whole one. {PROCESS}",
        ("process",),
    )
    resident = gauge(
        "eagent_process_resident_memory_bytes",
        f"Resident memory of eagent's processes, in bytes. {PROCESS}",
        ("process",),
    )
    for name, found in processes.items():
        if found is None:
            continue
        cpu.add_metric([name], found["cpu_s"])
        resident.add_metric([name], found["resident_b"])
        if found["cpu_share"]["status"] == "ok":
            share.add_metric([name], found["cpu_share"]["value"])
    yield from (cpu, share, resident)
