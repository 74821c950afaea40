"""How far jobs have come, as Prometheus families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from eagent.api.mesh_metrics import Gauge
from eagent.api.service import Json

LABELS = ("job", "devices", "source", "unit")
SOURCE = "Source: beats of the job, its own counter, or what repeats in its GPUs' power, as the label says."


def families(jobs: Sequence[Json], gauge: Gauge, mark: str) -> Iterator[Metric]:
    """The families of `status()["jobs"]`; a job of which nothing is known has no sample of units, and source "none".

    Args:
        jobs: As in `status()`.
        gauge: Makes a family of a name, a help text and labels.
        mark: What each help text begins with.
    """
    known = gauge("eagent_job_info", "Always 1; a job on this host's GPUs. Source: the agent.", LABELS)
    units = CounterMetricFamily(
        "eagent_job_progress_units", f"{mark}Units of work that a job has done. {SOURCE}", labels=LABELS
    )
    rate = gauge("eagent_job_progress_rate", f"Units of work a second, over the last ten seconds. {SOURCE}", LABELS)
    age = gauge("eagent_job_progress_age_seconds", f"How long ago the units were so many, in seconds. {SOURCE}", LABELS)
    seen: set[tuple[str, ...]] = set()
    for job in jobs:
        labels = (job["job"], ",".join(job["devices"]), job["source"], job["unit"] or "")
        if labels in seen:  # two of the same name on the same GPU: Prometheus would refuse all of it
            continue
        seen.add(labels)
        known.add_metric(labels, 1)
        for family, value in ((units, job["units"]), (rate, job["rate_per_s"]), (age, job["age_s"])):
            if value is not None:
                family.add_metric(labels, value)
    yield from (known, units, rate, age)
