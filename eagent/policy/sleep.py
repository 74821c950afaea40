"""Whether a host may be put to sleep: it has had nothing to do for a while, by positive evidence. Pure.

What can't be read is no evidence, and keeps the host awake. That it hands over its watts before, and that enough others
stay awake, is the mesh's business.
"""

from __future__ import annotations

from dataclasses import dataclass

from eagent.model import HostState
from eagent.policy.goals import Resting
from eagent.policy.idle import idle_evidence

NAME = "sleep"
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rest:
    """Whether the host could sleep now, and why or why not, for a person."""

    wanted: bool
    reason: str
    since_ns: int | None = None  # since when there is nothing to do; None: there is


def decide(state: HostState, goals: Resting, now_ns: int, before: Rest | None) -> Rest:
    """What to do at `now_ns`; `before` is what this returned the last time."""
    busy = why_busy(state, goals)
    if busy is not None:
        return Rest(wanted=False, reason=busy)
    since_ns = now_ns if before is None or before.since_ns is None else before.since_ns
    idle_s = (now_ns - since_ns) / SECOND_NS
    if idle_s < goals.after_s:
        reason = f"it has had nothing to do for {idle_s:.0f} s, and sleeps after {goals.after_s:g} s"
        return Rest(wanted=False, reason=reason, since_ns=since_ns)
    return Rest(wanted=True, reason=f"it has had nothing to do for {idle_s:.0f} s", since_ns=since_ns)


def why_busy(state: HostState, goals: Resting) -> str | None:
    """What keeps the host awake; None: nothing does."""
    for each in state.gpus:
        if idle_evidence(each, goals.consent) is None:
            return f"{each.device.label} is at work, or nobody can tell"
    if not state.gpus:
        return "no GPU is seen"
    cpus = state.busy_cpus.value if state.busy_cpus.ok else None
    if cpus is None:
        return "how busy the CPUs are can't be read"
    if cpus > goals.cpus:
        return f"{cpus:.1f} CPUs are at work"
    return None


def busy_gpus(state: HostState, goals: Resting) -> int:
    """How many GPUs do work, or can't be shown to do none."""
    return sum(idle_evidence(each, goals.consent) is None for each in state.gpus)
