"""Who may do what: one table for all sockets of eagent. What is not in it is refused.

    nobody      may nothing
    job         at the jobs' socket, which anybody may open: what concerns devices that its own processes hold
    observer    may read
    agent       the agent's process at the warden's socket: to hold what the budget leaves, and to ask
    operator    may all: root, the user that runs the process, and members of the operators' groups

A role may all that those above it may. `docs/security.md` has the same table for people; a test holds the two together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from eagent.config import Groups
from eagent.peer import Peer, group_ids


class Role(IntEnum):
    """What somebody may do."""

    NOBODY = 0
    JOB = 1
    OBSERVER = 2
    AGENT = 3
    OPERATOR = 4

    @property
    def label(self) -> str:
        """As people say it."""
        return "job owner" if self is Role.JOB else self.name.lower()


Needs = Mapping[str, Role]

API: Needs = {
    "GET /v1/status": Role.OBSERVER,
    "GET /v1/devices/{device}/explain": Role.OBSERVER,
    "GET /v1/plan": Role.OBSERVER,
    "GET /v1/mesh": Role.OBSERVER,
    "GET /metrics": Role.OBSERVER,
    "GET /healthz": Role.OBSERVER,
    "GET /openapi.json": Role.OBSERVER,
    "PUT /v1/budget": Role.OPERATOR,
    "DELETE /v1/budget": Role.OPERATOR,
    "PUT /v1/devices/{device}/pin": Role.OPERATOR,
    "DELETE /v1/devices/{device}/pin": Role.OPERATOR,
    "PUT /v1/devices/{device}/detachment": Role.OPERATOR,
    "DELETE /v1/devices/{device}/detachment": Role.OPERATOR,
    "POST /v1/restore": Role.OPERATOR,
}
# Over TCP nobody is known: whoever reaches the port is an observer, and may no more than that.
TCP: Needs = {route: role for route, role in API.items() if route.startswith("GET ") and role <= Role.OBSERVER}
JOBS: Needs = {
    "POST /v1/windows": Role.JOB,
    "POST /v1/beat": Role.JOB,
    "PUT /v1/devices/{device}/hint": Role.JOB,
    "DELETE /v1/devices/{device}/hint": Role.JOB,
    "GET /openapi.json": Role.JOB,
}
# They change nothing that stays, whatever their method says.
QUESTIONS = frozenset({"POST /v1/windows", "POST /v1/beat"})
POWER: Needs = {
    "GET /v1/status": Role.OBSERVER,
    "GET /v1/plan": Role.OBSERVER,
    "POST /v1/hosts/{host}/wake": Role.OPERATOR,
    "POST /v1/hosts/{host}/sleep": Role.OPERATOR,
    "POST /v1/resume": Role.OPERATOR,
    "GET /openapi.json": Role.OBSERVER,
}
# A host's agent may set a budget only where the mesh gives budgets, and only below the host's declared most: `Caller`.
WARDEN: Needs = {
    "hello": Role.AGENT,
    "status": Role.AGENT,
    "lease": Role.AGENT,
    "release": Role.AGENT,
    "yield_clear": Role.AGENT,
    "lock_again": Role.AGENT,
    "detach": Role.AGENT,
    "attach": Role.AGENT,
    "budget_set": Role.OPERATOR,
    "budget_clear": Role.OPERATOR,
}


@dataclass(frozen=True, slots=True)
class Rights:
    """Who has which role at one socket, by ids."""

    owners: frozenset[int]  # users that are operators
    operators: frozenset[int] = frozenset()  # groups
    observers: frozenset[int] = frozenset()  # groups
    agents: frozenset[int] = frozenset()  # groups
    others: Role = Role.NOBODY

    def role(self, peer: Peer) -> Role:
        """What a peer may do here: the most of what it is."""
        if peer.uid in self.owners or peer.is_in(self.operators):
            return Role.OPERATOR
        if peer.is_in(self.agents):
            return Role.AGENT
        return Role.OBSERVER if peer.is_in(self.observers) else self.others

    def may_open(self) -> frozenset[int]:
        """The groups whose members have anything to ask."""
        return self.operators | self.observers | self.agents


def owners() -> frozenset[int]:
    """Root, and the user that this process runs as, who could do to it what they want in any case."""
    return frozenset((0, os.geteuid()))


def of_api(groups: Groups) -> Rights:
    """At the sockets of the agent and of the power role."""
    return Rights(owners(), group_ids(groups.operators), group_ids(groups.observers))


def of_jobs() -> Rights:
    """At the jobs' socket: anybody is a job owner, and nobody is more."""
    return Rights(frozenset(), others=Role.JOB)


def of_warden(groups: Groups) -> Rights:
    """At the warden's socket."""
    return Rights(owners(), group_ids(groups.operators), agents=group_ids((groups.agent,)))


def refusal(what: str, needed: Role | None, role: Role, groups: Groups) -> str:
    """Why somebody may not do something, as one line."""
    if needed is None:
        return f"{what} is in no table of who may do what, so nobody may"
    names = {Role.OPERATOR: groups.operators, Role.OBSERVER: groups.observers, Role.AGENT: (groups.agent,)}
    wanted = f"root and members of {' or '.join(names.get(needed, ()))}"
    you = "you are none" if role is Role.NOBODY else f"you are {'an' if role.label[0] in 'aeiou' else 'a'} {role.label}"
    return f"{what} is for {needed.label}s ({wanted}); {you}"
