"""Rule 7: when an epoch is complete, as far as one host can know.

The rule speaks of an instant: every member has sealed exactly this epoch in its present life. A heap of seals does not
show that there was one. A host may seal, die, and begin a new life in the old epoch, where another that has not sealed
yet gives it watts; then the last one seals, and all have been seen to, though never at once. So there are two waves:

    seal            "I am in life L, and I have sealed epoch k"
    countersign     "I have seen the seals of all, in the lives of this roll, and I am still sealed in mine"

If all countersign the same roll, then between the last seal and the first countersignature all were sealed at once,
each in its present life. What is true of that instant stays true, whoever dies later; so it may also be learned by
hearsay: one host in the open epoch is enough.

A host that is off can't seal. The power role, which sees BMCs, certifies that at one instant after all others had
sealed it was off; then the others countersign a roll that names it as off. All functions here are pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from eagent.mesh.table import Charged, Member, Table


class Stage(IntEnum):
    """How far a host has come in the epoch it is in; the numbers are those of the wire."""

    OUT = 0  # in none: a new life that knows no table
    SEALED = 1  # neither raises nor gives nor takes
    OPEN = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """What a host knows that another may hold: the greatest grant, and the most that it sent to it in one epoch."""

    grant_mw: int
    sent_mw: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a host announces of itself in a domain, after it was stored. Part of its record."""

    domain: str
    life: str
    epoch: int = 0
    stage: Stage = Stage.OUT
    table: str = ""  # the digest of the table it is in
    rolls: tuple[str, ...] = ()  # that it countersigns
    told: Mapping[str, Claim] = field(default_factory=dict)  # of charged members; one that it can't vouch for is absent
    rights_mw: int = 0
    duty: int = 0


@dataclass(frozen=True, slots=True)
class Off:
    """The power role's certificate: at one instant after the seals of `roll`, all of `hosts` were off."""

    domain: str
    epoch: int
    hosts: tuple[str, ...]
    roll: str


def named(table: Table, host: str, life: str) -> Member | None:
    """The line that gives this life of the host its grant; None if the table gives it no more than a reserve."""
    member = table.members.get(host)
    return member if member is not None and member.life == life != "" else None


def unsealed(table: Table, standings: Mapping[str, Standing], off: Iterable[str] = ()) -> list[str]:
    """Who must seal this table and has not been seen to: who blocks."""
    return [
        host
        for host, member in table.members.items()
        if not member.charged and host not in off and not has_sealed(table, standings.get(host))
    ]


def has_sealed(table: Table, standing: Standing | None) -> bool:
    """Whether a host is in exactly this epoch, not in a later one, by exactly this table."""
    return standing is not None and standing.epoch == table.epoch and standing.table == table.digest


def make_roll(table: Table, standings: Mapping[str, Standing], off: Iterable[str] = ()) -> str | None:
    """The digest of who has sealed in which life and who was off, 16 hex characters; None while a seal is missing."""
    off = sorted(off)
    if unsealed(table, standings, off):
        return None
    digest = hashlib.sha256(f"{table.digest} {table.domain}".encode())
    for host in sorted(table.members):
        if host in off:
            digest.update(f" {host}=off".encode())
        elif not table.members[host].charged:
            digest.update(f" {host}={standings[host].life}".encode())
    return digest.hexdigest()[:16]


def rolls(table: Table, standings: Mapping[str, Standing], certificate: Off | None) -> tuple[str, ...]:
    """The rolls that a host which has seen all this can countersign: everyone's, and the certificate's, if it fits."""
    whole = make_roll(table, standings)
    rest = None
    if certificate is not None and certificate.epoch == table.epoch and certificate.domain == table.domain:
        rest = make_roll(table, standings, certificate.hosts)
        if rest != certificate.roll:  # one of the others began a new life since the power role looked
            rest = None
    return tuple(roll for roll in (whole, rest) if roll is not None)


def certify(table: Table, standings: Mapping[str, Standing], off: Iterable[str]) -> Off | None:
    """The certificate that the power role may give, or None.

    Args:
        table: The table that waits.
        standings: What the others have announced, heard *before* the power role looked.
        off: The hosts that it then saw off, all at one instant.

    Returns:
        None as long as one of the others has not sealed: a host that is off now could still come back into the old
        epoch and be given watts there.
    """
    hosts = tuple(sorted(host for host in set(off) & table.members.keys() if not table.members[host].charged))
    roll = make_roll(table, standings, hosts)
    return Off(table.domain, table.epoch, hosts, roll) if hosts and roll is not None else None


def is_complete(table: Table, standings: Mapping[str, Standing], certificate: Off | None) -> bool:
    """Whether what a host has heard shows that the epoch is complete."""
    if any(has_sealed(table, each) and each.stage is Stage.OPEN for each in standings.values()):
        return True  # hearsay
    for roll in rolls(table, standings, certificate):
        off = certificate.hosts if certificate is not None and certificate.roll == roll else ()
        signers = [host for host, member in table.members.items() if not member.charged and host not in off]
        if all(roll in standings[host].rolls for host in signers) and is_covered(table, standings, signers, off):
            return True
    return False


def is_covered(
    table: Table, standings: Mapping[str, Standing], signers: Iterable[str], off: Iterable[str] = ()
) -> bool:
    """Whether each charged member is charged with all that it could hold: its grant plus all sent to it.

    The signers have sealed, so none of them sends any more. Who was off, or has begun a new life, does not know what it
    had sent; then only a charge in full will do.
    """
    told = [standings[host].told for host in signers]
    for host, member in table.members.items():
        if member.charged is Charged.TOLD:
            claims = [each[host] for each in told if host in each]
            if len(claims) < len(told) or not claims or any(True for _ in off):
                return False
            if max(claim.grant_mw for claim in claims) + sum(claim.sent_mw for claim in claims) > member.grant_mw:
                return False
    return True


def admits(table: Table, host: str, reserve_mw: int, *, is_open: bool) -> str | None:
    """Why a host may not be powered on under this table yet (rule 9), or None if it may.

    Args:
        table: The newest table.
        host: Who would join.
        reserve_mw: The worst that it may draw without asking.
        is_open: Whether the epoch is known to be complete.
    """
    member = table.members.get(host)
    if member is None:
        return f"{host} is not in table {table.domain} {table.epoch}: sign one with its reserve first"
    if member.reserve_mw < reserve_mw:
        return (
            f"{host} may draw {reserve_mw} mW without asking, and table {table.domain} {table.epoch} "
            f"reserves {member.reserve_mw} mW for it"
        )
    return None if is_open else f"table {table.domain} {table.epoch} is not complete yet"
