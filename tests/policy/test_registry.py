from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.model import Budget, HostState, Proposal
from eagent.policy import registry
from eagent.policy.goals import Goals, Pin
from eagent.policy.registry import SECOND_NS, Entry, Policies

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


def test_what_a_policy_asked_to_be_remembered_it_is_given_again_whatever_was_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def count(state: HostState, goals: Goals, now_ns: int, memory: int | None) -> tuple[list[Proposal], int]:  # noqa: ARG001  # the shape of a policy
        given.append(memory)
        return [], (memory or 0) + 1

    given: list[int | None] = []
    monkeypatch.setattr(registry, "POLICIES", {"count": Entry(count)})
    policies = Policies()
    policies.propose(HostState(()), Goals(), 0)
    policies.forget()
    policies.propose(HostState(()), Goals(), 1)
    policies.propose(HostState(()), Goals(), 2)
    assert given == [None, 1, 2]
