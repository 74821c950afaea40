"""What a search has come to, as plain data for a person or a program: tried, known, allowed, next."""

from __future__ import annotations

import math
from typing import Any

from eagent.policy.search.curve import Curve
from eagent.policy.search.job import Job
from eagent.policy.search.trial import SECOND_NS

Json = dict[str, Any]


def told(job: Job, now_ns: int) -> Json:
    """Of one job; shares are of what is at the top, times in seconds, errors are standard errors."""
    since_s = (now_ns - job.chosen_ns) / SECOND_NS
    return {
        "job": job.subject.name,
        "unit": job.subject.unit,
        "bound": job.bound,
        "bound_by": job.bound_by,
        "slack_s": round(job.slack_s(now_ns), 3),
        "stage": str(job.choice.stage),
        "setting": job.choice.setting,
        "knob": str(job.subject.knob),
        "setting_unit": job.subject.knob.unit,
        "top": job.top,
        "in_force": job.in_force >= job.top or job.in_force == job.choice.setting,
        "why": job.choice.why,
        "next_s": round(max(0.0, job.choice.for_s - since_s), 1),
        "happened": job.said,
        "stalled": job.stalled,
        "phase": job.now,
        "phases": len(job.phases),
        "changes": job.changes,
        "curve": [] if job.curve is None else _points(job.curve),
    }


def _points(curve: Curve) -> list[Json]:
    """The lowest setting first; of those that were measured."""
    base, points = curve.base, []
    if base is None:
        return []
    for point in curve.points:
        slowdown, error = (0.0, curve.base_error) if point is base else curve.measured(point)
        power_error = math.hypot(curve.power_noise.over(point.energy_s), curve.power_noise.over(base.energy_s))
        energy = point.power_w / base.power_w * (1 + slowdown)
        points.append(
            {
                "setting": point.setting,
                "seconds": round(point.seconds, 1),
                "rate": point.rate,
                "power_w": point.power_w,
                "slowdown": slowdown,
                "slowdown_error": error,
                "energy": energy,
                "energy_error": energy * math.hypot(error, power_error),
            }
        )
    return points
