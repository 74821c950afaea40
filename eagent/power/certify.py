"""Rule 7: the role's word that hosts which can't seal a table are off.

The order is all that makes it true: first the seals of all others are heard, then the role looks, twice, and at both
times sees every host off that the certificate names. Looks at many hosts can't be made at one instant; but who was off
in the first round, and in the second one that began when the first was over, was off in between, unless it was
switched on and off again within seconds. The role itself switches none of them on meanwhile: rule 9 forbids it while
the table waits. What is pure stands here; who looks is `keeper`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from eagent.errors import RefusedError
from eagent.mesh import codec, documents, epoch
from eagent.mesh.epoch import Off, Stage, Standing, has_sealed
from eagent.mesh.messages import Document
from eagent.mesh.records import Held
from eagent.mesh.signer import Signer
from eagent.mesh.table import Table


@dataclass(frozen=True, slots=True)
class Case:
    """A table that waits for hosts that may be off, and what was heard of it before anybody looks."""

    table: Table
    standings: Mapping[str, Standing]
    missing: tuple[str, ...]  # they have not sealed: the certificate is worth nothing unless all of them are off
    silent: tuple[str, ...]  # they have sealed and fallen silent: whichever of them is off can't countersign

    @property
    def hosts(self) -> tuple[str, ...]:
        """At whom to look."""
        return self.missing + self.silent


def heard(table: Table, held: Mapping[str, Held]) -> dict[str, Standing]:
    """What a table's members have announced in its domain."""
    told = {host: held[host].record.payload.standing(table.domain) for host in table.members if host in held}
    return {host: standing for host, standing in told.items() if standing is not None}


def is_open(table: Table, standings: Mapping[str, Standing]) -> bool:
    """Whether somebody is in the open epoch: then it is complete."""
    return any(has_sealed(table, each) and each.stage is Stage.OPEN for each in standings.values())


def case(table: Table, held: Mapping[str, Held], known: Off | None, now_ns: int) -> Case | None:
    """What there is to look at, or None: the table does not wait, or not for hosts that are silent.

    Args:
        table: The newest of its domain.
        held: What was heard.
        known: The domain's newest certificate, if there is one.
        now_ns: The time, for the age of records.
    """
    standings = heard(table, held)
    if is_open(table, standings):
        return None
    missing = tuple(epoch.unsealed(table, standings))
    if any(host in held and not held[host].is_stale(now_ns) for host in missing):
        return None  # it speaks, so it is on, and will seal
    silent = tuple(host for host in sorted(standings) if host not in missing and held[host].is_stale(now_ns))
    silent = tuple(host for host in silent if not table.members[host].charged)
    fits = known is not None and any(known.roll == roll for roll in epoch.rolls(table, standings, known))
    if fits and known is not None and {*missing, *silent} <= {*known.hosts}:
        return None
    return Case(table, standings, missing, silent) if missing or silent else None


def certificate(seen: Case, off: Collection[str], known: Off | None) -> Off | None:
    """The certificate that may be given after the look; None: none, or none that says more than the one that is known.

    Args:
        seen: As it was before the look.
        off: Those of `seen.hosts` that were off at both times.
        known: The domain's newest certificate, if there is one.
    """
    # `epoch.certify` gives none unless all who have not sealed were off.
    made = epoch.certify(seen.table, seen.standings, set(off) & set(seen.hosts))
    return None if made == known else made


def sign(made: Off, signer: Signer, before: Document | None) -> Document:
    """The certificate as gossip spreads it, in place of the one before it.

    Raises:
        RefusedError: there have been too many in this epoch.
    """
    first = made.epoch * documents.LOOKS_MAX
    look = max(0, before.number - first + 1) if before is not None else 0
    if look >= documents.LOOKS_MAX:
        raise RefusedError(
            f"{made.domain} {made.epoch}: {look} looks are more than an epoch can have: sign a new table"
        )
    return documents.off_document(made, look, signer.sign(codec.encode_off(made)))
