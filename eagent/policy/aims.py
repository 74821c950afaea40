"""What is wanted of one job: by the operator for its name or its GPUs, else for the host; and by its owner. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from eagent.policy.goals import Efficiency, Goals
from eagent.wish import Wish, agreed

OWNER = "by a hint of its owner"


def wanted_of(goals: Goals, job: str, uuids: Collection[str], now_ns: int) -> Efficiency:
    """The goals for a job on these GPUs.

    For each GPU the first of the operator's aims that fits counts, and of several GPUs the strictest. An owner's hint
    can only let its job take longer, and counts when there is one for all of its GPUs. To goals on latencies that the
    operator does not have it may hold its own server; they are then what that is slowed down to.
    """
    each = [_of(goals.efficiency, job, uuid) for uuid in uuids] or [goals.efficiency]
    strictest = min(each, key=lambda one: one.slowdown)
    owner = _owner(goals, uuids, now_ns)
    is_owners = owner.slowdown is not None and owner.slowdown > strictest.slowdown
    return replace(
        goals.efficiency,
        slowdown=owner.slowdown if is_owners and owner.slowdown is not None else strictest.slowdown,
        by=OWNER if is_owners else strictest.by,
        first_token_s=_loosened(_least(one.first_token_s for one in each), owner.first_token_p99_s),
        between_tokens_s=_loosened(_least(one.between_tokens_s for one in each), owner.between_tokens_p99_s),
    )


def _of(host: Efficiency, job: str, uuid: str) -> Efficiency:
    for number, aim in enumerate(host.aims, 1):
        if (aim.uuids is None or uuid in aim.uuids) and fnmatchcase(job, aim.job):
            return replace(
                host,
                slowdown=host.slowdown if aim.slowdown is None else aim.slowdown,
                first_token_s=host.first_token_s if aim.first_token_s is None else aim.first_token_s,
                between_tokens_s=host.between_tokens_s if aim.between_tokens_s is None else aim.between_tokens_s,
                by=host.by if aim.slowdown is None else f"by [[policy.goals]] number {number}",
            )
    return host


def _owner(goals: Goals, uuids: Collection[str], now_ns: int) -> Wish:
    """What is asked for on all of these GPUs."""
    hints = {hint.uuid: hint.wish for hint in goals.hints if now_ns < hint.until_ns}
    return agreed([hints[uuid] for uuid in uuids]) if uuids and all(uuid in hints for uuid in uuids) else Wish()


def _least(bounds: Iterable[float | None]) -> float | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _loosened(operators: float | None, owners: float | None) -> float | None:
    return max((each for each in (operators, owners) if each is not None), default=None)
