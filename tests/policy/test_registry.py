from __future__ import annotations

from typing import Any

from eagent.model import Budget, HostState
from eagent.policy.goals import Goals, Pin
from eagent.policy.registry import POLICIES, propose


def test_all_policies_are_asked(gpus: Any) -> None:
    state = HostState((gpus.state(gpus.device(0), 60),), Budget(400, 0, {}))
    proposals = propose(state, Goals(pins=(Pin("GPU-00", 250),)), 0)
    assert [proposal.policy for proposal in proposals] == list(POLICIES)
