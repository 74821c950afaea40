"""What is true of a domain, whatever its hosts believe: the invariant of docs/mesh.md, checked from outside.

The facts are those of the hardware and of the disks. An epoch counts as completed from the first instant at which every
member has stored its seal of exactly that epoch in its present life, or is off, or is charged with all that it could
hold; that is earlier than any host can know it, so the check is as strict as it can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eagent.mesh.epoch import Stage
from eagent.mesh.messages import Gift
from eagent.mesh.state import State
from eagent.mesh.table import Table


class BreachError(AssertionError):
    """A promise was broken; the text says which, and how things stood."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One host at one instant. Milliwatts at the wall."""

    reserve_mw: int
    wall_mw: int = 0  # the most that the limits in force let it draw; 0 while it is off
    on: bool = True
    state: State | None = None  # stored in its present life; None: off, lost, or not stored yet

    @property
    def worst_mw(self) -> int:
        """What it counts for: a host may come on by itself at any instant."""
        return max(self.reserve_mw, self.wall_mw)


class Truth:
    """One domain: the tables that were signed, the gifts that were spoken, and the last completed epoch."""

    def __init__(self, fixed_mw: int, first: Table) -> None:
        """A domain in which `first` is complete.

        Args:
            fixed_mw: What draws without being a host: at most the `others` of each table.
            first: Its table.
        """
        self.completed = first
        self.tables = {first.epoch: first}
        self._fixed_mw = fixed_mw
        self._spoken: dict[tuple[str, int, str, str, str], int] = {}  # taker, epoch, giver and the lives of both

    def sign(self, table: Table) -> None:
        """The site has signed a table."""
        self.tables[table.epoch] = table

    def speak(self, giver: str, taker: str, gift: Gift) -> None:
        """A gift has left its giver; it may arrive at any time, or never."""
        key = (taker, gift.epoch, giver, gift.life, gift.to_life)
        self._spoken[key] = max(self._spoken.get(key, 0), gift.total_mw)

    def check(self, facts: Mapping[str, Fact]) -> None:
        """Look at all hosts at one instant.

        Raises:
            BreachError: more is allowed in this instant than the budget.
        """
        self._complete(facts)
        table = self.completed
        members_mw = sum(facts[host].worst_mw for host in table.members)
        strangers_mw = sum(fact.worst_mw for host, fact in facts.items() if fact.on and host not in table.members)
        if members_mw + strangers_mw + self._fixed_mw > table.budget_mw:
            each = ", ".join(f"{host} {fact.worst_mw}" for host, fact in sorted(facts.items()))
            raise BreachError(
                f"{members_mw + strangers_mw + self._fixed_mw} mW are allowed, the budget of {table.domain} in epoch "
                f"{table.epoch} is {table.budget_mw} mW: {self._fixed_mw} fixed, {each}"
            )

    def _complete(self, facts: Mapping[str, Fact]) -> None:
        for number in range(self.completed.epoch + 1, max(self.tables) + 1):
            table = self.tables.get(number)
            if table is not None and self._is_complete(table, facts):
                self.completed = table

    def _is_complete(self, table: Table, facts: Mapping[str, Fact]) -> bool:
        charged = {host for host, member in table.members.items() if member.charged}
        for host in table.members.keys() - charged:
            fact = facts[host]
            if fact.on and (fact.state is None or fact.state.table != table):
                return False
        # Those that are charged may yet complete, among themselves, any epoch up to this one.
        numbers = [number for number in self.tables if number < table.epoch]
        could_mw = max(sum(self._could_hold_mw(host, facts[host], number) for host in charged) for number in numbers)
        return could_mw <= sum(table.members[host].grant_mw for host in charged)

    def _could_hold_mw(self, host: str, fact: Fact, number: int) -> int:
        """The most that a host which can't be reached could come to hold if the epoch of that number were completed."""
        state = fact.state
        if state is None or state.table is None:
            return fact.worst_mw
        held_mw = state.watts.base - sum(state.watts.sent.values()) + self._spoken_to_mw(host, state.life, state.epoch)
        member = self.tables[number].members.get(host)
        if number > state.epoch and (member is None or not member.charged):
            granted_mw = member.grant_mw if member is not None and member.life == state.life else fact.reserve_mw
            held_mw = granted_mw + self._spoken_to_mw(host, state.life, number)
        elif number == state.epoch and state.stage is Stage.SEALED and member is not None and not member.charged:
            held_mw = max(held_mw, member.grant_mw if member.life == state.life else fact.reserve_mw)
        return max(held_mw, fact.reserve_mw)

    def _spoken_to_mw(self, host: str, life: str, number: int) -> int:
        return sum(
            total_mw
            for (taker, epoch, _, _, to_life), total_mw in self._spoken.items()
            if (taker, epoch, to_life) == (host, number, life)
        )
