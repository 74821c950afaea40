from __future__ import annotations

from dataclasses import replace
from typing import Any

from eagent.model import Budget, HostState
from eagent.policy.goals import Goals, Pin
from eagent.policy.registry import SECOND_NS, Policies

PINNED = Goals(pins=(Pin("GPU-00", 250),))


def test_all_policies_are_asked(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 60),), Budget(400, 0, {}))
    assert [proposal.policy for proposal in Policies().propose(state, PINNED, 0)] == ["budget", "pin"]


def test_what_a_policy_asked_for_stands_until_it_is_due_again_or_all_are_asked_anew(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 60),), Budget(400, 0, {}))
    policies = Policies()
    policies.propose(state, PINNED, 0)
    without = replace(state, budget=None)
    assert [each.policy for each in policies.propose(without, PINNED, SECOND_NS - 1)] == ["budget", "pin"]
    assert [each.policy for each in policies.propose(without, Goals(), SECOND_NS)] == []
    policies.propose(state, PINNED, 2 * SECOND_NS)
    policies.forget()
    assert policies.propose(without, Goals(), 2 * SECOND_NS) == []
