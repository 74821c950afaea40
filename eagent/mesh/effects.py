"""What the core asks of the shell around it.

Effects are given in the order in which they must be completed. After a `Lower`, a `Store` or a `Raise` the core says
nothing more until it is told that this one is done; the rest of the order follows from that. What the shell must hold
to:

- an effect that was begun is over, or will never take place, before a new process asks the warden for the ceiling;
- `Store` replaces what was stored as a whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from eagent.mesh.epoch import Standing
from eagent.mesh.messages import Message
from eagent.mesh.state import State

SETTLE_NS = 1_000_000_000  # how long a lowered limit was read back before `Lower` is done: limits hold as 1 s means


@dataclass(frozen=True, slots=True)
class Lower:
    """Bring this domain's ceiling on the host's permission down to this, or leave it if it is lower.

    Done when the warden has lowered, read back, settled for SETTLE_NS and stored the ceiling.
    """

    domain: str
    ceiling_mw: int


@dataclass(frozen=True, slots=True)
class Store:
    """Make the state durable. Done when it has been."""

    domain: str
    state: State


@dataclass(frozen=True, slots=True)
class Raise:
    """Allow a ceiling up to this. Done when the warden has taken it."""

    domain: str
    ceiling_mw: int


@dataclass(frozen=True, slots=True)
class Send:
    """Hand a message to the transport, which may lose, delay, double and reorder it."""

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell all hosts: put it into this host's record."""

    standing: Standing


Awaited = Lower | Store | Raise
Effect = Awaited | Send | Announce
