"""What a host is in a domain, what it stores there, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from eagent.mesh.charge import Claims
from eagent.mesh.epoch import Stage
from eagent.mesh.ledger import Ledger
from eagent.mesh.table import Table


@dataclass(frozen=True, slots=True)
class Host:
    """What is fixed of a host in one domain. Milliwatts at the wall."""

    name: str
    domain: str
    reserve_mw: int  # rule 2: the worst that it may draw without asking
    nameplate_mw: int  # the most that it can draw at all


@dataclass(frozen=True, slots=True)
class State:
    """What is stored. It speaks for one life; to any other life it is worth nothing (rule 4)."""

    life: str
    table: Table | None = None
    stage: Stage = Stage.OUT
    watts: Ledger = field(default_factory=Ledger)
    duty: Ledger = field(default_factory=Ledger)
    claims: Claims = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The epoch it is in; 0 for none."""
        return self.table.epoch if self.table is not None else 0


@dataclass(frozen=True, slots=True)
class Lot:
    """What one peer is given at once."""

    mw: int
    duty: int = 0
