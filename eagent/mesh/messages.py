"""What hosts say to each other. Who said it is told by the transport, which has authenticated it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eagent.mesh.records import Record


@dataclass(frozen=True, slots=True)
class Gift:
    """All that this life of the sender has given to that life of the receiver in the epoch: totals, not increments."""

    domain: str
    epoch: int
    life: str  # the giver's
    to_life: str
    total_mw: int
    total_duty: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """All that the sender has stored as taken from a life of the receiver; it spares repetition."""

    domain: str
    epoch: int
    life: str  # the taker's
    from_life: str
    total_mw: int
    total_duty: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """The sender could use so many watts from the receiver. A wish, not a claim: it may be lost or ignored."""

    domain: str
    epoch: int
    life: str
    want_mw: int


@dataclass(frozen=True, slots=True)
class Document:
    """Something signed that all must have: the newest number of a name replaces the others."""

    name: str
    number: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Digest:
    """Which version the sender has of each record within [low, high] by owner, and of each document."""

    versions: Mapping[str, int]
    documents: Mapping[str, int] = field(default_factory=dict)
    low: str = ""
    high: str | None = None  # None: no end


@dataclass(frozen=True, slots=True)
class Delta:
    """Records, each with its age in milliseconds when it was sent, documents, and what is wanted in return."""

    records: tuple[tuple[Record, int], ...] = ()
    documents: tuple[Document, ...] = ()
    want: tuple[str, ...] = ()
    want_documents: tuple[str, ...] = ()


Message = Gift | Receipt | Ask | Digest | Delta
