"""The policies, one line each. A new policy is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eagent.model import HostState, Proposal
from eagent.policy import budget, cpu, efficiency, hint, idle, latency, pin
from eagent.policy.goals import Goals

Policy = Callable[[HostState, Goals, int], list[Proposal]]
# One that goes by the past is given what it asked to be remembered the last time, None at first.
Remembering = Callable[[HostState, Goals, int, Any], tuple[list[Proposal], Any]]
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy, and how often it is worth asking: between two askings what it asked for stands."""

    decide: Remembering
    every_ns: int = 0


def _without_memory(decide: Policy) -> Remembering:
    return lambda state, goals, now_ns, _: (decide(state, goals, now_ns), None)


POLICIES: dict[str, Entry] = {
    budget.NAME: Entry(budget.watch, SECOND_NS),  # limits act on means of a second
    pin.NAME: Entry(_without_memory(pin.decide)),
    hint.NAME: Entry(_without_memory(hint.decide)),
    idle.NAME: Entry(_without_memory(idle.decide)),
    cpu.NAME: Entry(cpu.decide),
    efficiency.NAME: Entry(efficiency.decide, SECOND_NS),  # clocks are written no more often
    latency.NAME: Entry(latency.decide, SECOND_NS),  # clocks are written once a second at most
}


class Policies:
    """All policies, each asked when it is due."""

    def __init__(self) -> None:
        """None has been asked yet."""
        self._asked: dict[str, tuple[int, list[Proposal]]] = {}
        self._memories: dict[str, Any] = {}

    def remember(self, name: str, memory: Any) -> None:
        """Give a policy what it is to find remembered."""
        self._memories[name] = memory

    def memory(self, name: str) -> Any:
        """What a policy has given back to be remembered; None: it was not asked yet."""
        return self._memories.get(name)

    def forget(self) -> None:
        """Ask all of them the next time: what they go by has changed by command."""
        self._asked.clear()

    def propose(self, state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:
        """What all policies ask for at the monotonic time `now_ns`."""
        for name, entry in POLICIES.items():
            last = self._asked.get(name)
            if last is None or now_ns - last[0] >= entry.every_ns:
                proposals, self._memories[name] = entry.decide(state, goals, now_ns, self._memories.get(name))
                self._asked[name] = (now_ns, proposals)
        return [proposal for _, asked in self._asked.values() for proposal in asked]
