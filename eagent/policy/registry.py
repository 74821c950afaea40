"""The policies, one line each. A new policy is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from eagent.model import HostState, Proposal
from eagent.policy import budget, pin
from eagent.policy.goals import Goals

Policy = Callable[[HostState, Goals, int], list[Proposal]]

POLICIES: dict[str, Policy] = {
    budget.NAME: budget.decide,
    pin.NAME: pin.decide,
}


def propose(state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
    """What all policies ask for at the monotonic time `now_ns`."""
    return [proposal for decide in POLICIES.values() for proposal in decide(state, goals, now_ns)]
