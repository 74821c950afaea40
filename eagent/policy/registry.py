"""The policies, one line each. A new policy is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eagent.model import HostState, Proposal
from eagent.policy import budget, idle, pin
from eagent.policy.goals import Goals

Policy = Callable[[HostState, Goals, int], list[Proposal]]
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy, and how often it is worth asking: between two askings what it asked for stands."""

    decide: Policy
    every_ns: int = 0


POLICIES: dict[str, Entry] = {
    budget.NAME: Entry(budget.decide, SECOND_NS),  # limits act on means of a second: more often only writes more
    pin.NAME: Entry(pin.decide),
    idle.NAME: Entry(idle.decide),
}


class Policies:
    """All policies, each asked when it is due."""

    def __init__(self) -> None:
        """None has been asked yet."""
        self._asked: dict[str, tuple[int, list[Proposal]]] = {}

    def forget(self) -> None:
        """Ask all of them the next time: what they go by has changed by command."""
        self._asked.clear()

    def propose(self, state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
        """What all policies ask for at the monotonic time `now_ns`."""
        for name, entry in POLICIES.items():
            last = self._asked.get(name)
            if last is None or now_ns - last[0] >= entry.every_ns:
                self._asked[name] = (now_ns, entry.decide(state, goals, now_ns))
        return [proposal for _, proposals in self._asked.values() for proposal in proposals]
