"""What is wanted of one job: by the operator for its name or its GPUs, else for the host; and by its owner. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from eagent.policy.goals import Efficiency, Goals


def wanted_of(goals: Goals, job: str, uuids: Collection[str], now_ns: int) -> Efficiency:
    """The goals for a job on these GPUs.

    For each GPU the first of the operator's aims that fits counts, and of several GPUs the strictest. An owner's hint
    can only let its job take longer, and counts when there is one for all of its GPUs.
    """
    each = [_of(goals.efficiency, job, uuid) for uuid in uuids] or [goals.efficiency]
    slowdown = min(one.slowdown for one in each)
    hints = {hint.uuid: hint.slowdown for hint in goals.hints if hint.slowdown is not None and now_ns < hint.until_ns}
    if uuids and all(uuid in hints for uuid in uuids):
        slowdown = max(slowdown, min(hints[uuid] for uuid in uuids))
    return replace(
        goals.efficiency,
        slowdown=slowdown,
        first_token_s=_least(one.first_token_s for one in each),
        between_tokens_s=_least(one.between_tokens_s for one in each),
    )


def _of(host: Efficiency, job: str, uuid: str) -> Efficiency:
    for aim in host.aims:
        if (aim.uuids is None or uuid in aim.uuids) and fnmatchcase(job, aim.job):
            return replace(
                host,
                slowdown=host.slowdown if aim.slowdown is None else aim.slowdown,
                first_token_s=host.first_token_s if aim.first_token_s is None else aim.first_token_s,
                between_tokens_s=host.between_tokens_s if aim.between_tokens_s is None else aim.between_tokens_s,
            )
    return host


def _least(bounds: Iterable[float | None]) -> float | None:
    return min((bound for bound in bounds if bound is not None), default=None)
