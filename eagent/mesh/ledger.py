"""One host's account of one thing, milliwatts or duty tokens, in one epoch of one life.

Cumulative, so that a lost, late, doubled or reordered message changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Party = tuple[str, str]  # a host, and the life of it that is meant


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the table gave, and the totals given to and taken from each other party since."""

    base: int = 0
    sent: Mapping[Party, int] = field(default_factory=dict)
    taken: Mapping[Party, int] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """What is left: the rights of a host, or its tokens."""
        return self.base + sum(self.taken.values()) - sum(self.sent.values())

    def sent_to(self, host: str) -> int:
        """The total given to all lives of a host."""
        return sum(total for (party, _), total in self.sent.items() if party == host)

    def debit(self, taker: Party, amount: int) -> Ledger:
        """The account after `amount` more was given."""
        return replace(self, sent={**self.sent, taker: self.sent.get(taker, 0) + amount}) if amount else self

    def credit(self, giver: Party, total: int, room: int | None = None) -> Ledger:
        """The account after hearing that `giver` has given `total` in all; the maximum ever heard counts (rule 6).

        Args:
            giver: Who gave.
            total: Its cumulative counter, not an increment.
            room: The most that may be added now; the rest can be credited when the giver repeats itself.
        """
        before = self.taken.get(giver, 0)
        after = max(before, total if room is None else min(total, before + max(0, room)))
        return self if after == before else replace(self, taken={**self.taken, giver: after})
